"""The store where its server is one of a cluster, and what two writers at once may not do."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from diagnosis.identity import Role
from gateway.identity.records import Account, ApiKey, Link, Session, Subject
from gateway.store import IdentityStore, Taken, connect
from tests.fixtures.redis import RedisServer


@pytest.fixture(scope="module", params=["alone", "cluster"])
def server(request: pytest.FixtureRequest, start_redis: Callable[..., RedisServer]) -> RedisServer:
    return start_redis(cluster=request.param == "cluster")


@pytest_asyncio.fixture
async def store(server: RedisServer) -> AsyncIterator[IdentityStore]:
    server.command("FLUSHALL")
    one = connect(server.url_for("identity"))
    yield one
    await one.close()


def account(number: int = 1, name: str = "ada", subject: str | None = None) -> Account:
    return Account(
        id=f"u_{number}",
        name=name,
        display_name=name,
        roles=(Role.OPS,),
        subject=None if subject is None else Subject(issuer="https://idp", subject=subject),
        made_at=1.0,
    )


def session(number: int) -> Session:
    return Session(
        digest=f"d{number}", account="u_1", csrf="c", made_at=1.0, seen_at=1.0, auth_time=1.0
    )


async def test_names_and_people_are_taken_once(store: IdentityStore) -> None:
    await store.add_account(account(1, "ada", "s1"))
    for other in (account(2, "ada"), account(2, "bob", "s1")):
        with pytest.raises(Taken):
            await store.add_account(other)
    assert [one.name for one in await store.accounts()] == ["ada"]
    found = await store.account_of(Subject(issuer="https://idp", subject="s1"))
    assert found == await store.account("u_1") == await store.account_named("ada")
    assert await store.account_of(Subject(issuer="https://other", subject="s1")) is None


async def test_of_many_who_take_a_name_at_once_one_does(store: IdentityStore) -> None:
    answers = await asyncio.gather(
        *(store.add_account(account(n, "ada")) for n in range(10)), return_exceptions=True
    )
    assert sum(isinstance(one, Taken) for one in answers) == 9
    assert len(await store.accounts()) == 1


async def test_no_change_of_an_account_is_lost(store: IdentityStore) -> None:
    await store.add_account(account())
    await asyncio.gather(
        *(
            store.change_account(
                "u_1", lambda one: one.model_copy(update={"totp_step": one.totp_step + 1})
            )
            for _ in range(8)
        )
    )
    changed = await store.account("u_1")
    assert changed is not None
    assert changed.totp_step == 8
    assert await store.change_account("u_2", lambda one: one) is None


async def test_sessions_end_one_by_one_and_together(store: IdentityStore) -> None:
    for number in range(4):
        await store.add_session(session(number), 100)
    await store.end_session(session(0))
    assert await store.session("d0") is None
    assert await store.change_session("d0", lambda one: one) is None
    assert await store.session("d0") is None, "not brought back"
    await store.end_sessions("u_1", but="d2")
    assert [await store.session(f"d{n}") is not None for n in range(4)] == [0, 0, 1, 0]
    await store.end_sessions("u_1")
    assert await store.session("d2") is None


async def test_what_goes_by_itself_keeps_its_end_when_it_is_changed(
    store: IdentityStore, server: RedisServer
) -> None:
    await store.add_session(session(1), 100)
    await store.change_session("d1", lambda one: one.model_copy(update={"seen_at": 5.0}))
    assert 90 < int(server.command("TTL identity:{all}:session:d1").strip(":\r\n")) <= 100


async def test_keys_and_links(store: IdentityStore) -> None:
    for number in (1, 2):
        await store.add_key(
            ApiKey(
                id=f"k_{number}",
                owner="u_1",
                name="n",
                roles=(Role.OPS,),
                digest="d",
                made_at=number,
                expires_at=9.0,
            )
        )
    assert [one.id for one in await store.keys()] == ["k_2", "k_1"]
    await store.delete_key("k_1")
    assert await store.change_key("k_1", lambda one: one) is None
    assert [one.id for one in await store.keys()] == ["k_2"]

    for number in (1, 2):
        await store.add_link(Link(digest=f"l{number}", account="u_1", expires_at=9.0), 100)
    assert await store.link("l1") is None
    taken = await asyncio.gather(*(store.take_link("l2") for _ in range(5)))
    assert sum(one is not None for one in taken) == 1


async def test_tries_are_counted_in_their_window(store: IdentityStore) -> None:
    first, _ = await store.note_try("x", 100.0, 60)
    _, times = await store.note_try("x", 100.0, 60)
    assert times == [100.0, 100.0]
    await store.forgive_try("x", first)
    _, times = await store.note_try("x", 159.0, 60)
    assert times == [100.0, 159.0]
    _, times = await store.note_try("x", 161.0, 60)
    assert times == [159.0, 161.0]
    await store.forgive_tries("x")
    _, times = await store.note_try("x", 162.0, 60)
    assert times == [162.0]


async def test_a_flow_is_taken_once(store: IdentityStore) -> None:
    await store.put_flow("f", "text", 60)
    assert [await store.take_flow("f") for _ in range(2)] == ["text", None]
