"""Each user of Redis may do what its service needs and nothing else, on both servers.

The table is made by trying every command as every user against a real server with the real ACL
file. It stands in docs/security.md; `python -m tests.gateway.test_redis_users` writes it anew.
"""

import re
import stat
import tempfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from unittest.mock import ANY

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from redis import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError

from diagnosis.audit import connect_audit, connect_stream
from diagnosis.contracts import now
from diagnosis.errors import StoreUnavailable
from diagnosis.queue import Finished, connect_batches, connect_work
from diagnosis.results import connect
from diagnosis.watch import Told, connect_watch
from gateway.redis_users import USERS, RedisUser, acl_file, passwords_in, write_acl_file
from gateway.servers import packaged_valkey
from gateway.settings import PROJECT
from tests.fixtures.audit import make_event
from tests.fixtures.ports import free_port
from tests.fixtures.predictions import make_prediction, make_review
from tests.fixtures.queues import PROBLEM, Queue, make_batch, make_item, reading_of
from tests.fixtures.redis import RedisServer

DOCUMENT = Path(__file__).parents[2] / "docs" / "security.md"
BEGIN, END = "<!-- begin redis-users -->", "<!-- end redis-users -->"

#: One key of each kind that there is, and one that is nobody's.
KEYS = {
    "readings": "results:{default}:row:0",
    "reviews": "results:{default}:reviews:0",
    "once": "results:{default}:once:0",
    "batches": "queue:{default}:0",
    "drift": "drift:{chest_xray_pneumonia}:readings",
    "posted": "drift:posted",
    "audit": "audit:events",
    "identity": "identity:account:0",
    "other": "other",
}

#: Commands with `KEY` where a key stands. What any service uses, and what nobody may use.
COMMANDS = (
    *("SETNX KEY x", "SET KEY x", "GET KEY", "GETDEL KEY", "MGET KEY", "EXISTS KEY", "DEL KEY"),
    *("INCR KEY", "EXPIRE KEY 9", "TTL KEY", "HSET KEY f x", "HGETALL KEY", "WATCH KEY"),
    *("SADD KEY x", "SREM KEY x", "SMEMBERS KEY", "ZADD KEY 0 x", "ZREM KEY x"),
    *("RPUSH KEY x", "LRANGE KEY 0 -1", "LSET KEY 0 x", "LPOP KEY", "LREM KEY 0 x"),
    *("LLEN KEY", "LTRIM KEY 0 -1"),
    *("ZRANGEBYLEX KEY - +", "ZLEXCOUNT KEY - +", "ZCARD KEY", "ZMSCORE KEY x"),
    *("ZREVRANGEBYLEX KEY + -", "ZRANGE KEY 0 -1", "ZREMRANGEBYSCORE KEY 0 1", "UNWATCH"),
    *(
        "XADD KEY * event x",
        "XLEN KEY",
        "XINFO STREAM KEY",
        "XRANGE KEY - +",
        "XREAD STREAMS KEY 0",
    ),
    *("XGROUP CREATE KEY other 0 MKSTREAM", "XREADGROUP GROUP chain chainer STREAMS KEY >"),
    *("HGET KEY f", "HMGET KEY f", "HDEL KEY f", "INCRBY KEY 1", "ZRANGEBYSCORE KEY 0 1"),
    *("XAUTOCLAIM KEY chain chainer 0 0", "XCLAIM KEY chain chainer 0 0-1", "XPENDING KEY chain"),
    *("XACK KEY chain 0-1", "XDEL KEY 0-1", "XTRIM KEY MAXLEN 0", "XGROUP DESTROY KEY other"),
    *("XSETID KEY 0-1", "RENAME KEY other", "DUMP KEY", "OBJECT ENCODING KEY"),
    *("PING", "INFO server", "DBSIZE", "SLOWLOG LEN", "SLOWLOG GET"),
    *("LATENCY LATEST", "LATENCY HISTOGRAM"),
    *("KEYS *", "SCAN 0", "RANDOMKEY", "EVAL return(1) 0", "EVALSHA 0 0", "FCALL f 0"),
    *("SCRIPT FLUSH", "FUNCTION LIST", "CONFIG GET dir", "CONFIG SET maxmemory 0"),
    *("FLUSHALL", "FLUSHDB", "SHUTDOWN NOSAVE", "DEBUG SLEEP 0", "REPLICAOF NO ONE"),
    *("SAVE", "BGREWRITEAOF", "MONITOR", "ACL LIST", "ACL WHOAMI", "MODULE LIST"),
    *("CLIENT LIST", "CLIENT KILL ID 0", "COMMAND COUNT", "SUBSCRIBE x", "PUBLISH x x"),
    *("SELECT 0", "SWAPDB 0 0", "WAIT 0 1", "MEMORY USAGE KEY", "CLUSTER INFO"),
)

