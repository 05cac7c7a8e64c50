"""Moves audit events from the stream into the chain, for as long as it runs.

An event leaves the stream only once its record is on the disk, so a kill at any moment loses none;
and an event that is in the chain already is not written again, so none is written twice.
"""

import asyncio
from datetime import datetime, timedelta

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from diagnosis.audit import Action, AuditEvent, AuditOutcome, AuditStream
from diagnosis.contracts import now
from diagnosis.errors import AuditUnavailable
from gateway.chain import Chain
from gateway.chain_heads import Head, add_head, read_heads

#: Records of one write; one fsync for all of them.
BATCH = 500
#: Milliseconds to wait for an event before the day is looked at.
WAIT_MS = 1000
#: How old the last head may be where there are records after it.
HEAD_EVERY = timedelta(minutes=1)
#: Seconds after Redis or the disk failed.
PAUSE_SECONDS = 1.0

log = structlog.get_logger("gateway")


class Chainer:
    """The one that chains; see `run`.

    Args:
        stream: where events come from.
        chain: where they go; held by this process.
        key: the gateway's, signs heads.
    """

    def __init__(self, stream: AuditStream, chain: Chain, key: Ed25519PrivateKey) -> None:
        self._stream = stream
        self._chain = chain
        self._key = key
        heads = [head for _, head in read_heads(chain.folder) if head is not None]
        self._head = heads[-1] if heads else None

    async def run(self, stopping: asyncio.Event) -> None:
        """Chain until told to stop, whatever Redis and the disk do meanwhile; then sign the head.

        Raises:
            ChainDamaged: somebody changed the end of the trail while it was written.
        """
        opened, failures = False, 0
        while not stopping.is_set():
            try:
                if not opened:
                    self._chain.mend()
                    await self._stream.open()
                    opened = True
                await self.once()
                self._sign_due(now())
                failures = 0
            except (AuditUnavailable, OSError) as error:
                # What was taken and not chained comes again after `open`.
                opened, failures = False, failures + 1
                # Once is how it begins where Redis is started at the same time.
                if failures > 1:
                    cause = getattr(error, "cause", None) or type(error).__name__
                    log.warning("chain", cause=cause)
                await asyncio.sleep(PAUSE_SECONDS)
        self._sign(now())

    async def once(self, wait_ms: int = WAIT_MS) -> int:
        """Chain what is there, at most a batch; returns how many entries were taken.

        Raises:
            AuditUnavailable: Redis does not answer.
            OSError: the disk does not take a record.
        """
        entries = await self._stream.take(BATCH, wait_ms)
        if entries:
            unreadable = sum(one.event is None for one in entries)
            if unreadable:
                log.error("chain", cause="entries that hold no event", entries=unreadable)
            self._chain.append(entries, now())
            await self._stream.done(entries)
        elif lost := await self._stream.lost():
            log.error("chain", cause="events were removed before they were chained", events=lost)
            await self._stream.add(
                AuditEvent(
                    at=now(),
                    action=Action.EVENTS_LOST,
                    actor="system",
                    unit="default",
                    outcome=AuditOutcome.FAILED,
                )
            )
        return len(entries)

    def _sign_due(self, at: datetime) -> None:
        """Sign what has come since the last head, once that is a minute old: while nothing comes,
        too, so that no more than a minute's records are ever without one."""
        if self._head is None or at - datetime.fromisoformat(self._head.at) >= HEAD_EVERY:
            self._sign(at)

    def _sign(self, at: datetime) -> None:
        last = self._chain.last
        if last is not None and (self._head is None or self._head.seq < last.seq):
            self._head = Head.sign(last, at, self._key)
            add_head(self._chain.folder, self._head)
