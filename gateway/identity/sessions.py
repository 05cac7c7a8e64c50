"""Sessions: a browser that has signed in, known by a random cookie."""

from collections.abc import Callable
from typing import Final, Literal

from gateway.identity.records import Account, Session, digest, new_secret
from gateway.store import IdentityStore

IDLE_SECONDS: Final = 15 * 60
"""How long a session lives without a request."""
LIFE_SECONDS: Final = 12 * 60 * 60
"""How long it lives at most."""
UNFINISHED_SECONDS: Final = 10 * 60
"""How long somebody may take for the second step of signing in."""

#: A request is noted at most so often, to spare the disk; a session may end so much early.
_NOTED_EVERY: Final = 20.0

#: A cookie of ours has 43 characters; a longer one is not looked at.
_MAX_CHARACTERS: Final = 100


class Sessions:
    """Begins, finds and ends sessions.

    Args:
        store: where they are kept.
        clock: seconds since 1970.
    """

    def __init__(self, store: IdentityStore, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock

    async def begin(
        self,
        account: Account,
        *,
        instead_of: str | None = None,
        awaits: Literal["code", "enrolment"] | None = None,
        auth_time: float | None = None,
    ) -> str:
        """Begin a session with a new id, and return the value of its cookie.

        Args:
            account: whose.
            instead_of: the cookie that the browser has; its session, if it has one, ends.
            awaits: what is missing before anybody is signed in.
            auth_time: when they showed who they are, where that was not now; never later than now.
        """
        secret, at = new_secret(), self._clock()
        if instead_of is not None:
            await self.end(instead_of)
        session = Session(
            digest=digest(secret),
            account=account.id,
            csrf=new_secret(),
            made_at=at,
            seen_at=at,
            auth_time=at if auth_time is None else min(auth_time, at),
            awaits=awaits,
        )
        await self._store.add_session(session, LIFE_SECONDS)
        return secret

    async def find(self, cookie: str | None) -> tuple[Session, Account] | None:
        """The session of a cookie, what it awaits included, and whose it is.

        None where there is none, it is too old, or the account may not sign in any more.
        """
        session = await self._alive(cookie)
        if session is None:
            return None
        account = await self._store.account(session.account)
        if account is None or not account.can_sign_in:
            return None
        at = self._clock()
        if at - session.seen_at >= _NOTED_EVERY:
            await self._store.change_session(
                session.digest, lambda one: one.model_copy(update={"seen_at": at})
            )
        return session, account

    async def confirm(self, session: Session, auth_time: float | None = None) -> None:
        """Whoever sits there has shown again who they are: now, or at a time before."""
        at = self._clock()
        shown = at if auth_time is None else min(auth_time, at)
        await self._store.change_session(
            session.digest, lambda one: one.model_copy(update={"auth_time": shown, "seen_at": at})
        )

    async def end(self, cookie: str | None) -> None:
        """End the session of a cookie, if it has one."""
        session = await self._alive(cookie)
        if session is not None:
            await self._store.end_session(session)

    async def end_all(self, account: Account, but: Session | None = None) -> None:
        """End every session of an account, but one."""
        await self._store.end_sessions(account.id, None if but is None else but.digest)

    async def _alive(self, cookie: str | None) -> Session | None:
        if not cookie or len(cookie) > _MAX_CHARACTERS:
            return None
        session = await self._store.session(digest(cookie))
        if session is None:
            return None
        at = self._clock()
        life = LIFE_SECONDS if session.awaits is None else UNFINISHED_SECONDS
        if at - session.made_at >= life or at - session.seen_at >= IDLE_SECONDS:
            await self._store.end_session(session)
            return None
        return session
