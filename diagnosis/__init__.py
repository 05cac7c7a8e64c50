"""The language every Sightline service shares: diseases, images, artifacts, predictions."""

from typing import Literal

#: Stands wherever a result stands: on every page, report and API answer.
WARNING: Literal["Research use only. Not a medical device. A clinician decides."] = (
    "Research use only. Not a medical device. A clinician decides."
)
