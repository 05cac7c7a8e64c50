"""A version that drifted leaves service, and comes back by two people alone."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from diagnosis.artifacts import Registry
from diagnosis.artifacts.stopping import CONSENT_STANDS
from diagnosis.artifacts.storage import STATE
from diagnosis.errors import (
    AlreadyAgreed,
    ModelStopped,
    NoEarlierVersion,
    NotUnderReview,
    RegistryError,
)
from tests.fixtures.artifacts import variant

CHEST = "chest_xray_pneumonia"
ENGINEER, CLINICIAN, BOTH = ("engineer",), ("clinician",), ("admin", "clinician", "engineer")


@pytest.fixture
def registry(tiny_artifact: Path, tmp_path: Path) -> Registry:
    """Versions 1 to 3; 2 is live, and 1 was before."""
    found = Registry(tmp_path / "registry")
    for version in ("1", "2", "3"):
        found.publish(variant(tiny_artifact, tmp_path / f"v{version}", version=version))
    found.promote(CHEST, "1")
    found.promote(CHEST, "2")
    return found


def test_a_stopped_version_is_shadow_and_nothing_takes_its_place(registry: Registry) -> None:
    assert registry.stop(CHEST, "2", ("input", "score"))
    state = registry.state(CHEST)
    assert (state.live, state.shadow) == (None, "2")
    assert state.under_review[0].past == ("input", "score")
    assert (state.history[-1].action, state.history[-1].reason) == ("stop", "input, score")
    assert not registry.stop(CHEST, "2", ("input",))
    assert not registry.stop(CHEST, "1", ("input",))
    assert registry.state(CHEST) == state
    for forbidden in (
        lambda: registry.promote(CHEST, "2"),
        lambda: registry.shadow(CHEST, "2") and registry.promote(CHEST, "2"),
    ):
        with pytest.raises(ModelStopped):
            forbidden()


@pytest.mark.parametrize(
    "people",
    [
        [("u_a", ENGINEER), ("u_b", CLINICIAN)],
        [("u_a", CLINICIAN), ("u_b", BOTH)],
        [("u_a", BOTH), ("u_b", ENGINEER)],
        [("u_a", BOTH), ("u_b", BOTH)],
        [("u_a", ENGINEER), ("u_b", ENGINEER), ("u_c", CLINICIAN)],
    ],
)
def test_two_people_bring_it_back(
    registry: Registry, people: list[tuple[str, tuple[str, ...]]]
) -> None:
    registry.stop(CHEST, "2", ("input",))
    for by, roles in people[:-1]:
        assert registry.lift(CHEST, "2", by, roles).live is None
        with pytest.raises(AlreadyAgreed):
            registry.lift(CHEST, "2", by, BOTH)
    back = registry.lift(CHEST, "2", *people[-1])
    assert (back.live, back.shadow, back.under_review) == ("2", None, ())
    assert back.history[-1].action == "lift"
    with pytest.raises(NotUnderReview):
        registry.lift(CHEST, "2", "u_z", ENGINEER)
    assert registry.rollback(CHEST) == "1"


def aged(registry: Registry, folder: Path, by: timedelta) -> None:
    """What was agreed was agreed so much earlier."""
    state = registry.state(CHEST)
    reviews = tuple(
        one.model_copy(
            update={
                "consents": tuple(
                    given.model_copy(update={"at": given.at - by}) for given in one.consents
                )
            }
        )
        for one in state.under_review
    )
    earlier = state.model_copy(update={"under_review": reviews})
    (folder / CHEST / STATE).write_text(earlier.model_dump_json())


def test_a_consent_lapses_after_seven_days_and_may_be_given_again(
    registry: Registry, tmp_path: Path
) -> None:
    registry.stop(CHEST, "2", ("input",))
    registry.lift(CHEST, "2", "u_a", ENGINEER)
    (review,) = registry.state(CHEST).under_review
    assert review.until == review.consents[0].at + CONSENT_STANDS
    aged(registry, tmp_path / "registry", CONSENT_STANDS)
    now = review.at(datetime.now(UTC) + CONSENT_STANDS)
    assert (now.consents, now.until, now.wanted) == ((), None, ("engineer", "clinician"))
    # Alone, as if nobody had agreed; then the first one again, who is no third.
    assert registry.lift(CHEST, "2", "u_b", CLINICIAN).live is None
    assert [one.by for one in registry.state(CHEST).under_review[0].consents] == ["u_b"]
    assert registry.lift(CHEST, "2", "u_a", ENGINEER).live == "2"


def test_of_two_consents_the_later_one_counts_on(registry: Registry, tmp_path: Path) -> None:
    registry.stop(CHEST, "2", ("input",))
    registry.lift(CHEST, "2", "u_a", ENGINEER)
    aged(registry, tmp_path / "registry", timedelta(days=4))
    registry.lift(CHEST, "2", "u_b", ENGINEER)
    (review,) = registry.state(CHEST).under_review
    assert review.until == review.consents[1].until
    aged(registry, tmp_path / "registry", timedelta(days=4))
    with pytest.raises(AlreadyAgreed):
        registry.lift(CHEST, "2", "u_b", BOTH)
    assert registry.lift(CHEST, "2", "u_c", CLINICIAN).live == "2"


def test_what_is_still_wanted_is_told(registry: Registry) -> None:
    registry.stop(CHEST, "2", ("input",))
    assert registry.state(CHEST).under_review[0].wanted == ("engineer", "clinician")
    assert registry.lift(CHEST, "2", "u_a", CLINICIAN).under_review[0].wanted == ("engineer",)
    assert registry.lift(CHEST, "2", "u_b", CLINICIAN).under_review[0].wanted == ("engineer",)


def test_nobody_else_may_agree(registry: Registry) -> None:
    registry.stop(CHEST, "2", ("input",))
    with pytest.raises(RegistryError, match="engineer and a clinician"):
        registry.lift(CHEST, "2", "u_a", ("admin", "auditor"))
    with pytest.raises(NotUnderReview):
        registry.lift(CHEST, "1", "u_a", ENGINEER)


def test_another_version_may_be_promoted_and_stays_live(registry: Registry) -> None:
    registry.stop(CHEST, "2", ("input",))
    assert registry.promote(CHEST, "3").live == "3"
    assert registry.state(CHEST).stopped("2")
    registry.lift(CHEST, "2", "u_a", ENGINEER)
    after = registry.lift(CHEST, "2", "u_b", CLINICIAN)
    assert (after.live, after.under_review) == ("3", ())
    assert registry.promote(CHEST, "2").live == "2"


def test_a_rollback_passes_by_what_is_under_review(registry: Registry) -> None:
    registry.stop(CHEST, "2", ("input",))
    assert registry.rollback(CHEST) == "1"
    registry.stop(CHEST, "1", ("score",))
    with pytest.raises(NoEarlierVersion):
        registry.rollback(CHEST)
    assert {one.version for one in registry.state(CHEST).under_review} == {"1", "2"}


def test_retiring_a_stopped_version_is_no_way_round_the_review(registry: Registry) -> None:
    registry.stop(CHEST, "2", ("input",))
    assert [one.version for one in registry.state(CHEST).awaited] == ["2"]
    registry.retire(CHEST, "2")
    # Nobody waits for it any more, and nobody is paged about it.
    assert registry.state(CHEST).awaited == ()
    with pytest.raises(ModelStopped):
        registry.promote(CHEST, "2")
    registry.lift(CHEST, "2", "u_a", ENGINEER)
    after = registry.lift(CHEST, "2", "u_b", CLINICIAN)
    assert (after.live, after.retired, after.under_review) == (None, ("2",), ())
    assert registry.promote(CHEST, "2").live == "2"