Table = dict[str, dict[str, tuple[str, ...]]]


def allowed(client: Redis, command: str) -> bool:
    """Whether the user of a client may do this; it is done if so."""
    try:
        client.execute_command(*command.split())
    except NoPermissionError:
        return False
    except ResponseError as error:
        # Switched off for everybody; else let through, and then it did not fit the value.
        return "command not allowed" not in str(error)
    except IndexError:
        return True
    return True


def table_of(server: RedisServer) -> Table:
    """For each command and user, the kinds of keys it may be used on; `yes` where it has none."""
    table: Table = {}
    for command in COMMANDS:
        row = table.setdefault(name_of(command), {})
        for user in USERS:
            with Redis.from_url(server.url_for(user.name), driver_info=None) as client:
                if "KEY" not in command.split():
                    row[user.name] = ("yes",) if allowed(client, command) else ()
                    continue
                row[user.name] = tuple(
                    kind
                    for kind, key in KEYS.items()
                    if allowed(client, command.replace("KEY", key, 1))
                )
    return table


def name_of(command: str) -> str:
    """The command without its arguments."""
    words = [one for one in command.split() if one.isalpha() and one.isupper() and one != "KEY"]
    two = words[0] in {
        *("XGROUP", "XINFO", "SLOWLOG", "LATENCY", "SCRIPT", "FUNCTION", "CONFIG", "ACL", "MODULE"),
        *("CLIENT", "OBJECT", "MEMORY", "CLUSTER", "DEBUG", "COMMAND"),
    }
    return " ".join(words[: 2 if two else 1])


def as_markdown(table: Table) -> str:
    """The table as it stands in the document."""
    names = [user.name for user in USERS]
    lines = [
        f"| command | {' | '.join(names)} |",
        f"|---|{'---|' * len(names)}",
        *(
            f"| `{command}` | {' | '.join(', '.join(row[name]) or 'no' for name in names)} |"
            for command, row in table.items()
        ),
    ]
    return "\n".join(lines)


@pytest.fixture(scope="module", params=["installed", "packaged"])
def server(request: pytest.FixtureRequest, start_redis: Callable[..., RedisServer]) -> RedisServer:
    """Redis as it is installed here, and the one that comes by pip."""
    binary = packaged_valkey() if request.param == "packaged" else None
    assert request.param == "installed" or binary is not None
    return start_redis(binary=binary)


def test_every_user_may_do_what_the_document_says(server: RedisServer) -> None:
    made = as_markdown(table_of(server))
    print(made)  # noqa: T201 - the table is what this test is for
    written = DOCUMENT.read_text().partition(BEGIN)[2].partition(END)[0].strip()
    assert made == written, "python -m tests.gateway.test_redis_users writes it anew"


def test_nobody_may_run_scripts_look_for_keys_or_change_the_server(server: RedisServer) -> None:
    forbidden = {
        *("EVAL", "EVALSHA", "FCALL", "SCRIPT FLUSH", "KEYS", "SCAN", "FLUSHALL", "FLUSHDB"),
        *("CONFIG GET", "CONFIG SET", "SHUTDOWN", "DEBUG SLEEP", "REPLICAOF", "ACL LIST"),
        *("MODULE LIST", "MONITOR", "XTRIM", "XSETID", "RENAME", "SWAPDB", "CLIENT KILL"),
    }
    table = table_of(server)
    assert forbidden <= set(table)
    for command in forbidden:
        assert not any(table[command].values()), command
    # No service touches what is another's.
    for command, row in table.items():
        for user, kinds in row.items():
            assert "other" not in kinds, (user, command)
            assert user == "identity" or "identity" not in kinds, (user, command)
    assert table["SETNX"]["trainer"] == ("readings", "reviews", "once")
    # What was said of a reading is added to and deleted whole, and a reading is never overwritten.
    for command in ("LSET", "LPOP", "LREM"):
        assert not any(table[command].values()), command
    assert table["SET"]["inference"] == ("once", "batches", "drift", "posted")
    assert table["RPUSH"]["inference"] == ("reviews", "drift", "posted")
    assert table["RPUSH"]["trainer"] == table["LTRIM"]["trainer"] == ("posted",)
    assert not table["LRANGE"]["trainer"]
    assert not table["GET"]["trainer"]
    assert not table["GETDEL"]["trainer"]


def test_nobody_is_let_in_without_a_name(server: RedisServer) -> None:
    socket = server.url_for("inference").partition("@")[2]
    for who in ("", "default:@", "default:x@", "inference:x@", "nobody:x@"):
        with (
            Redis.from_url(f"unix://{who}{socket}", driver_info=None) as client,
            pytest.raises((AuthenticationError, ResponseError)),
        ):
            client.ping()


