"""How often somebody may try: by name, and by the address that the tries come from.

A try is counted before it is judged and taken back when it succeeds, so that a hundred at once
are a hundred tries. One that we could not judge, because something of ours failed, does not count:
else an outage would lock out whoever waited for its end. What is counted is a digest: of a name
that exists or does not, which makes no difference here, and of an address.
"""

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

from diagnosis.errors import InputRefused
from gateway.identity.refusals import AccountsUnavailable, LockedOut
from gateway.store import IdentityStore

FAILURES: Final = 5
"""Failed tries of one name before it is closed."""
SECONDS: Final = 15 * 60
"""How long a failed try counts."""
FREE_BY_ADDRESS: Final = 20
"""Failed tries of one address before it has to wait between two."""
LONGEST_WAIT: Final = 15.0
"""Seconds that an address has to wait at most: a whole hospital may share it."""


class Attempts:
    """Counts failed tries to sign in.

    Args:
        store: where they are counted, for all processes.
        clock: seconds since 1970.
    """

    def __init__(self, store: IdentityStore, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock

    @asynccontextmanager
    async def trying(self, name: str, address: str) -> AsyncIterator["Attempt"]:
        """Count a try for as long as it is judged.

        It stays counted where it was said to have failed, or was refused for what it holds; where
        anything else went wrong it is taken back.

        Raises:
            LockedOut: it is one too many.
        """
        attempt = await self.begin(name, address)
        try:
            yield attempt
        except InputRefused:
            raise
        except Exception:
            if not attempt.failed:
                with suppress(AccountsUnavailable):
                    await attempt.take_back()
            raise

    async def begin(self, name: str, address: str) -> "Attempt":
        """Count a try.

        Raises:
            LockedOut: it is one too many; it was not counted then, or nobody would ever get in.
        """
        at = self._clock()
        by_name, by_address = _digest("name", name), _digest("address", address)
        from_there, times = await self._store.note_try(by_address, at, SECONDS)
        wait = _wait(times)
        if wait > 0:
            await self._store.forgive_try(by_address, from_there)
            raise LockedOut(wait)
        try:
            of_name, times = await self._store.note_try(by_name, at, SECONDS)
        except AccountsUnavailable:
            with suppress(AccountsUnavailable):
                await self._store.forgive_try(by_address, from_there)
            raise
        attempt = Attempt(self._store, {by_name: of_name, by_address: from_there}, by_name)
        if len(times) > FAILURES:
            await attempt.take_back()
            raise LockedOut(times[0] + SECONDS - at)
        return attempt

    async def reopen(self, name: str) -> None:
        """Let a name that was closed try again."""
        await self._store.forgive_tries(_digest("name", name))


class Attempt:
    """One try that was counted."""

    def __init__(self, store: IdentityStore, tries: dict[str, str], by_name: str) -> None:
        self._store = store
        self._tries = tries
        self._by_name = by_name
        self.failed = False
        """Whether it was judged, and wrong."""

    def fail(self) -> None:
        """It was wrong: it counts, whatever becomes of the request."""
        self.failed = True

    async def take_back(self) -> None:
        """It was not a failure."""
        for about, member in self._tries.items():
            await self._store.forgive_try(about, member)

    async def succeed(self) -> None:
        """Whoever it was is who they say: the failures of the name before it count no more.

        Those of the address do, as somebody with an account could else guess those of others.
        """
        await self.take_back()
        await self._store.forgive_tries(self._by_name)


def _wait(times: list[float]) -> float:
    """Seconds that the last of these tries came too early."""
    beyond = len(times) - 1 - FREE_BY_ADDRESS
    if beyond < 0:
        return 0.0
    pause = min(2.0**beyond, LONGEST_WAIT)
    return times[-2] + pause - times[-1]


def _digest(kind: str, text: str) -> str:
    return hashlib.sha256(f"{kind}\n{text}".encode()).hexdigest()
