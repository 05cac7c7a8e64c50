"""What is written down about who did what: events, added by services and chained by the gateway.

A service adds an event before it does what the event tells, and refuses the request where it
cannot: there is no look at a patient's image that is not written down. Whether an event was kept
is therefore known before the answer, and an event may tell of something that then failed, never
the other way round.

Every field is of a closed form. A name, a record number or a file's name fits in none of them.

One key: `audit:events`, a stream. Services may add to it and no more; the gateway's chainer takes
events out once they are in its chain (`gateway.chain`).
"""

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Protocol, Self, cast
from uuid import UUID

from pydantic import AwareDatetime, Field, StringConstraints, ValidationError
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from diagnosis.contracts import Slug, Wire, now
from diagnosis.errors import AuditUnavailable
from diagnosis.identity import Identity, Role
from diagnosis.redis_connection import answers, open_client, stream_entries
from diagnosis.telemetry import request_id

STREAM = "audit:events"
GROUP = "chain"
#: Its name, always the same: what one chainer took and did not finish is the next one's.
CONSUMER = "chainer"

_FIELD = "event"
_ACCOUNT = r"[uk]_[A-Za-z0-9_-]{1,64}"
_READING = r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
_MODEL = r"[a-z][a-z0-9_]{0,63}@([0-9]{1,6}|previous)"

#: An account, an API key, or nobody who could be told (`anonymous`), or the system itself.
Actor = Annotated[str, StringConstraints(pattern=rf"^({_ACCOUNT}|anonymous|system)$")]
#: The id of a reading, a batch, an account, an API key, or a version of a model
#: (`DISEASE@VERSION`, or `DISEASE@previous` for a rollback).
ObjectId = Annotated[str, StringConstraints(pattern=rf"^({_READING}|{_ACCOUNT}|{_MODEL})$")]


class Action(StrEnum):
    """What was done, or tried."""

    SIGN_IN = "sign-in"
    SIGN_OUT = "sign-out"
    SIGN_IN_FAILED = "sign-in-failed"
    DENIED = "denied"
    VIEW = "view"
    """A reading, its image or its heatmap was looked at; each is one event."""
    UPLOAD = "upload"
    EXPORT = "export"
    """Something was carried away: a page of the list, one reading as a report or a file, a part of
    the audit trail."""
    REVIEW = "review"
    DELETE = "delete"
    MODEL_CHANGE = "model-change"
    MODEL_STOP = "model-stop"
    """A model that drifted was taken out of use, by the system itself."""
    MODEL_LIFT = "model-lift"
    """Somebody agreed that a stopped model answers again; it takes two people."""
    THRESHOLD_CHANGE = "threshold-change"
    USER_CHANGE = "user-change"
    KEY_CHANGE = "key-change"
    PATIENT_DELETE = "patient-delete"
    BATCH_CHANGE = "batch-change"
    """A batch was closed, cancelled, or its failed files were to be read again."""
    EVENTS_LOST = "events-lost"
    """Events were taken out of the stream by somebody else than the chainer, before it saw them."""


class AuditOutcome(StrEnum):
    """How it went."""

    ALLOWED = "allowed"
    """It was let through; written before it is done."""
    REFUSED = "refused"
    """It was not let through, or there was nothing of that name."""
    FAILED = "failed"
    """It was let through before, and could then not be done."""


class AuditEvent(Wire):
    """One thing that somebody did or tried."""

    at: AwareDatetime
    """When, by the clock of the service."""
    action: Action
    actor: Actor
    roles: tuple[Role, ...] = ()
    """Roles that counted for the request, in order of their names."""
    unit: Slug
    """The unit of the actor."""
    outcome: AuditOutcome
    object: ObjectId | None = None
    """What it was done to; None where that is nothing of ours, or many things."""
    request_id: Annotated[str, StringConstraints(pattern="^[0-9a-f]{32}$")] | None = None
    """The request that it was done for, as the logs of every service name it; None for what is
    done on a command line."""

    @classmethod
    def of(
        cls,
        identity: Identity,
        action: Action,
        outcome: AuditOutcome = AuditOutcome.ALLOWED,
        object_id: UUID | str | None = None,
    ) -> Self:
        """What the sender of a request does now."""
        return cls(
            at=now(),
            action=action,
            actor=identity.sub,
            roles=tuple(sorted(identity.granted)),
            unit=identity.unit,
            outcome=outcome,
            object=None if object_id is None else str(object_id),
        )


class AuditLog(Protocol):
    """Where a service writes events down."""

    async def add(self, event: AuditEvent) -> None:
        """Write an event down; when this returns, it is durable.

        Raises:
            AuditUnavailable: it may not have been written, so what it tells must not be done.
        """

    async def close(self) -> None:
        """Let go of connections."""


