"""API keys: for programs, narrowed to some of their owner's roles, and with an end."""

import hmac
import re
from collections.abc import Awaitable, Callable
from typing import Final

from diagnosis.identity import Role
from gateway.identity.records import Account, ApiKey, digest, new_id, new_secret
from gateway.store import IdentityStore

PREFIX: Final = "slk_"
"""What every key begins with, so that scanners find one that was published by mistake."""
LONGEST_SECONDS: Final = 366 * 86400
"""How long a key may be good for."""

_KEY: Final = re.compile(r"slk_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
#: When a key was last used is noted at most so often, to spare the disk.
_NOTED_EVERY: Final = 60.0


class Keys:
    """Makes and finds API keys.

    Args:
        store: where they are kept, by digest.
        clock: seconds since 1970.
    """

    def __init__(self, store: IdentityStore, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock

    async def make(
        self,
        owner: Account,
        name: str,
        roles: tuple[Role, ...],
        expires_at: float,
        audit: Callable[[ApiKey], Awaitable[None]],
    ) -> tuple[ApiKey, str]:
        """A new key, and its text, which nobody is ever shown again.

        `audit` is told of the key before it is kept.
        """
        secret, key_id = new_secret(), new_id("k")
        key = ApiKey(
            id=key_id,
            owner=owner.id,
            name=name,
            roles=tuple(sorted(set(roles))),
            digest=digest(secret),
            made_at=self._clock(),
            expires_at=expires_at,
        )
        await audit(key)
        await self._store.add_key(key)
        return key, f"{PREFIX}{key_id.removeprefix('k_')}_{secret}"

    async def find(self, text: str) -> tuple[ApiKey, Account] | None:
        """The key with this text and its owner.

        None where there is none, it has ended, or its owner is disabled.
        """
        parts = _KEY.fullmatch(text)
        if parts is None:
            return None
        key = await self._store.key(f"k_{parts[1]}")
        # Compared whether there is one or not.
        right = hmac.compare_digest(digest(parts[2]), key.digest if key else digest(""))
        at = self._clock()
        if key is None or not right or at >= key.expires_at:
            return None
        owner = await self._store.account(key.owner)
        if owner is None or owner.disabled:
            return None
        if key.used_at is None or at - key.used_at >= _NOTED_EVERY:
            await self._store.change_key(key.id, lambda one: one.model_copy(update={"used_at": at}))
        return key, owner