def test_every_granted_command_is_tried() -> None:
    """The table of this file leaves out none that somebody has."""
    tried = {name_of(one).lower().replace(" ", "|") for one in COMMANDS}
    granted = {command for user in USERS for grant in user.grants for command in grant.commands}
    assert granted <= tried


#: Where a service's words to Redis stand.
MODULES = {
    "inference": (
        *("diagnosis/results/*.py", "diagnosis/queue/*.py", "diagnosis/audit.py"),
        "diagnosis/watch.py",
    ),
    "trainer": (
        "diagnosis/results/*.py",
        "diagnosis/queue/redis_batches.py",
        "diagnosis/watch.py",
    ),
    "identity": ("gateway/store.py", "diagnosis/audit.py"),
    "chainer": ("diagnosis/audit.py",),
}
#: What redis-py calls differently.
METHODS = {"del": "delete", "xpending": "xpending_range"}
#: What redis-py says by itself, after `watch`.
BY_THE_CLIENT = {"unwatch"}


def called(user: str) -> set[str]:
    """What the modules of a service call, and so may be commands."""
    words: set[str] = set()
    for pattern in MODULES[user]:
        for path in PROJECT.glob(pattern):
            words |= set(re.findall(r"\.([a-z_]+)\(", path.read_text("utf-8")))
    return words | BY_THE_CLIENT


@pytest.mark.parametrize(
    "user", [user for user in USERS if user.name in MODULES], ids=lambda one: one.name
)
def test_no_user_has_a_command_that_its_service_does_not_use(user: RedisUser) -> None:
    granted = {command for grant in user.grants for command in grant.commands}
    names = {METHODS.get(one, one.replace("|", "_")): one for one in granted}
    assert {command for name, command in names.items() if name not in called(user.name)} == set()


def test_every_service_is_looked_at() -> None:
    """The exporter alone is somebody else's program."""
    assert {user.name for user in USERS} - set(MODULES) == {"exporter"}


async def test_the_services_stay_within_their_rights(
    start_redis: Callable[..., RedisServer],
) -> None:
    """What they do leaves nothing in Redis' log of refused commands."""
    server = start_redis()
    results, trainer = connect(server.url), connect(server.url_for("trainer"))
    log, stream = connect_audit(server.url), connect_stream(server.url_for("chainer"))
    reading, batch = make_prediction(), make_prediction()
    await results.add(reading)
    await trainer.add(batch)
    await trainer.add_many([batch])
    poster = connect_batches(server.url_for("trainer"))
    posted = make_batch("default").model_copy(update={"state": "done"})
    for _ in range(2):
        await poster.post(posted, [make_item(0)])
    assert (await results.list("default", limit=10))[0] == (batch, reading)
    for asked in ({"sort": "urgent", "review": "open"}, {"text": "chest"}, {"class_id": "x"}):
        await results.list("default", limit=10, **asked)
    await results.list("default", limit=10, patient_reference=reading.patient_reference)
    assert await results.claim("default", "a") == "ours"
    await results.release("default", "a")
    assert await results.claim("default", "a") == "ours"
    await results.add(reading, "a")
    assert await results.claim("default", "a") == reading.id
    await results.add_review("default", make_review(reading))
    assert await results.reviews("default", reading.id)
    assert (await results.standings((reading,)))[0].review == "agreed"
    await results.opined("default", 10)
    assert await results.since("default", reading.id, 10)
    assert await results.delete("default", reading.id) == reading
    queue = connect_batches(server.url), connect_work(server.url)
    await every_command_of_a_queue(Queue(*queue, results, "default"))
    watch = connect_watch(server.url)
    await watch.enter("readings", reading.disease, [reading])
    assert await watch.waiting("readings", reading.disease) == 1
    assert len(await watch.oldest("readings", reading.disease, 5)) == 1
    assert await watch.advance("readings", reading.disease, 1, None, b"standing")
    assert not await watch.advance("readings", reading.disease, 1, None, b"late")
    assert await watch.standing(reading.disease) == b"standing"
    telling = connect_watch(server.url_for("trainer"))
    await telling.tell([Told.of(batch)])
    assert await watch.take(10) == [Told.of(batch)]
    await watch.close()
    await log.add(make_event())
    await stream.open()
    await stream.open()
    taken = await stream.take(10, 10)
    assert len(taken) == 1
    await stream.done(taken)
    assert await stream.take(10, 10) == ()
    assert server.command("ACL LOG") == "*0\r\n"
    for refused in (
        telling.take(1),
        telling.enter("posted", batch.disease, [batch]),
        trainer.get("default", batch.id),
        trainer.delete("default", batch.id),
        poster.get("default", posted.id),
    ):
        with pytest.raises(StoreUnavailable):
            await refused
    for one in (results, trainer, poster, telling, log, stream, *queue):
        await one.close()


