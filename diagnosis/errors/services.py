"""What keeps a request from being answered, now or until somebody acts."""

from diagnosis.errors.base import SightlineError


class ModelUnavailable(SightlineError):
    """The disease is known and no model can answer for it until somebody acts."""

    code = "no-live-model"
    status = 409
    title = "No model is live for this disease"
    default_detail = "No model is live for this disease yet."
    default_remedy = "An engineer can train and publish one: see docs/adding-a-disease.md."


class ModelRefused(ModelUnavailable):
    """The live artifact failed its checks and was not loaded."""

    code = "model-refused"
    title = "The model of this disease did not pass its checks"
    default_detail = "The model of this disease did not pass its checks and is not used."
    default_remedy = "Tell whoever runs this service; the other diseases are not affected."


class ModelUnderReview(ModelUnavailable):
    """The model drifted, and was stopped until people have looked at it."""

    code = "model-under-review"
    title = "Not available: under review"
    default_detail = (
        "Not available: under review. What this model was sent, or what it answered, was no longer"
        " like what it was approved for, so it was stopped."
    )
    default_remedy = (
        "Read the image without it. An engineer and a clinician look into it; readings that were"
        " made before stay as they are."
    )


class TemporarilyUnavailable(SightlineError):
    """The same request can succeed later."""

    code = "temporarily-unavailable"
    status = 503
    title = "Not available at the moment"
    default_remedy = "Nothing was lost; try again in a few seconds."
    retry_after = 5


class StoreUnavailable(TemporarilyUnavailable):
    """Redis or the image store does not answer."""

    code = "store-unavailable"
    title = "Readings cannot be stored at the moment"
    default_detail = "The store of readings does not answer, so no reading can be made or shown."


class AuditUnavailable(TemporarilyUnavailable):
    """It cannot be written down who does this, so it is not done."""

    code = "audit-unavailable"
    title = "This cannot be written down at the moment"
    default_detail = (
        "Every look at an image and every change is written down, and that is not possible at"
        " the moment; so it was not done."
    )


class ServiceUnavailable(TemporarilyUnavailable):
    """A service behind this one does not answer."""

    code = "service-unavailable"
    title = "A part of Sightline does not answer"
    default_detail = "A service that this needs does not answer at the moment."


class Overloaded(TemporarilyUnavailable):
    """More readings are waiting than can be made in good time."""

    code = "overloaded"
    title = "Too many readings are waiting"
    default_detail = "More images are waiting than can be read in good time."
    retry_after = 2
