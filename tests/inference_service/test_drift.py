"""A model that drifts is stopped, says so, and comes back when two people have agreed."""

import asyncio
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from diagnosis.artifacts.state import RegistryState
from diagnosis.audit import Action, AuditOutcome
from diagnosis.contracts import UNDER_REVIEW, Prediction, Review
from diagnosis.drift import REVIEWS
from diagnosis.errors import (
    AuditUnavailable,
    ModelUnderReview,
    RegistryError,
    StoreUnavailable,
)
from diagnosis.identity import Role
from diagnosis.watch import Kind
from inference_service.loading import LiveModel
from inference_service.views import OF_A_STOPPED_MODEL
from tests.fixtures.drift import WINDOW, give_reference, png
from tests.fixtures.live_service import DISEASE, Live, Start, reading_batches
from tests.inference_service.test_audit import CannotWrite
from tests.inference_service.test_batches import over, sent
from tests.inference_service.test_identity import VERSIONS, acting, refused

pytestmark = pytest.mark.xdist_group("film-gate")

LIFT = f"{VERSIONS}/1/lift"


@pytest.fixture
def referenced(artifacts: Path, tmp_path: Path) -> Path:
    """A `models/` folder whose one artifact has a gate and a reference."""
    folder = tmp_path / "referenced"
    shutil.copytree(artifacts / DISEASE / "1", folder / DISEASE / "1")
    give_reference(folder / DISEASE / "1", accuracy=0.9)
    return folder


@pytest.fixture
async def watched(start: Start, referenced: Path) -> Live:
    """A service that looks for drift when it is told to."""
    return await start(models_dir=referenced, drift_seconds=3600)


async def send(live: Live, count: int, *, first: int = 4000, darker: float = 1.0) -> list[str]:
    """Send so many made films that are judged; their ids."""
    found: list[str] = []
    seed = first
    while len(found) < count:
        answer = await live.read(png(seed, darker=darker))
        assert answer.status_code == 201, answer.text
        if answer.json()["outcome"] == "judged":
            found.append(answer.json()["id"])
        seed += 1
        assert seed < first + 5 * count, "the gate refuses nearly all"
    return found


async def drifted(live: Live) -> None:
    """Send three windows of dark films, of which two are enough, and look."""
    await send(live, 3 * WINDOW, darker=0.55)
    await looked(live)
    await live.until(lambda: live.service.models.entry(DISEASE) is not None)


async def looked(live: Live) -> None:
    """Look, after all that was kept has been entered."""
    await live.service.drift.close()
    await live.service.drift.look()


def metric(live: Live, name: str, **labels: str) -> float | None:
    return live.service.metrics.registry.get_sample_value(name, {"disease": DISEASE} | labels)


async def test_a_reading_keeps_sixteen_small_numbers(watched: Live) -> None:
    made = Prediction.model_validate_json((await watched.read(png(4000))).content)
    assert len(made.statistics) == 16
    kept = await watched.service.results.get("default", made.id)
    assert kept is not None
    assert kept.statistics == made.statistics


async def test_a_model_without_a_reference_is_not_watched(live: Live) -> None:
    plain = Prediction.model_validate_json((await live.read(png(4000))).content)
    assert plain.statistics == ()
    await looked(live)
    assert metric(live, "sightline_drift_images") is None
    assert metric(live, "sightline_model_under_review") == 0


async def test_readings_like_those_of_the_card_change_nothing(watched: Live) -> None:
    await send(watched, 2 * WINDOW)
    await looked(watched)
    for name in ("input", "embedding", "score"):
        value = metric(watched, "sightline_drift", statistic=name)
        limit = metric(watched, "sightline_drift_limit", statistic=name)
        assert value is not None
        assert limit is not None
        assert 0 <= value <= limit
    assert metric(watched, "sightline_drift_images") == 0
    assert metric(watched, "sightline_model_under_review") == 0
    assert watched.service.registry.state(DISEASE).live == "1"


async def test_one_window_stops_nothing_and_a_copy_counts_once(watched: Live) -> None:
    await send(watched, WINDOW, darker=0.55)
    for _ in range(WINDOW):
        await watched.read(png(4001, darker=0.55))
    await looked(watched)
    value = metric(watched, "sightline_drift", statistic="input")
    limit = metric(watched, "sightline_drift_limit", statistic="input")
    assert value is not None
    assert limit is not None
    assert value > limit
    assert metric(watched, "sightline_drift_images") == WINDOW
    assert watched.service.registry.state(DISEASE).live == "1"