async def every_command_of_a_queue(queue: Queue) -> None:
    """What a batch can go through."""
    batch = await queue.make(items=4)
    first, second, *_ = await queue.claim("dead", most=3)
    await queue.work.renew("dead", [first])
    await queue.work.finish([reading_of(first), Finished(second, problem=PROBLEM)])
    assert len(await queue.reclaim("alive")) == 1
    assert await queue.batches.retry(queue.unit, batch.id, [second.item.number]) == 1
    assert await queue.items(batch)
    assert first.item.prediction_id is not None
    await queue.batches.forget(queue.unit, batch.id, first.item.prediction_id)
    assert await queue.batches.backlog() == (3, ANY)
    await queue.batches.close_batch(queue.unit, batch.id)
    assert (await queue.batches.list(queue.unit, limit=5))[0]
    await queue.work.finish([reading_of(one) for one in await queue.claim("alive")])
    await queue.work.finish([reading_of(one) for one in await queue.reclaim("alive")])
    assert await queue.claim("alive") == ()
    assert (await queue.get(batch)).state == "done"
    await queue.batches.cancel(queue.unit, batch.id, though_done=True)
    await queue.batches.delete(queue.unit, batch.id)


def test_passwords_are_made_once_and_rights_are_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "redis" / "users.acl"
    first = write_acl_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(set(first.values())) == len(USERS)
    assert all(len(one) == 64 for one in first.values())
    path.write_text(path.read_text().replace("+getdel", "+flushall"))
    assert write_acl_file(path) == first == passwords_in(path)
    assert path.read_text() == acl_file(first)
    other = write_acl_file(tmp_path / "other" / "users.acl")
    assert not set(other.values()) & set(first.values())


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority (`ca.pem`), another one, and a certificate of 127.0.0.1."""
    folder = tmp_path_factory.mktemp("authority")
    keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("ca", "other", "server")}
    for name, key in keys.items():
        issuer = "ca" if name == "server" else name
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name.from_rfc4514_string(f"CN={name}"))
            .issuer_name(x509.Name.from_rfc4514_string(f"CN={issuer}"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now() - timedelta(hours=1))
            .not_valid_after(now() + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=name != "server", path_length=None), True)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), False
            )
            .sign(keys[issuer], hashes.SHA256())
        )
        (folder / f"{name}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
        (folder / f"{name}.key").write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
    return folder


@pytest.fixture
def tls_server(
    authority: Path, start_redis: Callable[..., RedisServer]
) -> Iterator[tuple[RedisServer, int]]:
    """A Redis with a TLS port, where the installed one can do that."""
    port = free_port()
    options = {
        "tls-port": str(port),
        "tls-cert-file": str(authority / "server.pem"),
        "tls-key-file": str(authority / "server.key"),
        "tls-ca-cert-file": str(authority / "ca.pem"),
        "tls-auth-clients": "no",
        "tls-protocols": "TLSv1.2 TLSv1.3",
    }
    server = start_redis(options=options)
    yield server, port
    server.stop()


async def test_readings_and_events_travel_over_tls(
    tls_server: tuple[RedisServer, int], authority: Path
) -> None:
    server, port = tls_server
    who = server.url.removeprefix("unix://").partition("@")[0]
    url = f"rediss://{who}@127.0.0.1:{port}"
    trusted = authority / "ca.pem"
    store, log = connect(url, trusted), connect_audit(url, trusted)
    reading = make_prediction()
    await store.add(reading)
    await log.add(make_event())
    assert await store.get("default", reading.id) == reading
    await store.close()
    await log.close()
    # An authority that did not sign it, none that did, and a name that is not in it.
    for address, ca_file in (
        (url, authority / "other.pem"),
        (url, None),
        (url.replace("127.0.0.1", "localhost"), trusted),
    ):
        refused = connect(address, ca_file)
        with pytest.raises(StoreUnavailable):
            await refused.ping()
        await refused.close()
    # Nothing is said in the clear.
    plain = connect(url.replace("rediss://", "redis://"))
    with pytest.raises(StoreUnavailable):
        await plain.ping()
    await plain.close()


def _write() -> None:
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        server = RedisServer(Path(folder))
        server.start()
        try:
            made = as_markdown(table_of(server))
        finally:
            server.stop()
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    DOCUMENT.write_text(f"{before}{BEGIN}\n{made}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    _write()
