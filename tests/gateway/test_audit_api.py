"""Auditors search the trail and carry it away; nobody else sees it."""

import csv
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, Request
from starlette.responses import JSONResponse

from diagnosis.audit import Action, AuditOutcome, MemoryAudit, Received
from diagnosis.errors import SightlineError
from diagnosis.identity import HEADER, Identity, Role, verify_identity
from gateway.audit_api import AuditTrail, audit_router
from gateway.audit_search import Query, newest_first, oldest_first, search
from gateway.chain import Chain, Record
from gateway.chain_checks import verify
from gateway.chain_heads import Head, read_heads
from tests.fixtures.audit import make_event
from tests.fixtures.identity import PRIVATE_KEY, Acting

BEGIN = datetime(2026, 10, 29, 12, tzinfo=UTC)
READING = "01a215da-6a7d-7704-a32e-4e828855ed37"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six days over the end of a month, two events a day: a view, and a sign-in that failed."""
    chain = Chain.open(tmp_path)
    for day in range(6):
        at = BEGIN + timedelta(days=day)
        viewed = make_event(at=at, actor=f"u_{day % 2}", object=READING if day == 3 else None)
        failed = make_event(
            at=at + timedelta(hours=1),
            action=Action.SIGN_IN_FAILED,
            actor="anonymous",
            roles=(),
            outcome=AuditOutcome.REFUSED,
            object=None,
        )
        events = [
            Received(stream_id=f"{day + 1}-{number}", event=event)
            for number, event in enumerate((viewed, failed))
        ]
        chain.append(events, at)
    chain.append([Received(stream_id="99-0")], BEGIN + timedelta(days=6))
    chain.close()
    return tmp_path


def numbers(records: object) -> list[int]:
    assert isinstance(records, list | tuple)
    return [one.seq for one in records]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (Query(), list(range(13, 0, -1))),
        (Query(actor="u_1"), [11, 7, 3]),
        (Query(action="sign-in-failed"), [12, 10, 8, 6, 4, 2]),
        (Query(object=READING), [7]),
        (Query(since=BEGIN + timedelta(days=4)), [12, 11, 10, 9]),
        (Query(until=BEGIN + timedelta(hours=1)), [1]),
        (Query(since=BEGIN + timedelta(days=2), until=BEGIN + timedelta(days=3)), [6, 5]),
        (Query(actor="u_1", action="sign-in-failed"), []),
        (Query(since=datetime(2027, 6, 1, tzinfo=UTC)), []),
    ],
    ids=repr,
)
def test_a_search_finds_what_it_says(folder: Path, query: Query, found: list[int]) -> None:
    assert numbers(list(newest_first(folder, query))) == found
    assert numbers(list(oldest_first(folder, query, 13))) == found[::-1]
    assert numbers(list(oldest_first(folder, query, 6))) == [one for one in found[::-1] if one < 7]
    pages: list[list[int]] = []
    before = None
    while True:
        page, before = search(folder, query, before=before, limit=2)
        pages.append(numbers(page))
        if before is None:
            break
    assert [one for page in pages for one in page] == found
    assert all(len(page) == 2 for page in pages[:-1])


def test_pages_do_not_shift_while_records_are_added(folder: Path) -> None:
    first, before = search(folder, Query(), limit=4)
    chain = Chain.open(folder)
    chain.append([Received(stream_id="100-0", event=make_event())], BEGIN + timedelta(days=7))
    chain.close()
    second, _ = search(folder, Query(), before=before, limit=4)
    assert numbers([*first, *second]) == list(range(13, 5, -1))


def test_an_empty_trail_is_searched_too(tmp_path: Path) -> None:
    assert search(tmp_path, Query(), limit=5) == ((), None)


@pytest.fixture
def events() -> MemoryAudit:
    return MemoryAudit()


@pytest.fixture
async def client(folder: Path, events: MemoryAudit) -> AsyncIterator[httpx.AsyncClient]:
    """An auditor's client of an application with these routes."""

    async def auditor(request: Request) -> Identity:
        identity = verify_identity(request.headers.get(HEADER), PRIVATE_KEY.public_key())
        return identity.require(frozenset({Role.AUDITOR}))

    async def refuse(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, SightlineError)
        return JSONResponse({"code": error.code}, error.status)

    app = FastAPI()

    async def names() -> dict[str, str]:
        return {"u_0": "ada", "u_1": "bob", "u_2": "eve", "k_0": "nightly"}

    app.include_router(audit_router(AuditTrail(folder, PRIVATE_KEY, events, names), auditor))
    app.add_exception_handler(SightlineError, refuse)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://gateway", auth=Acting(Role.AUDITOR)
    ) as opened:
        yield opened


