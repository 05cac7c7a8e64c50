"""The router: what an image may be read for, asked of the gates of the live models."""

from collections.abc import Iterable

from diagnosis.contracts import Suggestion, SuggestionList
from diagnosis.gate import DECODE_AT_LEAST, Look
from inference_service.decoding import Decoders
from inference_service.loading import LiveModel

SOME = "What the image may be read for, the likeliest first. Choose what the patient needs."
NONE_FITS = (
    "No model here was made for an image like this one. Check the image, or choose the disease"
    " yourself; the reading then says what is wrong with it."
)
NOBODY_TO_ASK = (
    "No live model can say at the moment which images it was made for; choose the disease yourself."
)


def suggest(models: Iterable[LiveModel], data: bytes, decoders: Decoders) -> SuggestionList:
    """The diseases whose gate an image passes, by how much it passes.

    Demonstrations are never proposed: a proposal is advice, and they are no help to a patient.

    Args:
        models: what is live.
        data: untrusted bytes of the image.
        decoders: read it.

    Raises:
        ImageRefused: it cannot be read.
    """
    image = decoders.read(data, decode_at_least=DECODE_AT_LEAST, look=True)
    assert image.look is not None
    asked = [
        one
        for one in models
        if one.gate is not None and one.disease.maturity == "clinical_candidate"
    ]
    items = sorted(_passed(asked, image.look), key=lambda one: -one.score)
    detail = NOBODY_TO_ASK if not asked else SOME if items else NONE_FITS
    return SuggestionList(items=tuple(items), detail=detail)


def _passed(models: Iterable[LiveModel], seen: Look) -> Iterable[Suggestion]:
    for model in models:
        if model.gate is None:
            continue
        reading = model.gate.reading(seen)
        if reading.passed:
            disease = model.disease
            yield Suggestion(
                disease=disease.id,
                name=disease.name,
                modality=disease.modality,
                # A typical good image has the score 1 at every gate, so gates can be compared.
                score=round((reading.score - reading.threshold) / (1 - reading.threshold), 4),
            )