async def test_a_model_that_drifted_is_stopped_and_says_so(watched: Live) -> None:
    await drifted(watched)
    state = watched.service.registry.state(DISEASE)
    assert (state.live, state.shadow) == (None, "1")
    assert "input" in state.under_review[0].past
    assert metric(watched, "sightline_model_under_review") == 1
    assert metric(watched, "sightline_drift", statistic="input") is not None
    stopped = [one for one in watched.events if one.action == Action.MODEL_STOP]
    assert [(one.actor, one.outcome, one.object) for one in stopped] == [
        ("system", AuditOutcome.ALLOWED, f"{DISEASE}@1")
    ]
    await until_stopped(watched)
    refused(await watched.read(png(4000)), 409, "model-under-review")
    described = (await watched.client.get(f"/api/v1/diseases/{DISEASE}")).json()
    assert described["status"] == "unavailable"
    assert described["status_detail"].startswith("Not available: under review.")
    # What answers "refused by its checks" elsewhere pages for another reason.
    assert metric(watched, "sightline_model_live", version="1") is None
    # Looked at again, nothing is stopped twice.
    await looked(watched)
    assert len([one for one in watched.events if one.action == Action.MODEL_STOP]) == 1
    assert metric(watched, "sightline_drift", statistic="input") is None


async def until_stopped(live: Live) -> None:
    async def says_so() -> bool:
        return (await live.read(png(1))).status_code == 409

    await live.until(says_so)


async def test_two_different_people_lift_it_an_engineer_and_a_clinician(watched: Live) -> None:
    await drifted(watched)
    async with (
        acting(watched, Role.ENGINEER, sub="u_engineer") as engineer,
        acting(watched, Role.ENGINEER, sub="u_another") as another,
        acting(watched, Role.CLINICIAN, Role.ENGINEER, sub="u_both") as both,
        acting(watched, Role.AUDITOR) as auditor,
    ):
        refused(await auditor.post(LIFT), 403, "forbidden")
        refused(await engineer.post(f"{VERSIONS}/1/promotion"), 409, "model-stopped")
        refused(await engineer.post(f"{VERSIONS}/9/lift"), 404, "unknown-version")
        first = (await engineer.post(LIFT)).json()
        assert first["live"] is None
        assert [one["wanted"] for one in first["under_review"]] == [["clinician"]]
        until = datetime.fromisoformat(first["under_review"][0]["agreed_until"])
        assert timedelta(days=6) < until - datetime.now(UTC) <= timedelta(days=7)
        refused(await engineer.post(LIFT), 409, "already-agreed")
        second = (await another.post(LIFT)).json()
        assert (second["live"], second["under_review"][0]["agreed"]) == (None, 2)
        last = (await both.post(LIFT)).json()
        assert (last["live"], last["under_review"]) == ("1", [])
        assert [one["action"] for one in last["history"]] == ["promote", "stop", "lift"]
        assert "input" in last["history"][1]["reason"]
        refused(await engineer.post(LIFT), 409, "not-under-review")
    lifts = [one for one in watched.events if one.action == Action.MODEL_LIFT]
    assert {one.actor for one in lifts if one.outcome == AuditOutcome.ALLOWED} == {
        "u_engineer",
        "u_another",
        "u_both",
    }

    async def answers() -> bool:
        return (await watched.read(png(4000))).status_code == 201

    await watched.until(answers)
    # It begins anew: what stopped it before is not held against it.
    assert await watched.service.watch.waiting("readings", DISEASE) >= WINDOW
    await looked(watched)
    # They are of no more use, and those since are less than a window.
    assert await watched.service.watch.waiting("readings", DISEASE) < WINDOW
    assert watched.service.registry.state(DISEASE).live == "1"
    assert metric(watched, "sightline_model_under_review") == 0
    assert metric(watched, "sightline_drift", statistic="input") is None
    await send(watched, WINDOW, first=6000)
    await looked(watched)
    value = metric(watched, "sightline_drift", statistic="input")
    assert value is not None
    assert value <= (metric(watched, "sightline_drift_limit", statistic="input") or 0)
    assert watched.service.registry.state(DISEASE).live == "1"


