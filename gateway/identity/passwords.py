"""Passwords: which may be used, and how they are kept."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from gateway.identity.refusals import PasswordRefused, TooManySignIns

MIN_CHARACTERS: Final = 12
#: No person types more, and a longer one would only cost time.
MAX_CHARACTERS: Final = 512

#: Hashes computed at once. Each takes 64 MB for a moment, so that it is dear to guess many.
_AT_ONCE: Final = 2
#: Passwords that may wait for it, about two seconds; one more is refused at once.
_MOST_WAITING: Final = 50

T = TypeVar("T")


def check_password(password: str, *names: str) -> None:
    """Nothing, where somebody with these names may use this password.

    There is no rule about kinds of characters: such rules make passwords that are hard to
    remember and easy to guess.

    Raises:
        PasswordRefused: it is too short or too long, a common one, or made of a name.
    """
    if len(password) < MIN_CHARACTERS:
        raise PasswordRefused(f"A password has at least {MIN_CHARACTERS} characters.")
    if len(password) > MAX_CHARACTERS:
        raise PasswordRefused(f"A password has at most {MAX_CHARACTERS} characters.")
    plain = password.casefold()
    if plain in _commonest():
        raise PasswordRefused("This is one of the passwords that are tried first.")
    if len(set(plain)) < 4:
        raise PasswordRefused("This password is made of too few different characters.")
    for name in names:
        # A name with a year or an exclamation mark is the name.
        left = plain.replace(name.casefold(), "") if len(name) > 2 else plain
        if len(left) < 6 and left != plain:
            raise PasswordRefused("This password is made of your name.")


@cache
def _commonest() -> frozenset[str]:
    lines = (Path(__file__).parent / "commonest_passwords.txt").read_text("utf-8").splitlines()
    return frozenset(line for line in lines if not line.startswith("#"))


class Passwords:
    """Hashes and verifies in threads of its own, so that other requests go on meanwhile.

    `hash` and `verify` raise TooManySignIns where too many wait already.

    Args:
        hasher: argon2id; by default with the memory and the time that RFC 9106 recommends.
    """

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="argon2")
        self._waiting = 0
        # What an unknown name is compared with: it costs what a known one does.
        self._nobodys = self._hasher.hash("nobody's password, and nobody knows it")

    async def hash(self, password: str) -> str:
        """The argon2id hash to keep."""
        return await self._run(lambda: self._hasher.hash(password))

    async def verify(self, kept: str | None, password: str) -> bool:
        """Whether this is the password. The same work where there is none (`kept` is None)."""

        def compare() -> bool:
            try:
                self._hasher.verify(kept or self._nobodys, password[:MAX_CHARACTERS])
            except (VerificationError, InvalidHashError):
                return False
            return kept is not None

        return await self._run(compare)

    def is_outdated(self, kept: str) -> bool:
        """Whether it was hashed with less work than is asked for now."""
        return self._hasher.check_needs_rehash(kept)

    def close(self) -> None:
        """Let go of the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[], T]) -> T:
        if self._waiting >= _MOST_WAITING:
            raise TooManySignIns
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1
