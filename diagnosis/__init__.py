"""The language every Sightline service shares: diseases, images, artifacts, predictions."""

#: Stands wherever a result stands: on every page, report and API answer.
WARNING = "Research use only. Not a medical device. A clinician decides."
