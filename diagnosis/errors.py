"""Everything that can be refused or go wrong, and who is told what.

SightlineError
├── InputRefused                      the caller can mend it (4xx)
│   ├── ImageRefused                  one class a reason, see below
│   │   ├── EmptyFile                 empty-file
│   │   ├── FileTooLarge              file-too-large
│   │   ├── TooManyPixels             too-many-pixels
│   │   ├── ImageTooSmall             image-too-small
│   │   ├── NotAnImage                not-an-image
│   │   ├── UnsupportedFormat         unsupported-format
│   │   ├── UnsupportedPixels         unsupported-pixels
│   │   ├── DamagedImage              damaged-image
│   │   ├── DecompressionBomb         decompression-bomb
│   │   ├── MultiFrameImage           multi-frame-image
│   │   ├── DicomWithoutImage         dicom-without-image
│   │   ├── UnsupportedDicom          unsupported-dicom
│   │   ├── ImageTooCostly            image-too-costly (memory or time beyond the limit)
│   │   └── ReaderEnded               reader-ended (the process that read it crashed)
│   ├── InvalidRequest                invalid-request (a field missing or out of range)
│   │   └── MissingImage              missing-image
│   ├── UnknownDisease                unknown-disease
│   ├── UnknownPrediction             unknown-prediction
│   ├── UnknownVersion                unknown-version (of a disease's model)
│   ├── NoHeatmap                     no-heatmap (of this reading, or of this class)
│   ├── VersionGone                   version-gone (the artifact that answered is not there)
│   ├── NotSignedIn                   not-signed-in (401: nobody is asking)
│   ├── Forbidden                     forbidden (403: another role is needed)
│   ├── ReauthenticationNeeded        reauthentication-needed (403: the password once more)
│   ├── ForgedRequest                 forged-request (403: not sent from one of our pages)
│   ├── NoSuchResource                not-found
│   └── MethodNotAllowed              method-not-allowed
├── ModelUnavailable                  no-live-model (409: somebody has to act)
│   └── ModelRefused                  model-refused
├── TemporarilyUnavailable            try again later (503 with Retry-After)
│   ├── StoreUnavailable              store-unavailable
│   ├── AuditUnavailable              audit-unavailable (cannot be written down, so not done)
│   ├── ServiceUnavailable            service-unavailable
│   └── Overloaded                    overloaded
├── ArtifactRefused                   must not reach Keras; for engineers, not for a page
│   ├── DigestMismatch                digest-mismatch
│   ├── CardRefused                   card-refused
│   ├── ArchiveRefused                archive-refused
│   ├── ConfigRefused                 config-refused
│   ├── WeightsRefused                weights-refused
│   ├── SignatureRefused              signature-refused (a key is asked for)
│   └── FormatRefused                 format-refused (.h5, SavedModel, pickle)
├── RegistryError                     registry-error
│   ├── NoEarlierVersion              no-earlier-version (nothing to roll back to)
│   └── PromotionRefused              promotion-refused (sensitivity would be lower)
└── KeyRefused                        key-refused

`detail` is a sentence for the person who sent the request: it never carries a file name, a path,
a header or a pixel of the patient's. `cause` is for an engineer's log and is never sent.
"""

from typing import ClassVar


class SightlineError(Exception):
    """Base of every error Sightline raises on purpose.

    Class attributes: `code` (stable, kebab-case), `status` (HTTP), `title` (short, constant),
    `detail` (default sentence), `remedy` (what to do, a sentence), `retry_after` (seconds or None).
    """

    code: ClassVar[str] = "internal-error"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Something went wrong on our side"
    default_detail: ClassVar[str] = "The service could not finish this request."
    default_remedy: ClassVar[str] = (
        "Try again; if it happens again, tell whoever runs this service."
    )
    retry_after: ClassVar[int | None] = None

    def __init__(
        self, detail: str | None = None, *, remedy: str | None = None, cause: str | None = None
    ) -> None:
        self.detail = detail or self.default_detail
        self.remedy = remedy or self.default_remedy
        self.cause = cause
        super().__init__(self.detail if cause is None else f"{self.detail} ({cause})")


