"""Every look at a reading and every change is written down, and nothing about a patient is."""

import re
from collections.abc import Callable
from uuid import UUID, uuid4

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from diagnosis.audit import Action, AuditEvent, AuditOutcome, MemoryAudit
from diagnosis.contracts import Prediction, new_prediction_id, now
from diagnosis.errors import AuditUnavailable, StoreUnavailable
from diagnosis.identity import Role
from diagnosis.results import MemoryResults
from tests.fixtures.identity import Acting
from tests.fixtures.live_service import DISEASE, Live, Start
from tests.fixtures.redis import RedisServer
from tests.inference_service.pictures import BRIGHT, DARK

ALLOWED, REFUSED, FAILED = AuditOutcome


def written(live: Live) -> list[tuple[Action, AuditOutcome, str | None]]:
    return [(one.action, one.outcome, one.object) for one in live.events]


def acting(live: Live, *roles: Role, **changes: object) -> httpx.AsyncClient:
    """Another client of the same service."""
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(live.app),
        base_url="http://inference",
        auth=Acting(*roles, **changes),
    )


async def test_a_reading_is_written_down_from_upload_to_deletion(live: Live) -> None:
    began = now()
    reading = (await live.read(BRIGHT)).json()["id"]
    address = f"/api/v1/predictions/{reading}"
    for path in (address, f"{address}/image", f"{address}/heatmap", "/api/v1/predictions"):
        await live.client.get(path)
    await live.client.delete(address)
    assert written(live) == [
        (Action.UPLOAD, ALLOWED, reading),
        *[(Action.VIEW, ALLOWED, reading)] * 3,
        (Action.EXPORT, ALLOWED, None),
        (Action.DELETE, ALLOWED, reading),
    ]
    for event in live.events:
        assert (event.actor, event.roles, event.unit) == (
            "k_tester",
            (Role.CLINICIAN,),
            "default",
        )
        assert began <= event.at <= now()


async def test_a_reading_that_is_carried_away_is_written_down_as_such(live: Live) -> None:
    reading = (await live.read(BRIGHT)).json()["id"]
    live.events.clear()
    address = f"/api/v1/predictions/{reading}"
    assert (await live.client.get(address, params={"purpose": "export"})).status_code == 200
    assert (await live.client.get(address, params={"purpose": "view"})).status_code == 200
    assert (await live.client.get(address, params={"purpose": "fun"})).status_code == 422
    assert written(live) == [(Action.EXPORT, ALLOWED, reading), (Action.VIEW, ALLOWED, reading)]


async def test_a_look_that_finds_nothing_is_written_down_without_what_was_asked_for(
    live: Live,
) -> None:
    reading = (await live.read(BRIGHT)).json()["id"]
    live.events.clear()
    async with acting(live, Role.CLINICIAN, via="key", unit="elsewhere") as stranger:
        assert (await stranger.get(f"/api/v1/predictions/{reading}")).status_code == 404
        assert (await stranger.delete(f"/api/v1/predictions/{reading}")).status_code == 404
    assert written(live) == [(Action.VIEW, REFUSED, None), (Action.DELETE, REFUSED, None)]
    assert {one.unit for one in live.events} == {"elsewhere"}


async def test_who_may_not_is_written_down(live: Live) -> None:
    async with acting(live, Role.ADMIN, Role.OPS) as other:
        assert (await other.get("/api/v1/predictions")).status_code == 403
    assert written(live) == [(Action.DENIED, REFUSED, None)]
    assert live.events[0].roles == (Role.ADMIN, Role.OPS)


async def test_what_was_refused_before_a_reading_was_made_is_no_upload(live: Live) -> None:
    assert (await live.read(b"no image")).status_code == 415
    assert live.events == []


async def test_a_change_of_the_live_model_is_written_down(live: Live) -> None:
    async with acting(live, Role.ENGINEER) as engineer:
        base = f"/api/v1/diseases/{DISEASE}"
        answer = await engineer.post(f"{base}/versions/1/promotion", json={})
        if answer.status_code != 200:
            answer = await engineer.post(
                f"{base}/versions/1/promotion", json={"acknowledged_by": "Some Body"}
            )
        await engineer.post(f"{base}/rollback")
    changes = [one for one in written(live) if one[1] is ALLOWED]
    assert changes[0] == (Action.MODEL_CHANGE, ALLOWED, f"{DISEASE}@1")
    assert changes[-1] == (Action.MODEL_CHANGE, ALLOWED, f"{DISEASE}@previous")


