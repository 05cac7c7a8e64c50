"""The audit trail over HTTP, for auditors: `/api/v1/audit`, to search it and to carry it away."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime, TypeAdapter, ValidationError

from diagnosis.audit import Action, Actor, AuditEvent, AuditLog, ObjectId
from diagnosis.contracts import Wire, now
from diagnosis.errors import InvalidRequest
from diagnosis.identity import Identity
from gateway import audit_search
from gateway.audit_export import as_csv, sign_head
from gateway.chain import Record
from gateway.chain_heads import Head
from gateway.identity.records import Name

MAX_PAGE = 100

#: What is an id, or one of the two words that stand for nobody.
_ID: Final[TypeAdapter[str]] = TypeAdapter(Actor | ObjectId)


@dataclass(frozen=True)
class AuditTrail:
    """What the routes work with."""

    folder: Path
    """Where the chain lies; it is only read, but for signed heads."""
    key: Ed25519PrivateKey
    """The gateway's, signs heads."""
    log: AuditLog
    """Where an export is written down."""
    names: Callable[[], Awaitable[Mapping[str, str]]]
    """What each account and key is called now, by its id. The chain itself holds ids alone."""


class AuditRecord(Wire):
    """One record of the audit trail. Without an event, the fields of one are null."""

    seq: int
    at: AwareDatetime | None
    action: str | None
    actor: str | None
    roles: tuple[str, ...]
    unit: str | None
    outcome: str | None
    object: str | None
    hash: str

    @classmethod
    def of(cls, record: Record) -> Self:
        """A record of the chain, as it is shown."""
        event = record.event or {}
        return cls(
            seq=record.seq,
            at=event.get("at"),
            action=event.get("action"),
            actor=event.get("actor"),
            roles=tuple(event.get("roles", ())),
            unit=event.get("unit"),
            outcome=event.get("outcome"),
            object=event.get("object"),
            hash=record.hash,
        )


class AuditPage(Wire):
    """Records, newest first."""

    items: tuple[AuditRecord, ...]
    next_cursor: int | None
    """`cursor` of the next page; null where there is none."""
    names: dict[str, str]
    """What the accounts and keys of this page are called now, by their ids."""


class ExportFormat(StrEnum):
    """How an export is written."""

    CSV = "csv"
    JSON = "json"


async def _query(
    actor: Annotated[
        Actor | Name | None, Query(description="Only of this account or key; an id or a name.")
    ] = None,
    action: Annotated[Action | None, Query(description="Only of this kind.")] = None,
    object_id: Annotated[
        ObjectId | Name | None,
        Query(alias="object", description="Only what was done to this; an id or a name."),
    ] = None,
    since: Annotated[date | None, Query(alias="from", description="First day, in UTC.")] = None,
    until: Annotated[date | None, Query(alias="to", description="Last day, in UTC.")] = None,
) -> audit_search.Query:
    return audit_search.Query(
        actor=actor,
        action=None if action is None else action.value,
        object=object_id,
        since=None if since is None else _midnight(since),
        until=None if until is None or until == date.max else _midnight(until + timedelta(days=1)),
    )


Searched = Annotated[audit_search.Query, Depends(_query)]


def audit_router(
    trail: AuditTrail, auditor: Callable[..., Identity | Awaitable[Identity]]
) -> APIRouter:
    """The routes.

    Args:
        trail: what they work with.
        auditor: a dependency that answers who is asking, and raises unless they are an auditor.
    """
    router = APIRouter(prefix="/api/v1/audit", tags=["audit"])

    @router.get("", operation_id="searchAudit", dependencies=[Depends(auditor)])
    async def search(
        query: Searched,
        cursor: Annotated[
            int | None, Query(ge=1, description="`next_cursor` of the page before.")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
    ) -> AuditPage:
        """Records of the audit trail, newest first."""
        names = await trail.names()
        found, following = await asyncio.to_thread(
            audit_search.search, trail.folder, _by_id(query, names), before=cursor, limit=limit
        )
        items = tuple(map(AuditRecord.of, found))
        shown = {one for item in items for one in (item.actor, item.object)}
        return AuditPage(
            items=items,
            next_cursor=following,
            names={one: name for one, name in names.items() if one in shown},
        )

    @router.get("/export", operation_id="exportAudit", response_class=StreamingResponse)
    async def export(
        query: Searched,
        form: Annotated[ExportFormat, Query(alias="format")] = ExportFormat.CSV,
        identity: Identity = Depends(auditor),
    ) -> StreamingResponse:
        """All records that fit, oldest first. JSON holds a signed head and the whole records, so
        that their hashes can be checked; CSV is a table. The export itself is written down."""
        await trail.log.add(AuditEvent.of(identity, Action.EXPORT))
        query = _by_id(query, await trail.names())
        at = now()
        head = await asyncio.to_thread(sign_head, trail.folder, trail.key, at)
        last = 0 if head is None else head.seq
        records = audit_search.oldest_first(trail.folder, query, last)
        as_json = form is ExportFormat.JSON
        return StreamingResponse(
            _as_json(head, records) if as_json else as_csv(records),
            media_type="application/json" if as_json else "text/csv; charset=utf-8",
            headers={
                "Content-Disposition": f'attachment; filename="audit-{at:%Y%m%dT%H%M%SZ}.{form}"'
            },
        )

    return router


def _by_id(query: audit_search.Query, names: Mapping[str, str]) -> audit_search.Query:
    """The query with ids in the place of names.

    Raises:
        InvalidRequest: nobody is called so.
    """
    ids = {name: one for one, name in names.items() if one.startswith("u_")}

    def found(text: str | None) -> str | None:
        if text is None or text in ids:
            return text if text is None else ids[text]
        try:
            return _ID.validate_python(text)
        except ValidationError:
            raise InvalidRequest(
                "There is no account of this name.",
                remedy="Look for the name that somebody signs in with, or for an id.",
            ) from None

    return replace(query, actor=found(query.actor), object=found(query.object))


def _as_json(head: Head | None, records: Iterable[Record]) -> Iterator[bytes]:
    yield b'{"head":' + (b"null" if head is None else head.line()) + b',"records":['
    for number, record in enumerate(records):
        yield (b",\n" if number else b"\n") + record.line()
    yield b"\n]}\n"


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