async def test_readings_that_a_stopped_model_made_say_so_until_it_is_lifted(watched: Live) -> None:
    (before,) = await send(watched, 1)
    async with sent(watched, [png(4000)]) as batch, reading_batches(watched):
        await over(watched, batch)

        async def told() -> set[bool]:
            """Whether it is said: of the reading by itself, in the list, in the two tables."""
            one = (await watched.client.get(f"/api/v1/predictions/{before}")).json()
            page = (await watched.client.get("/api/v1/predictions", params={"limit": 100})).json()
            summary = f"/api/v1/batches/{batch.id}/summary"
            (row,) = (await watched.client.get(f"{summary}.json")).json()["rows"]
            table = (await watched.client.get(f"{summary}.csv")).text.splitlines()
            codes = [[n["code"] for n in item["notices"]] for item in (one, *page["items"])]
            assert all(UNDER_REVIEW not in found[1:] for found in codes)
            in_tables = {row["model_under_review"], table[1].split(",")[-2] == "yes"}
            return in_tables | {UNDER_REVIEW in found for found in codes}

        assert await told() == {False}
        await drifted(watched)
        await until_stopped(watched)
        assert await told() == {True}
        kept = await watched.service.results.get("default", UUID(before))
        assert kept is not None
        assert not kept.model_under_review
        async with (
            acting(watched, Role.ENGINEER, sub="u_engineer") as engineer,
            acting(watched, Role.CLINICIAN, sub="u_clinician") as clinician,
        ):
            await engineer.post(LIFT)
            assert (await clinician.post(LIFT)).json()["live"] == "1"

        async def silent() -> bool:
            return await told() == {False}

        await watched.until(silent)


def test_the_notice_and_the_refusal_have_one_code() -> None:
    assert ModelUnderReview.code == UNDER_REVIEW == OF_A_STOPPED_MODEL.code


async def test_a_stop_is_lifted_with_a_password_of_the_last_two_minutes(watched: Live) -> None:
    await drifted(watched)
    async with acting(watched, Role.ENGINEER, via="key") as program:
        refused(await program.post(LIFT), 403, "reauthentication-needed")