class InputRefused(SightlineError):
    """What was sent cannot be used; sending it again unchanged will not help."""

    code = "input-refused"
    status = 422
    title = "This request cannot be used"


class ImageRefused(InputRefused):
    """The file that was sent is not an image that can be read."""

    code = "image-refused"
    title = "This file cannot be read as a medical image"


class EmptyFile(ImageRefused):
    """Zero bytes."""

    code = "empty-file"
    title = "The file is empty"
    default_detail = "The file has no content."
    default_remedy = "Choose the image again, or export it once more from where it came."


class FileTooLarge(ImageRefused):
    """More bytes than the limit (25 MB)."""

    code = "file-too-large"
    status = 413
    title = "The file is too large"
    default_detail = "The file is larger than 25 MB."
    default_remedy = "Export the image as a JPEG or PNG of less than 25 MB."


class TooManyPixels(ImageRefused):
    """More pixels than the limit (50 megapixels), declared or real."""

    code = "too-many-pixels"
    status = 413
    title = "The image has too many pixels"
    default_detail = "The image has more than 50 megapixels."
    default_remedy = "Export the image at a lower resolution, below 50 megapixels."


class ImageTooSmall(ImageRefused):
    """Fewer pixels than anything can be seen in."""

    code = "image-too-small"
    title = "The image is too small"
    default_detail = "The image is smaller than 16 by 16 pixels."
    default_remedy = "Send the original image, not a thumbnail or an icon."


class NotAnImage(ImageRefused):
    """The content is no image format at all, whatever the name says."""

    code = "not-an-image"
    status = 415
    title = "The file is not an image"
    default_detail = "The content of this file is not an image, whatever its name says."
    default_remedy = "Send a JPEG, PNG, TIFF, WebP, BMP or DICOM file."


class UnsupportedFormat(ImageRefused):
    """An image, of a format that is not read."""

    code = "unsupported-format"
    status = 415
    title = "This image format is not read"
    default_detail = "This is an image of a format that Sightline does not read."
    default_remedy = "Save it as JPEG, PNG, TIFF, WebP, BMP or DICOM and send that."


class UnsupportedPixels(ImageRefused):
    """A readable format with a kind of pixel that has no safe meaning (floating point, 32 bit)."""

    code = "unsupported-pixels"
    status = 415
    title = "This kind of pixel is not read"
    default_detail = "The image stores its pixels in a way that Sightline does not read."
    default_remedy = "Export it as an 8-bit or 16-bit greyscale, or an 8-bit colour image."


class DamagedImage(ImageRefused):
    """Truncated, or its content contradicts its header."""

    code = "damaged-image"
    title = "The image is damaged or incomplete"
    default_detail = "The image is cut short or damaged and cannot be read to its end."
    default_remedy = "Copy or export the image again; the transfer may have been interrupted."


class DecompressionBomb(ImageRefused):
    """It would unpack to far more than the picture that it declares."""

    code = "decompression-bomb"
    title = "The file unpacks to more than its image"
    default_detail = "The file would unpack to far more data than the image it says it holds."
    default_remedy = "Open the image where it came from and export it again as JPEG or PNG."


class MultiFrameImage(ImageRefused):
    """Animated, multi-page or multi-frame."""

    code = "multi-frame-image"
    title = "The file holds more than one image"
    default_detail = "The file holds several frames or pages; a reading is made of one image."
    default_remedy = "Export the one image to be read as a file of its own."


class DicomWithoutImage(ImageRefused):
    """A DICOM object with no pixel data (a report, a presentation state, a structure set)."""

    code = "dicom-without-image"
    title = "The DICOM file holds no image"
    default_detail = "This DICOM file has no picture in it; it may be a report or an index."
    default_remedy = "Send the image object of the study (CR, DX, MR, CT or US)."


