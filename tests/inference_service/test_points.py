"""Which operating point applies."""

import pytest

from inference_service.points import choose_point
from inference_service.problems import FieldRefused
from tests.diagnosis.test_judgement import card as plain_card


def test_the_operating_point() -> None:
    assert choose_point(plain_card(), None) == plain_card().operating_points[0]
    with pytest.raises(FieldRefused, match="balanced"):
        choose_point(plain_card(), "rule_in")
    without = plain_card().model_copy(update={"finding": None, "operating_points": ()})
    assert choose_point(without, None) is None
    with pytest.raises(FieldRefused, match="none"):
        choose_point(without, "balanced")
