"""Why an artifact, a key or a change of the registry is refused: for engineers."""

from diagnosis.errors.base import SightlineError
from diagnosis.errors.services import TemporarilyUnavailable


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


class NotPortable(SightlineError):
    """The network cannot be written as ONNX without changing what it answers."""

    code = "not-portable"
    status = 409
    title = "This model cannot run on other devices"
    default_detail = "This version of the model cannot be kept on a device."
    default_remedy = "Read with it here, while there is a network."


class RegistryError(SightlineError):
    """The registry cannot do what was asked (an unknown version, a half-made folder)."""

    code = "registry-error"
    title = "The registry cannot do this"
    default_remedy = "`trainer list` shows what the registry holds."


class RegistryUnavailable(TemporarilyUnavailable, RegistryError):
    """The folder or the bucket of the registry cannot be reached: nobody knows what it holds."""

    code = "registry-unavailable"
    title = "The models cannot be looked up at the moment"
    default_detail = "The registry of models does not answer."
    default_remedy = "Nothing was changed; try again in a few seconds."


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


class ModelStopped(RegistryError):
    """The version drifted and was stopped; it may be live only once that is lifted."""

    code = "model-stopped"
    status = 409
    title = "This version is under review"
    default_detail = "This version was stopped because it drifted."
    default_remedy = "An engineer and a clinician lift the stop together, or promote another one."


class NotUnderReview(RegistryError):
    """There is no stop to lift."""

    code = "not-under-review"
    status = 409
    title = "This version is not under review"
    default_detail = "This version is not under review, so there is nothing to lift."
    default_remedy = "Look at the versions of the model: somebody may have lifted it already."


class AlreadyAgreed(RegistryError):
    """The same person agrees a second time; it takes two."""

    code = "already-agreed"
    status = 409
    title = "Somebody else has to agree"
    default_detail = "You have agreed to lift this stop already; it takes a second person."
    default_remedy = "Ask somebody of the other role, an engineer or a clinician, to agree."


class PromotionRefused(RegistryError):
    """The version would catch fewer of the ill than the one that is live."""

    code = "promotion-refused"
    status = 409
    title = "The version would lower sensitivity"
    default_remedy = "Who accepts that says so: --acknowledge-lower-sensitivity NAME."