class UnsupportedDicom(ImageRefused):
    """A DICOM image whose transfer syntax or pixel layout is not read."""

    code = "unsupported-dicom"
    status = 415
    title = "This kind of DICOM image is not read"
    default_detail = "This DICOM image is compressed or laid out in a way that is not read."
    default_remedy = "Export it uncompressed, or as JPEG baseline, JPEG 2000 or RLE."


class ImageTooCostly(ImageRefused):
    """Reading it would take more memory or time than one image may."""

    code = "image-too-costly"
    title = "The image takes too much to read"
    default_detail = "Reading this image takes more memory or time than one image may take."
    default_remedy = "Export the image as an ordinary JPEG or PNG, or at a lower resolution."


class ReaderEnded(ImageRefused):
    """The process that read it crashed; it was alone with this image, and is replaced."""

    code = "reader-ended"
    title = "The image cannot be read"
    default_detail = "The program that reads images ended over this file."
    default_remedy = "Open the image where it came from and export it again as JPEG or PNG."


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


class ArtifactRefused(SightlineError):
    """An artifact that must not reach Keras. `cause` names the rule that refused it."""

    code = "artifact-refused"
    title = "The artifact was refused"
    default_detail = "The artifact did not pass its checks."
    default_remedy = "Train and publish it again with the trainer."


class DigestMismatch(ArtifactRefused):
    """The bytes are not those that the card was written for."""

    code = "digest-mismatch"
    default_detail = "The artifact's bytes are not those its card was written for."


class CardRefused(ArtifactRefused):
    """`card.json` is missing, malformed or contradicts the catalogue."""

    code = "card-refused"
    default_detail = "The artifact's card is missing or not valid."


class ArchiveRefused(ArtifactRefused):
    """The `.keras` zip is not exactly the three members it may hold."""

    code = "archive-refused"
    default_detail = "The .keras archive holds something it must not."


class ConfigRefused(ArtifactRefused):
    """`config.json` names a class, a module or a string that is not allowed."""

    code = "config-refused"
    default_detail = "The model's configuration holds something that is not allowed."


class WeightsRefused(ArtifactRefused):
    """`model.weights.h5` holds a link, an odd type or more than its cap."""

    code = "weights-refused"
    default_detail = "The model's weights file holds something that is not allowed."


class SignatureRefused(ArtifactRefused):
    """A key is asked for, and the card is not signed by it."""

    code = "signature-refused"
    default_detail = "The artifact's card is not signed by the key that is asked for."
    default_remedy = "Publish it again with the signing key, or set the key that signed it."


class FormatRefused(ArtifactRefused):
    """`.h5`, SavedModel, pickle: formats that can run code when they are opened."""

    code = "format-refused"
    default_detail = "Only .keras artifacts are read; this format can run code when opened."
    default_remedy = "Load it where you trust it and save it with model.save('model.keras')."


class RegistryError(SightlineError):
    """The registry cannot do what was asked (an unknown version, a half-made folder)."""

    code = "registry-error"
    title = "The registry cannot do this"
    default_remedy = "`trainer list` shows what the registry holds."


class KeyRefused(SightlineError):
    """A file that should hold a key does not, or not only its owner may read it."""

    code = "key-refused"
    title = "The key cannot be used"
    default_detail = "The file of the key cannot be used."
    default_remedy = "`trainer make-key` makes a private key and prints the public one."


class NoEarlierVersion(RegistryError):
    """No other version was live before, so there is nothing to return to."""

    code = "no-earlier-version"
    status = 409
    title = "There is nothing to roll back to"
    default_detail = "No earlier version of this disease was live."


class PromotionRefused(RegistryError):
    """The version would catch fewer of the ill than the one that is live."""

    code = "promotion-refused"
    status = 409
    title = "The version would lower sensitivity"
    default_remedy = "Who accepts that says so: --acknowledge-lower-sensitivity NAME."
