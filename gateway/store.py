"""Accounts, sessions, keys and links in Redis: the one module of the gateway that speaks to it.

Keys. The braces are Redis' hash tag: all lie in one slot, so one transaction reaches them on a
cluster too. They are few and small.

    identity:{all}:account:<u_id>        an account, JSON
    identity:{all}:accounts              set of their ids
    identity:{all}:name:<name>           id of the account with this name
    identity:{all}:subject:<digest>      id of the account of this person at the OIDC provider
    identity:{all}:session:<digest>      a session, JSON; goes by itself
    identity:{all}:sessions:<u_id>       set of the digests of an account's sessions
    identity:{all}:key:<k_id>            an API key, JSON
    identity:{all}:keys                  set of their ids
    identity:{all}:link:<digest>         a one-time link, JSON; goes by itself
    identity:{all}:linked:<u_id>         digest of the one link of an account
    identity:{all}:tries:<digest>        sorted set of failed sign-ins by time; goes by itself
    identity:{all}:flow:<digest>         an OIDC sign-in under way; goes by itself

What has to be true of time is decided by whoever asks, with its own clock; Redis only clears away.
"""

import secrets
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import WatchError

from diagnosis.redis_connection import answers, open_client
from gateway.identity.records import Account, ApiKey, Link, Record, Session, Subject
from gateway.identity.refusals import AccountsUnavailable

_PREFIX: Final = "identity:{all}:"

R = TypeVar("R", bound=Record)


class NobodyLeft(Exception):
    """After this change nobody could administer the system."""


class Taken(Exception):
    """There is an account of this name, or of this person at the provider, already."""


