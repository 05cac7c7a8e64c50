"""Which operating point of a model applies to a reading."""

from diagnosis.artifacts import Card
from diagnosis.artifacts.card import OperatingPoint
from diagnosis.contracts import OperatingPointName
from inference_service.problems import FieldRefused


def choose_point(card: Card, name: OperatingPointName | None) -> OperatingPoint | None:
    """The operating point that was asked for, or `balanced`; None where there is no finding.

    Raises:
        FieldRefused: it was asked for and the card has none of this name.
    """
    if card.finding is None and name is None:
        return None
    try:
        return card.operating_point(name or "balanced")
    except KeyError:
        known = ", ".join(point.name for point in card.operating_points) or "none"
        raise FieldRefused(
            operating_point=f"This disease's model has these operating points: {known}."
        ) from None
