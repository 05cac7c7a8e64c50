"""`make drift` in small, with images that nobody made: months without drift, and with it."""

import numpy as np
import pytest

from diagnosis.drift import Reference, make_reference
from tests.diagnosis.drift.synthetic import images
from tests.drift.run import tables
from tests.drift.streams import DAYS, VOLUME, chosen, follow
from tests.drift.trial import Row

COUNT = VOLUME * DAYS


@pytest.fixture(scope="module")
def reference() -> Reference:
    return make_reference(images(300, seed=0, each=2), "nothing real", draws=100)


@pytest.mark.parametrize("share", [0.5, 0.15])
def test_stable_months_stop_nothing(reference: Reference, share: float) -> None:
    months = [
        follow(reference, images(COUNT, seed=seed, share=share), until_stopped=False)
        for seed in range(1, 13)
    ]
    assert {one.windows for one in months} == {COUNT // reference.window}
    assert [one.stopped_on for one in months] == [None] * 12


@pytest.mark.parametrize(
    ("name", "change"),
    [("input", {"darker": 0.15}), ("embedding", {"moved": 2.0}), ("score", {"unsure": 0.2})],
)
def test_a_shift_stops_the_model_with_the_second_window(
    reference: Reference, name: str, change: dict[str, float]
) -> None:
    month = follow(reference, images(COUNT, seed=1, **change))  # type: ignore[arg-type]
    assert month.stopped_on == 2 * reference.window / VOLUME
    assert name in month.by


def test_what_is_chosen_has_the_mix_that_was_asked_for() -> None:
    some = images(300, seed=2, each=3)
    found = chosen(some, 2000, np.random.default_rng(1), share=0.2)
    assert len(found.kept) == 2000
    assert found.labels.mean() == pytest.approx(0.2, abs=0.03)


def test_the_table_says_what_was_found(reference: Reference) -> None:
    stable = follow(reference, images(COUNT, seed=1), until_stopped=False)
    shifted = follow(reference, images(COUNT, seed=1, darker=0.15))
    text = tables([Row("as ever", 300, 0.0, (stable,))], [Row("darker", 300, 0.25, (shifted,))])
    assert "| as ever | 1 | 15 |" in text
    assert "| darker | 25 % | 1 of 1 | 4 (4) |" in text