class CannotWrite(MemoryAudit):
    """Writes nothing of some actions."""

    def __init__(self, *actions: Action) -> None:
        super().__init__()
        self.actions = actions

    async def add(self, event: AuditEvent) -> None:
        if event.action in self.actions:
            raise AuditUnavailable(cause="for the test")
        await super().add(event)


async def test_what_cannot_be_written_down_is_not_done(start: Start) -> None:
    events = CannotWrite(Action.UPLOAD)
    live = await start(audit=events)
    refused = await live.read(DARK)
    assert (refused.status_code, refused.json()["code"]) == (503, "audit-unavailable")
    assert int(refused.headers["retry-after"]) > 0
    assert [path for path in live.service.settings.image_dir.rglob("*") if path.is_file()] == []
    assert (await live.client.get("/api/v1/predictions")).json()["items"] == []

    events.actions = ()
    reading = (await live.read(DARK)).json()["id"]
    events.actions = (Action.VIEW, Action.EXPORT, Action.DELETE)
    address = f"/api/v1/predictions/{reading}"
    answers = [
        await live.client.get(address),
        await live.client.get(f"{address}/image"),
        await live.client.get(f"{address}/heatmap"),
        await live.client.get("/api/v1/predictions"),
        await live.client.delete(address),
    ]
    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (503, "audit-unavailable")
        assert reading not in answer.text
    events.actions = ()
    assert (await live.client.get(f"{address}/image")).status_code == 200


async def test_a_model_does_not_change_unwritten(start: Start) -> None:
    live = await start(audit=CannotWrite(Action.MODEL_CHANGE))
    before = live.service.registry.state(DISEASE)
    async with acting(live, Role.ENGINEER) as engineer:
        for path in ("versions/1/promotion", "rollback"):
            answer = await engineer.post(f"/api/v1/diseases/{DISEASE}/{path}")
            assert (answer.status_code, answer.json()["code"]) == (503, "audit-unavailable")
    assert live.service.registry.state(DISEASE) == before


class CannotKeep(MemoryResults):
    """Keeps no reading."""

    async def add(self, prediction: Prediction, once: str | None = None) -> None:
        raise StoreUnavailable(cause="for the test")


async def test_what_failed_after_it_was_written_down_is_written_down_too(start: Start) -> None:
    live = await start(CannotKeep())
    assert (await live.read(BRIGHT)).status_code == 503
    (allowed, failed) = written(live)
    assert allowed[:2] == (Action.UPLOAD, ALLOWED)
    assert failed == (Action.UPLOAD, FAILED, allowed[2])


async def test_who_may_not_is_refused_though_that_cannot_be_written_down(start: Start) -> None:
    live = await start(audit=CannotWrite(Action.DENIED))
    async with acting(live, Role.OPS) as other:
        assert (await other.get("/api/v1/predictions")).status_code == 403


async def test_without_redis_nothing_is_shown(
    start: Start, start_redis: Callable[..., RedisServer]
) -> None:
    """Readings and events by the service's own user of Redis, and events in the stream."""
    redis = start_redis()
    live = await start(redis=True, redis_url=redis.url)
    reading = (await live.read(BRIGHT)).json()["id"]
    assert (await live.client.get(f"/api/v1/predictions/{reading}")).status_code == 200
    assert redis.command("XLEN audit:events") == ":2\r\n"


#: What a caller may try to have written down: a name, a record number, a UID of DICOM.
CANARIES = st.one_of(
    st.from_regex(r"[A-Z][a-z]{3,9}\^[A-Z][a-z]{3,9}", fullmatch=True),
    st.from_regex(r"[a-z]{4,9}_[a-z]{4,9}", fullmatch=True),
    st.from_regex(r"[1-9][0-9]{6,11}", fullmatch=True),
    st.from_regex(r"1\.2\.840\.[1-9][0-9]{4,9}\.[1-9][0-9]{2,6}", fullmatch=True),
)