class MemoryAudit:
    """Events in this process, gone when it ends; the peer for tests."""

    def __init__(self) -> None:
        self.events: list[AuditEvent] = []

    async def add(self, event: AuditEvent) -> None:
        self.events.append(_of_request(event))

    async def close(self) -> None:
        return


def _of_request(event: AuditEvent) -> AuditEvent:
    """The event with the id of the request that is answered now."""
    return event.model_copy(update={"request_id": request_id()})


class RedisAudit:
    """Events in a Redis stream. Durability is the server's: it runs with AOF `always`.

    Args:
        client: one of its own that answers in bytes, see `connect_audit`; `close` closes it.
    """

    def __init__(self, client: Redis) -> None:
        self._client = client

    async def add(self, event: AuditEvent) -> None:
        async with answers(AuditUnavailable):
            # No MAXLEN: only the chainer takes events out.
            await self._client.xadd(STREAM, {_FIELD: _of_request(event).model_dump_json()})

    async def close(self) -> None:
        await self._client.aclose()


class Received(Wire):
    """An entry of the stream, as the chainer took it."""

    stream_id: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,20}-[0-9]{1,20}$")]
    event: AuditEvent | None = Field(default=None)
    """None where the entry holds no event that can be read."""


class AuditStream:
    """The other end of the stream, for the chainer alone: takes events out in their order.

    An entry that was taken stays in the stream, and is given again after a restart, until `done`.
    """

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._unfinished = True
        # How many entries were ever taken out of the stream, as far as is known here.
        self._gone: int | None = None

    async def open(self) -> None:
        """Be ready to take; entries that were taken and not finished come first.

        Raises:
            AuditUnavailable: Redis does not answer.
        """
        async with answers(AuditUnavailable):
            try:
                await self._client.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
            except ResponseError as error:
                if not str(error).startswith("BUSYGROUP"):
                    raise
        self._unfinished, self._gone = True, None

    async def take(self, most: int, wait_ms: int) -> tuple[Received, ...]:
        """The next entries, in order; empty where none came within `wait_ms`.

        Args:
            most: entries at most.
            wait_ms: how long to wait for the first, less than Redis' deadline.

        Raises:
            AuditUnavailable: Redis does not answer; `open` again before the next `take`.
        """
        async with answers(AuditUnavailable):
            if self._unfinished:
                found = await self._read("0", most, None)
                if found:
                    return found
                self._unfinished = False
            return await self._read(">", most, wait_ms)

    async def done(self, entries: Iterable[Received]) -> None:
        """Take entries out of the stream: they are in the chain.

        Raises:
            AuditUnavailable: Redis does not answer; they may still be there.
        """
        ids = [one.stream_id for one in entries]
        async with answers(AuditUnavailable), self._client.pipeline(transaction=True) as both:
            both.xack(STREAM, GROUP, *ids)
            both.xdel(STREAM, *ids)
            await both.execute()

        if self._gone is not None:
            self._gone += len(ids)

    async def lost(self) -> int:
        """How many entries somebody else took out since the last call, or since the first one
        after `open`. To be asked while nothing that was taken is unfinished.

        Who may add to a stream may also cut it short in the same command, which no right of a
        Redis user prevents; so it is found out.

        Raises:
            AuditUnavailable: Redis does not answer.
        """
        async with answers(AuditUnavailable):
            stream = cast("dict[str, int]", await self._client.xinfo_stream(STREAM))
        before, self._gone = self._gone, stream["entries-added"] - stream["length"]
        return 0 if before is None else max(0, self._gone - before)

    async def add(self, event: AuditEvent) -> None:
        """As `AuditLog.add`: what the chainer itself has to say."""
        await RedisAudit(self._client).add(event)

    async def close(self) -> None:
        """Let go of connections."""
        await self._client.aclose()

    async def _read(self, after: str, most: int, wait_ms: int | None) -> tuple[Received, ...]:
        answer = await self._client.xreadgroup(
            GROUP, CONSUMER, {STREAM: after}, count=most, block=wait_ms
        )
        return tuple(_received(identifier, fields) for identifier, fields in stream_entries(answer))


def connect_audit(url: str, ca_file: Path | None = None) -> RedisAudit:
    """Where services add events; see `diagnosis.redis_connection.open_client`."""
    return RedisAudit(open_client(url, ca_file))


def connect_stream(url: str, ca_file: Path | None = None) -> AuditStream:
    """Where the chainer takes events; see `diagnosis.redis_connection.open_client`."""
    return AuditStream(open_client(url, ca_file))


def _received(identifier: bytes, fields: dict[bytes, bytes] | None) -> Received:
    event = None
    try:
        if fields is not None:
            event = AuditEvent.model_validate_json(fields[_FIELD.encode()])
    except (ValidationError, KeyError):
        pass
    return Received(stream_id=identifier.decode(), event=event)
