"""The rule of promotion: a new version may not catch fewer of the ill unless somebody says so.

Compared is the sensitivity at the operating point in use, as the two cards state it.
"""

from diagnosis.artifacts.card import Card
from diagnosis.contracts import OperatingPointName
from diagnosis.errors import PromotionRefused

#: The operating point that a reading's band and notices are made with.
IN_USE: OperatingPointName = "balanced"
_MAX_NAME = 80


def check_promotion(card: Card, live: Card | None, acknowledged_by: str | None) -> bool:
    """Check that a version may take the place of the live one.

    Args:
        card: of the version that is to go live.
        live: of the version that is live; None where none is.
        acknowledged_by: who accepts a lower sensitivity, if somebody does.

    Returns:
        Whether the sensitivity is lower (or unknown) and that was acknowledged.

    Raises:
        PromotionRefused: it is lower, and nobody acknowledged it, or the threshold was taken over
            from the live version instead of derived for this one.
    """
    if acknowledged_by is not None and not 0 < len(acknowledged_by.strip()) <= _MAX_NAME:
        raise PromotionRefused(f"A name has between 1 and {_MAX_NAME} characters.")
    if live is None or live.finding is None:
        return False
    after, before = measured_sensitivities(card, live)
    if before is None or (after is not None and after >= before):
        return False
    told = "was not measured" if after is None else f"is {after:.3f}"
    lower = (
        f"The sensitivity of version {card.version} of {card.disease} at the {IN_USE} operating"
        f" point {told}; that of the live version {live.version} is {before:.3f}."
    )
    if _threshold(card) == _threshold(live):
        raise PromotionRefused(
            f"{lower} Its threshold is that of the live version.",
            remedy="Derive the thresholds of the new version on its own validation images.",
        )
    if acknowledged_by is None:
        raise PromotionRefused(lower)
    return True


def measured_sensitivities(card: Card, live: Card) -> tuple[float | None, float | None]:
    """The sensitivities of two cards at the operating point in use, by one kind of measurement.

    Those of the test images where both cards have them, otherwise those of the images that the
    thresholds were chosen on; None where nothing was measured.
    """
    on_test = _on_test(card), _on_test(live)
    if None not in on_test:
        return on_test
    return _where_chosen(card), _where_chosen(live)


def _on_test(card: Card) -> float | None:
    figure = card.evaluation.operating_points.get(IN_USE, {}).get("sensitivity")
    return None if figure is None else figure.value


def _where_chosen(card: Card) -> float | None:
    # A card without one measured image states figures that nobody measured.
    if card.finding is None or not card.evaluation.images:
        return None
    return card.operating_point(IN_USE).sensitivity.value


def _threshold(card: Card) -> float | None:
    return None if card.finding is None else card.operating_point(IN_USE).threshold