class IdentityStore:
    """Every method may raise AccountsUnavailable.

    Args:
        client: one of its own that answers in bytes, see `connect`; `close` closes it.
    """

    def __init__(self, client: Redis) -> None:
        self._client = client

    # ---- accounts ----------------------------------------------------------------------------

    async def account(self, account_id: str) -> Account | None:
        """The account of this id."""
        return await self._get(Account, f"account:{account_id}")

    async def account_named(self, name: str) -> Account | None:
        """The account of this name, in lower case."""
        return await self._account_at(f"name:{name}")

    async def account_of(self, subject: Subject) -> Account | None:
        """The account of this person at the OIDC provider."""
        return await self._account_at(f"subject:{subject.digest}")

    async def accounts(self) -> list[Account]:
        """Every account, by name."""
        found = await self._all(Account, "accounts", "account")
        return sorted(found, key=lambda one: one.name)

    async def add_account(self, account: Account) -> None:
        """Keep a new account.

        Raises:
            Taken: its name or its person at the provider has one.
        """

        async def add(pipe: Pipeline) -> None:
            names = [f"name:{account.name}"]
            if account.subject is not None:
                names.append(f"subject:{account.subject.digest}")
            await pipe.watch(*map(_key, names))
            for name in names:
                if await pipe.exists(_key(name)):
                    raise Taken
            _queue(pipe)
            for name in names:
                pipe.set(_key(name), account.id)
            pipe.set(_key(f"account:{account.id}"), account.model_dump_json())
            pipe.sadd(_key("accounts"), account.id)

        await self._transaction(add)

    async def change_account(
        self,
        account_id: str,
        change: Callable[[Account], Account],
        *,
        even_the_last: bool = False,
    ) -> Account | None:
        """Replace an account by what `change` makes of it; None where there is none.

        `change` is called again where somebody else was faster. Whatever it raises is raised, and
        nothing is changed then. Id, name and subject stay as they are. `even_the_last` is for
        who gives the last admin a new way in.

        Raises:
            NobodyLeft: it is the last account that could administer the system, and could no more.
        """
        check = None if even_the_last else self._keep_an_admin
        return await self._change(Account, f"account:{account_id}", change, check)

    async def _keep_an_admin(self, pipe: Pipeline, before: Account, after: Account) -> None:
        """Look at the others within the same transaction: of two who close each other at once, one
        comes too late and sees what the other did."""
        if not before.administers or after.administers:
            return
        await pipe.watch(_key("accounts"))
        members = cast("set[bytes]", await pipe.smembers(_key("accounts")))
        names = [_key(f"account:{one.decode()}") for one in members if one.decode() != before.id]
        if names:
            await pipe.watch(*names)
        rows = cast("list[bytes | None]", await pipe.mget(names)) if names else []
        others = (Account.model_validate_json(row) for row in rows if row is not None)
        if not any(one.administers for one in others):
            raise NobodyLeft

    # ---- sessions ----------------------------------------------------------------------------

    async def session(self, digest: str) -> Session | None:
        """The session of a cookie."""
        return await self._get(Session, f"session:{digest}")

    async def add_session(self, session: Session, seconds: float) -> None:
        """Keep a session, for so many seconds at most."""

        async def add(pipe: Pipeline) -> None:
            _queue(pipe)
            pipe.set(
                _key(f"session:{session.digest}"), session.model_dump_json(), ex=_whole(seconds)
            )
            pipe.sadd(_key(f"sessions:{session.account}"), session.digest)
            pipe.expire(_key(f"sessions:{session.account}"), _whole(seconds))

        await self._transaction(add)

    async def change_session(
        self, digest: str, change: Callable[[Session], Session]
    ) -> Session | None:
        """As `change_account`; one that has been ended is not brought back."""
        return await self._change(Session, f"session:{digest}", change)

    async def end_session(self, session: Session) -> None:
        """Forget a session."""

        async def end(pipe: Pipeline) -> None:
            _queue(pipe)
            pipe.delete(_key(f"session:{session.digest}"))
            pipe.srem(_key(f"sessions:{session.account}"), session.digest)

        await self._transaction(end)

    async def end_sessions(self, account_id: str, but: str | None = None) -> None:
        """Forget every session of an account, but the one of this digest."""
        index = _key(f"sessions:{account_id}")

        async def end(pipe: Pipeline) -> None:
            await pipe.watch(index)
            members = cast("set[bytes]", await pipe.smembers(index))
            ended = [one.decode() for one in members if one.decode() != but]
            _queue(pipe)
            for one in ended:
                pipe.delete(_key(f"session:{one}"))
                pipe.srem(index, one)

        await self._transaction(end)

    # ---- keys --------------------------------------------------------------------------------

    async def key(self, key_id: str) -> ApiKey | None:
        """The API key of this id."""
        return await self._get(ApiKey, f"key:{key_id}")

    async def keys(self) -> list[ApiKey]:
        """Every API key, the newest first."""
        found = await self._all(ApiKey, "keys", "key")
        return sorted(found, key=lambda one: -one.made_at)

    async def add_key(self, key: ApiKey) -> None:
        """Keep a new API key."""

        async def add(pipe: Pipeline) -> None:
            _queue(pipe)
            pipe.set(_key(f"key:{key.id}"), key.model_dump_json())
            pipe.sadd(_key("keys"), key.id)

        await self._transaction(add)

    async def change_key(self, key_id: str, change: Callable[[ApiKey], ApiKey]) -> ApiKey | None:
        """As `change_account`; one that was deleted is not brought back."""
        return await self._change(ApiKey, f"key:{key_id}", change)

    async def delete_key(self, key_id: str) -> None:
        """Forget an API key."""

        async def delete(pipe: Pipeline) -> None:
            _queue(pipe)
            pipe.delete(_key(f"key:{key_id}"))
            pipe.srem(_key("keys"), key_id)

        await self._transaction(delete)

    async def keys_of(self, account_id: str) -> list[ApiKey]:
        """The API keys of an account, the newest first."""
        return [one for one in await self.keys() if one.owner == account_id]

    # ---- one-time links ----------------------------------------------------------------------

    async def add_link(self, link: Link, seconds: float) -> None:
        """Keep a link for so many seconds at most; an older one of the account counts no more."""
        at = _key(f"linked:{link.account}")

        async def add(pipe: Pipeline) -> None:
            await pipe.watch(at)
            older = cast("bytes | None", await pipe.get(at))
            _queue(pipe)
            if older is not None:
                pipe.delete(_key(f"link:{older.decode()}"))
            pipe.set(at, link.digest, ex=_whole(seconds))
            pipe.set(_key(f"link:{link.digest}"), link.model_dump_json(), ex=_whole(seconds))

        await self._transaction(add)

    async def link(self, digest: str) -> Link | None:
        """The link of this digest."""
        return await self._get(Link, f"link:{digest}")

    async def take_link(self, digest: str) -> Link | None:
        """The same, and it counts no more: of several callers at once, exactly one gets it."""
        async with _answers():
            row = cast("bytes | None", await self._client.getdel(_key(f"link:{digest}")))
        return None if row is None else Link.model_validate_json(row)

    # ---- failed sign-ins ---------------------------------------------------------------------

    async def note_try(self, about: str, at: float, window: float) -> tuple[str, list[float]]:
        """Note that somebody tries to sign in.

        Args:
            about: the digest of what is counted: a name, an address.
            at: when.
            window: seconds that a try counts.

        Returns:
            What this try is called, for `forgive_try`, and the times of all tries that count, this
            one included, the oldest first.
        """
        key = _key(f"tries:{about}")
        # A member of its own for each: two tries in one moment are two.
        member = secrets.token_hex(8)

        async def note(pipe: Pipeline) -> None:
            _queue(pipe)
            pipe.zremrangebyscore(key, "-inf", at - window)
            pipe.zadd(key, {member: at})
            pipe.expire(key, _whole(window))
            pipe.zrange(key, 0, -1, withscores=True)

        answers = await self._transaction(note)
        return member, [float(score) for _, score in answers[-1]]

    async def forgive_try(self, about: str, member: str) -> None:
        """Take back one try."""
        async with _answers():
            await self._client.zrem(_key(f"tries:{about}"), member)

    async def forgive_tries(self, about: str) -> None:
        """Take back all."""
        async with _answers():
            await self._client.delete(_key(f"tries:{about}"))

    # ---- sign-ins at a provider that are under way -------------------------------------------

    async def put_flow(self, digest: str, text: str, seconds: float) -> None:
        """Remember a sign-in that is under way, for so many seconds."""
        async with _answers():
            await self._client.set(_key(f"flow:{digest}"), text, ex=_whole(seconds))

    async def take_flow(self, digest: str) -> str | None:
        """What was remembered, once."""
        async with _answers():
            row = cast("bytes | None", await self._client.getdel(_key(f"flow:{digest}")))
        return None if row is None else row.decode()

    # ------------------------------------------------------------------------------------------

    async def ping(self) -> None:
        """Return when the store answers."""
        async with _answers():
            await self._client.ping()

    async def close(self) -> None:
        """Let go of connections."""
        await self._client.aclose()

    async def _account_at(self, name: str) -> Account | None:
        async with _answers():
            found = cast("bytes | None", await self._client.get(_key(name)))
        return None if found is None else await self.account(found.decode())

    async def _get(self, kind: type[R], name: str) -> R | None:
        async with _answers():
            row = cast("bytes | None", await self._client.get(_key(name)))
        return None if row is None else kind.model_validate_json(row)

    async def _all(self, kind: type[R], index: str, prefix: str) -> list[R]:
        async with _answers():
            members = cast("set[bytes]", await self._client.smembers(_key(index)))
            names = [_key(f"{prefix}:{one.decode()}") for one in members]
            rows = cast("list[bytes | None]", await self._client.mget(names)) if names else []
        return [kind.model_validate_json(row) for row in rows if row is not None]

    async def _change(
        self,
        kind: type[R],
        name: str,
        change: Callable[[R], R],
        check: Callable[[Pipeline, R, R], Awaitable[None]] | None = None,
    ) -> R | None:
        changed: R | None = None

        async def replace(pipe: Pipeline) -> None:
            nonlocal changed
            await pipe.watch(_key(name))
            row = cast("bytes | None", await pipe.get(_key(name)))
            if row is None:
                changed = None
            else:
                before = kind.model_validate_json(row)
                changed = change(before)
                if check is not None:
                    await check(pipe, before, changed)
            _queue(pipe)
            if changed is not None:
                pipe.set(_key(name), changed.model_dump_json(), keepttl=True)

        await self._transaction(replace)
        return changed

    async def _transaction(self, write: Callable[[Pipeline], Any]) -> Sequence[Any]:
        """Run `write`, which watches, reads, says `multi` and queues; again where it was late."""
        async with _answers(), self._client.pipeline(transaction=True) as pipe:
            while True:
                try:
                    await write(pipe)
                    return await pipe.execute()
                except WatchError:
                    await pipe.reset()  # type: ignore[no-untyped-call]


def connect(url: str, ca_file: Path | None = None) -> IdentityStore:
    """A store on the Redis at `url`; see `diagnosis.redis_connection.open_client`."""
    return IdentityStore(open_client(url, ca_file))


def _answers() -> AbstractAsyncContextManager[None]:
    return answers(AccountsUnavailable)


def _queue(pipe: Pipeline) -> None:
    """From here on commands are queued, and sent together."""
    pipe.multi()  # type: ignore[no-untyped-call]


def _key(name: str) -> str:
    return _PREFIX + name


def _whole(seconds: float) -> int:
    return max(1, round(seconds))