async def test_nothing_that_a_caller_sets_is_written_down(live: Live) -> None:
    """A canary in every part of a request that is the caller's."""
    reading = (await live.read(BRIGHT)).json()["id"]
    examples: list[str] = []

    @settings(max_examples=12, database=None, phases=(Phase.generate,))
    @given(CANARIES)
    def collect(canary: str) -> None:
        examples.append(canary)

    collect()
    for canary in examples:
        digits = re.sub(r"\D", "", canary)[-12:].zfill(12)
        asked = [str(UUID(f"00000000-0000-7000-8000-{digits}")), canary]
        headers = {"x-request-id": canary, "user-agent": canary, "if-none-match": canary}
        await live.client.post(
            f"/api/v1/diseases/{DISEASE}/predictions",
            files={"image": (f"{canary}.png", DARK), canary: (canary, b"x")},
            data={"patient_reference": canary, "created_by": canary, "unit": canary},
            headers=headers,
        )
        await live.client.post(
            f"/api/v1/diseases/{DISEASE}/predictions",
            files={"image": ("x.png", DARK)},
            data={"operating_point": canary},
        )
        for one in asked:
            for path in (one, f"{one}/image", f"{one}/heatmap", f"{reading}/heatmap"):
                await live.client.get(
                    f"/api/v1/predictions/{path}", params={"class": canary}, headers=headers
                )
            await live.client.delete(f"/api/v1/predictions/{one}")
        await live.client.get(
            "/api/v1/predictions",
            params={"disease": canary, "class_id": canary, "cursor": canary, "patient": canary},
        )
        async with acting(live, Role.ENGINEER, name=canary) as engineer:
            await engineer.post(
                f"/api/v1/diseases/{DISEASE}/versions/{canary}/promotion",
                json={"acknowledged_by": canary},
            )
            await engineer.post(f"/api/v1/diseases/{canary}/rollback")
    assert len(live.events) > 3 * len(examples)
    text = "".join(one.model_dump_json(exclude={"at"}) for one in live.events)
    for canary in examples:
        assert canary not in text
        if canary.isdecimal():
            assert canary[-9:] not in re.sub(r'"object":"[^"]*"', "", text)
    # Objects are readings that were made, and nothing that was only asked for.
    listed = await live.service.results.list("default", limit=100)
    known = {str(one.id) for one in listed[0]} | {None}
    assert {one.object for one in live.events} <= known


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(canary=CANARIES, field=st.sampled_from(["actor", "object", "unit", "action", "outcome"]))
def test_no_field_of_an_event_takes_a_name_or_a_number(canary: str, field: str) -> None:
    fields = {
        "at": now(),
        "action": "view",
        "actor": "u_tester",
        "unit": "default",
        "outcome": "allowed",
        "object": str(new_prediction_id()),
    }
    if field == "unit" and re.fullmatch(r"[a-z][a-z0-9_]{0,63}", canary):
        # A unit's name is an administrator's, and such a one is a slug.
        return
    with pytest.raises(ValueError, match="1 validation error"):
        AuditEvent.model_validate(fields | {field: canary})
    with pytest.raises(ValueError, match="1 validation error"):
        AuditEvent.model_validate(fields | {"patient": canary})


def test_an_id_that_is_no_readings_is_no_object() -> None:
    with pytest.raises(ValueError, match="object"):
        AuditEvent.model_validate(
            {
                "at": now(),
                "action": "view",
                "actor": "u_tester",
                "unit": "default",
                "outcome": "allowed",
                "object": str(uuid4()),
            }
        )


async def test_of_a_deleted_patient_the_audit_lines_stay(live: Live) -> None:
    made = [
        (await live.read(image, patient_reference="Muster^Anna 1234567")).json()["id"]
        for image in (BRIGHT, DARK)
    ]
    live.events.clear()
    for _ in range(2):
        answer = await live.client.post(
            "/api/v1/patients/deletion", json={"patient_reference": "Muster^Anna 1234567"}
        )
        assert answer.status_code == 200
    asked = (Action.PATIENT_DELETE, ALLOWED, None)
    each = {(Action.PATIENT_DELETE, ALLOWED, one) for one in made}
    first, *deleted, second = written(live)
    assert (first, second) == (asked, asked)
    assert set(deleted) == each
    assert "Muster" not in "".join(one.model_dump_json() for one in live.events)


async def test_a_patient_is_not_deleted_unwritten(start: Start) -> None:
    live = await start(audit=CannotWrite(Action.PATIENT_DELETE))
    reading = (await live.read(BRIGHT, patient_reference="1234567")).json()["id"]
    answer = await live.client.post(
        "/api/v1/patients/deletion", json={"patient_reference": "1234567"}
    )
    assert (answer.status_code, answer.json()["code"]) == (503, "audit-unavailable")
    assert (await live.client.get(f"/api/v1/predictions/{reading}")).status_code == 200