@pytest.mark.parametrize("path", ["/api/v1/audit", "/api/v1/audit/export"])
async def test_auditors_alone_see_the_trail(
    client: httpx.AsyncClient, events: MemoryAudit, path: str
) -> None:
    others = [role for role in Role if role is not Role.AUDITOR]
    answer = await client.get(path, auth=Acting(*others))
    assert (answer.status_code, answer.json()) == (403, {"code": "forbidden"})
    assert (await client.get(path, auth=lambda request: request)).status_code == 401
    assert events.events == []
    assert (await client.get(path)).status_code == 200


async def test_a_page_shows_records_and_leads_to_the_next(client: httpx.AsyncClient) -> None:
    page = (await client.get("/api/v1/audit", params={"limit": 2})).json()
    unreadable, failed = page["items"]
    assert unreadable["seq"] == 13
    assert unreadable["at"] is None
    assert failed == {
        "seq": 12,
        "at": "2026-11-03T13:00:00Z",
        "action": "sign-in-failed",
        "actor": "anonymous",
        "roles": [],
        "unit": "default",
        "outcome": "refused",
        "object": None,
        "hash": failed["hash"],
    }
    following = await client.get("/api/v1/audit", params={"cursor": page["next_cursor"]})
    assert following.json()["items"][0]["seq"] == 11
    days = {"from": "2026-10-31", "to": "2026-11-01", "action": "view"}
    found = (await client.get("/api/v1/audit", params=days)).json()
    assert [one["seq"] for one in found["items"]] == [7, 5]
    assert found["next_cursor"] is None


async def test_names_stand_beside_ids_and_find_them(client: httpx.AsyncClient) -> None:
    """Looked up when somebody looks: the chain holds ids, and a name may change."""
    page = (await client.get("/api/v1/audit", params={"actor": "Bob"})).json()
    assert [one["seq"] for one in page["items"]] == [11, 7, 3]
    assert page["names"] == {"u_1": "bob"}
    both = (await client.get("/api/v1/audit")).json()
    assert both["names"] == {"u_0": "ada", "u_1": "bob"}
    assert (await client.get("/api/v1/audit", params={"object": "eve"})).json()["items"] == []
    table = (await client.get("/api/v1/audit/export", params={"actor": "bob"})).text
    assert len(table.splitlines()) == 4
    assert "bob" not in table
    for unknown in ({"actor": "nobody"}, {"object": "nobody"}, {"actor": "nightly"}):
        answer = await client.get("/api/v1/audit", params=unknown)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request")


@pytest.mark.parametrize(
    "params",
    [
        {"actor": "Anna Muster"},
        {"action": "look"},
        {"object": "12345678"},
        {"from": "yesterday"},
        {"cursor": "0"},
        {"cursor": "x"},
        {"limit": "0"},
        {"limit": "101"},
        {"format": "xml"},
    ],
    ids=repr,
)
async def test_a_malformed_search_is_refused(
    client: httpx.AsyncClient, params: dict[str, str]
) -> None:
    path = "/api/v1/audit/export" if "format" in params else "/api/v1/audit"
    assert (await client.get(path, params=params)).status_code == 422


async def test_every_day_can_be_asked_for(client: httpx.AsyncClient) -> None:
    days = {"from": "0001-01-01", "to": "9999-12-31", "limit": "100"}
    assert len((await client.get("/api/v1/audit", params=days)).json()["items"]) == 12


async def test_an_export_is_a_table_and_is_written_down(
    client: httpx.AsyncClient, events: MemoryAudit
) -> None:
    answer = await client.get("/api/v1/audit/export", params={"actor": "u_1"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"].startswith('attachment; filename="audit-')
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["seq"] for row in rows] == ["3", "7", "11"]
    assert rows[1]["object"] == READING
    assert rows[1]["roles"] == "clinician"
    (event,) = events.events
    assert (event.action, event.actor, event.object) == (Action.EXPORT, "u_tester", None)


async def test_an_export_as_json_carries_a_head_away(
    client: httpx.AsyncClient, folder: Path
) -> None:
    made = (await client.get("/api/v1/audit/export", params={"format": "json"})).json()
    assert [one["seq"] for one in made["records"]] == list(range(1, 14))
    assert all(Record(**one).hash == Record(**one).expected_hash() for one in made["records"])
    head = Head(**made["head"])
    assert head == read_heads(folder)[-1][1]
    assert head.seq == 13
    assert verify(folder, [PRIVATE_KEY.public_key()], [head]).findings == []
    none = {"format": "json", "actor": "u_none"}
    assert (await client.get("/api/v1/audit/export", params=none)).json()["records"] == []