async def test_clinicians_who_disagree_too_often_stop_a_model(
    watched: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One reading whose reviews cannot be read holds up none of the others."""
    unreadable, *ids = await send(watched, 2 * REVIEWS + 1)
    await review(watched, unreadable, "agree")
    await watched.service.drift.close()
    reviews = watched.service.results.reviews

    async def reviews_of(unit: str, prediction_id: UUID) -> tuple[Review, ...]:
        if str(prediction_id) == unreadable:
            raise StoreUnavailable(cause="a row that is none")
        return await reviews(unit, prediction_id)

    monkeypatch.setattr(watched.service.results, "reviews", reviews_of)
    for reading in ids:
        await review(watched, reading, "disagree")
    await looked(watched)
    assert metric(watched, "sightline_drift", statistic="agreement") == 1
    limit = metric(watched, "sightline_drift_limit", statistic="agreement")
    assert limit is not None
    assert 0.1 < limit < 0.4
    assert watched.service.registry.state(DISEASE).under_review[0].past == ("agreement",)


async def review(live: Live, reading: str, verdict: str, **said: str) -> None:
    answer = await live.client.post(
        f"/api/v1/predictions/{reading}/reviews", json={"verdict": verdict} | said
    )
    assert answer.status_code == 201, answer.text


async def test_a_reading_counts_once_however_often_and_by_whom_it_is_reviewed(
    watched: Live,
) -> None:
    ids = await send(watched, REVIEWS)
    for reading in ids:
        opinion = {"kind": "first_opinion", "class_id": None}
        first = await watched.client.post(f"/api/v1/predictions/{reading}/reviews", json=opinion)
        assert first.status_code == 201, first.text
        await review(watched, reading, "disagree")
        # Thought better of before anybody looked: the newest counts.
        await review(watched, reading, "agree")
    await looked(watched)
    assert metric(watched, "sightline_drift", statistic="agreement") == 0
    # Three windows of reviews, and none of readings that were not counted before.
    async with acting(watched, Role.CLINICIAN, sub="u_another") as another:
        for reading in ids:
            again = await another.post(
                f"/api/v1/predictions/{reading}/reviews", json={"verdict": "disagree"}
            )
            assert again.status_code == 201, again.text
            await review(watched, reading, "disagree")
            await review(watched, reading, "disagree", note="as I said")
    await looked(watched)
    assert await watched.service.watch.waiting("reviews", DISEASE) == 0
    assert metric(watched, "sightline_drift", statistic="agreement") == 0
    assert watched.service.registry.state(DISEASE).live == "1"


async def test_readings_of_before_a_lift_may_be_reviewed_after_it(watched: Live) -> None:
    """The days before a stop are looked at again; the version is not held to them once more."""
    ids = await send(watched, 2 * REVIEWS)
    watched.service.registry.stop(DISEASE, "1", ("score",))
    async with (
        acting(watched, Role.ENGINEER, sub="u_engineer") as engineer,
        acting(watched, Role.CLINICIAN, sub="u_clinician") as clinician,
    ):
        await engineer.post(LIFT)
        assert (await clinician.post(LIFT)).json()["live"] == "1"
    await watched.until(lambda: isinstance(watched.service.models.entry(DISEASE), LiveModel))
    for reading in ids:
        await review(watched, reading, "disagree")
    await looked(watched)
    assert metric(watched, "sightline_drift", statistic="agreement") is None
    assert watched.service.registry.state(DISEASE).live == "1"


async def test_of_two_reviews_at_once_one_enters_their_reading(watched: Live) -> None:
    (reading,) = await send(watched, 1)
    await asyncio.gather(*(review(watched, reading, "disagree") for _ in range(5)))
    await watched.service.drift.close()
    assert await watched.service.watch.waiting("reviews", DISEASE) == 1


async def test_a_window_that_another_service_looked_at_meanwhile_counts(
    watched: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    await send(watched, 2 * WINDOW, darker=0.55)
    drift, watch = watched.service.drift, watched.service.watch
    await drift.close()
    entry, state = watched.service.models.entry(DISEASE), watched.service.registry.state(DISEASE)
    assert isinstance(entry, LiveModel)
    card, waiting = entry.card, watch.waiting
    assert card.reference is not None

    async def waiting_after_another_looked(kind: Kind, disease: str) -> int:
        monkeypatch.setattr(watch, "waiting", waiting)
        assert card.reference is not None
        assert await drift._advance("readings", card, card.reference, state)
        return await waiting(kind, disease)

    monkeypatch.setattr(watch, "waiting", waiting_after_another_looked)
    await drift.look()
    # Two in a row: the other's is not written over.
    assert watched.service.registry.state(DISEASE).live is None


async def test_a_disease_that_cannot_be_looked_at_leaves_the_others_watched(
    watched: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, diseases = watched.service.registry.state, watched.service.models.diseases
    first, *_ = backwards = dict(reversed([*diseases.items()]))
    assert first != DISEASE
    monkeypatch.setattr(watched.service.models, "diseases", backwards)

    def broken(disease: str) -> RegistryState:
        if disease == first:
            raise RegistryError("cannot be read")
        return state(disease)

    await send(watched, 2 * WINDOW, darker=0.55)
    monkeypatch.setattr(watched.service.registry, "state", broken)
    with pytest.raises(RegistryError):
        await looked(watched)
    assert state(DISEASE).live is None


async def test_where_it_shall_only_be_shown_nothing_is_stopped(
    start: Start, referenced: Path
) -> None:
    shown = await start(models_dir=referenced, drift_seconds=3600, drift_stops=False)
    await send(shown, 2 * WINDOW, darker=0.55)
    await looked(shown)
    value = metric(shown, "sightline_drift", statistic="input")
    assert value is not None
    assert value > 1
    assert shown.service.registry.state(DISEASE).live == "1"


async def test_what_cannot_be_written_down_is_not_done(start: Start, referenced: Path) -> None:
    audit = CannotWrite(Action.MODEL_STOP)
    live = await start(models_dir=referenced, drift_seconds=3600, audit=audit)
    await send(live, 2 * WINDOW, darker=0.55)
    with pytest.raises(AuditUnavailable):
        await looked(live)
    assert live.service.registry.state(DISEASE).live == "1"
    audit.actions = ()
    await looked(live)
    assert live.service.registry.state(DISEASE).live is None
