"""Why a request is refused: by what it asks for, or by who asks."""

from diagnosis.errors.base import InputRefused


class InvalidRequest(InputRefused):
    """A field is missing, unknown or out of range."""

    code = "invalid-request"
    title = "The request is incomplete or malformed"
    default_detail = "A field is missing or has a value that is not allowed."
    default_remedy = "Compare the request with the API description."


class MissingImage(InvalidRequest):
    """No file came with the request."""

    code = "missing-image"
    title = "There is no image in this request"
    default_detail = "No image came with this request."
    default_remedy = "Choose an image first; a program sends it in the multipart field `image`."


class UnknownDisease(InputRefused):
    """Not in the catalogue."""

    code = "unknown-disease"
    status = 404
    title = "There is no such disease in the catalogue"
    default_detail = "The catalogue has no disease of this name."
    default_remedy = "GET /api/v1/diseases lists the names."


class UnknownPrediction(InputRefused):
    """Never made, deleted, or expired."""

    code = "unknown-prediction"
    status = 404
    title = "There is no such reading"
    default_detail = "There is no reading under this address; it may have been deleted."
    default_remedy = "The history lists the readings that are kept."


class UnknownVersion(InputRefused):
    """The registry has no such version of the disease's model."""

    code = "unknown-version"
    status = 404
    title = "There is no such version"
    default_detail = "The registry has no such version of this disease's model."
    default_remedy = "GET /api/v1/diseases/{disease}/versions lists them."


class NoHeatmap(InputRefused):
    """There is no heatmap of this reading or of this class, and there never will be."""

    code = "no-heatmap"
    status = 404
    title = "There is no heatmap for this"
    default_detail = "There is no heatmap of this class for this reading."
    default_remedy = "The reading's `heatmap_classes` lists the classes that have one."


class VersionGone(InputRefused):
    """The artifact that made a reading is not in the registry any more, or cannot be used."""

    code = "version-gone"
    status = 409
    title = "The model that made this reading is not there any more"
    default_detail = (
        "A heatmap is made by the very model that read the image, and that version"
        " is not in the registry any more or did not pass its checks."
    )
    default_remedy = "Send the image again: the reading by the model of today has its own heatmaps."


class AlreadyReviewed(InputRefused):
    """A first opinion that is none: its author has said something of this reading before."""

    code = "already-reviewed"
    status = 409
    title = "You have given an opinion on this reading already"
    default_detail = "A first opinion is given once, before anything else is said of a reading."
    default_remedy = "Add a review instead; earlier ones stay as they are."


class ReadingUnderWay(InputRefused):
    """The first request with this `Idempotency-Key` is still being read."""

    code = "reading-under-way"
    status = 409
    title = "This image is being read already"
    default_detail = "The first request with this key has not been answered yet."
    default_remedy = "Send it again in a few seconds; it is read once."
    retry_after = 2


class NotSignedIn(InputRefused):
    """Nobody is asking: no identity came, or one that is not the door's, or an old one."""

    code = "not-signed-in"
    status = 401
    title = "You are not signed in"
    default_detail = "This needs somebody who is signed in, or an API key."
    default_remedy = "Sign in; a program sends its key as `Authorization: Bearer KEY`."


class Forbidden(InputRefused):
    """Somebody is asking who holds none of the roles that may."""

    code = "forbidden"
    status = 403
    title = "This is not open to you"
    default_detail = "None of your roles may do this."
    default_remedy = "Ask whoever administers Sightline for the role, if you should have it."


class ReauthenticationNeeded(InputRefused):
    """What changes users or models asks for a password that was given moments ago."""

    code = "reauthentication-needed"
    status = 403
    title = "Give your password once more"
    default_detail = "This changes what others rely on, so it asks for your password once more."
    default_remedy = "Confirm your password within two minutes before it; an API key cannot."


class ForgedRequest(InputRefused):
    """A request with a session's cookie that none of our pages sent."""

    code = "forged-request"
    status = 403
    title = "This was not sent from one of our pages"
    default_detail = "The request does not carry what our own pages send, and was not carried out."
    default_remedy = "Open the page here again and send it from there."


class NoSuchResource(InputRefused):
    """No such address."""

    code = "not-found"
    status = 404
    title = "There is nothing at this address"
    default_detail = "There is nothing at this address."
    default_remedy = "Check the address, or begin at the start page."


class MethodNotAllowed(InputRefused):
    """The address exists and does not take this method."""

    code = "method-not-allowed"
    status = 405
    title = "This address does not take this method"
    default_detail = "This address does not take this method."
    default_remedy = "Compare the request with the API description."
