"""The chain: what was written cannot be changed unseen, and nothing is lost or written twice."""

import asyncio
import fcntl
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from diagnosis.audit import Received, connect_audit, connect_stream
from diagnosis.contracts import now
from gateway.chain import Chain, ChainDamaged, ChainHeld, Record, files_of, read_record
from gateway.chain_checks import verify
from gateway.chain_heads import HEADS, Head, add_head
from gateway.chainer import Chainer
from gateway.settings import PROJECT
from tests.fixtures.audit import STEPS, fill, make_event, received
from tests.fixtures.identity import PRIVATE_KEY
from tests.fixtures.redis import RedisServer

KEYS = [PRIVATE_KEY.public_key()]


def records(folder: Path) -> list[Record]:
    found = [
        read_record(line) for path in files_of(folder) for line in path.read_bytes().splitlines()
    ]
    assert None not in found
    return [one for one in found if one is not None]


def sign(folder: Path) -> Head:
    head = Head.sign(records(folder)[-1], now(), PRIVATE_KEY)
    add_head(folder, head)
    return head


def lines(folder: Path) -> list[bytes]:
    (path,) = files_of(folder)
    return path.read_bytes().splitlines(keepends=True)


def write(folder: Path, changed: list[bytes]) -> None:
    (path,) = files_of(folder)
    path.write_bytes(b"".join(changed))


@pytest.fixture
def trail(tmp_path: Path) -> Path:
    """A trail of nine records, the first seven under a signed head."""
    fill(tmp_path, 7)
    sign(tmp_path)
    fill(tmp_path, 2, begin=7)
    return tmp_path


def test_records_are_chained_from_the_first_on(trail: Path) -> None:
    found = records(trail)
    assert [one.seq for one in found] == list(range(1, 10))
    assert found[0].previous == "0" * 64
    assert all(b.previous == a.hash for a, b in pairwise(found))
    verdict = verify(trail, KEYS)
    assert (verdict.records, verdict.heads, verdict.findings) == (9, 1, [])


def test_only_its_owner_may_read_the_trail(tmp_path: Path) -> None:
    fill(tmp_path / "new", 1)
    sign(tmp_path / "new")
    assert {path.stat().st_mode & 0o077 for path in tmp_path.rglob("*")} == {0}


def test_a_trail_goes_on_in_the_file_of_the_next_month(tmp_path: Path) -> None:
    chain = Chain.open(tmp_path)
    chain.append([received(0)], datetime(2026, 11, 30, 23, 59, tzinfo=UTC))
    chain.append([received(1)], datetime(2026, 12, 1, tzinfo=UTC))
    # The clock is set back: the order of the files stays that of the records.
    chain.append([received(2)], datetime(2026, 11, 30, tzinfo=UTC))
    chain.close()
    assert [path.name for path in files_of(tmp_path)] == [
        "audit-2026-11.jsonl",
        "audit-2026-12.jsonl",
    ]
    assert [one.seq for one in records(tmp_path)] == [1, 2, 3]
    assert verify(tmp_path, KEYS).findings == []


@pytest.mark.parametrize("number", range(9))
def test_a_dropped_record_is_found(trail: Path, number: int) -> None:
    whole = lines(trail)
    write(trail, whole[:number] + whole[number + 1 :])
    findings = verify(trail, KEYS).findings
    if number < 8:
        assert f"line {number + 1}: record {number + 2} stands where" in findings[0]
    else:
        # The end after the last signed head: what a head in another place is for.
        assert findings == []


@pytest.mark.parametrize("number", range(8))
def test_two_records_that_changed_places_are_found(trail: Path, number: int) -> None:
    whole = lines(trail)
    whole[number : number + 2] = whole[number + 1], whole[number]
    write(trail, whole)
    assert f"line {number + 1}: " in verify(trail, KEYS).findings[0]


@pytest.mark.parametrize("left", range(7))
def test_an_end_that_was_cut_off_is_found_by_a_signed_head(trail: Path, left: int) -> None:
    write(trail, lines(trail)[:left])
    (finding,) = verify(trail, KEYS).findings
    assert finding == (
        f"heads.jsonl line 1: record 7 is missing; the trail ends with record {left}."
    )


def test_an_end_that_was_cut_off_with_its_head_is_found_by_one_kept_elsewhere(trail: Path) -> None:
    kept = sign(trail)
    write(trail, lines(trail)[:5])
    (trail / HEADS).unlink()
    assert verify(trail, KEYS).findings == []
    (finding,) = verify(trail, KEYS, [kept]).findings
    assert "record 9 is missing; the trail ends with record 5" in finding


def test_a_trail_that_was_chained_anew_does_not_fit_its_heads(trail: Path) -> None:
    """Somebody changes a record and computes every later hash again."""
    last: Record | None = None
    forged = []
    for one in records(trail):
        event = make_event(actor="u_other")
        last = Record.after(last, Received(stream_id=one.stream, event=event))
        forged.append(last.line() + b"\n")
    write(trail, forged)
    (finding,) = verify(trail, KEYS).findings
    assert "record 7 is not the one that heads.jsonl line 1 was signed for" in finding


def test_a_head_of_another_key_does_not_count(trail: Path) -> None:
    other = Ed25519PrivateKey.generate()
    add_head(trail, Head.sign(records(trail)[-1], now(), other))
    (finding,) = verify(trail, KEYS).findings
    assert finding == "heads.jsonl line 2: not signed by the gateway's key."
    assert verify(trail, [*KEYS, other.public_key()]).findings == []


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_one_flipped_bit_is_found_wherever_it_is(
    where: float, bit: int, flipped_trail: Path
) -> None:
    (path,) = files_of(flipped_trail)
    whole = path.read_bytes()
    place = int(where * len(whole))
    changed = bytearray(whole)
    changed[place] ^= 1 << bit
    path.write_bytes(changed)
    try:
        findings = verify(flipped_trail, KEYS).findings
    finally:
        path.write_bytes(whole)
    line = whole[:place].count(b"\n") + 1
    assert findings
    assert f"line {line}: " in findings[0]


@pytest.fixture(scope="module")
def flipped_trail(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("flipped")
    fill(folder, 5)
    return folder


def test_a_flipped_bit_of_a_head_is_found(trail: Path) -> None:
    whole = (trail / HEADS).read_bytes()
    for place in range(0, len(whole) - 1, 7):
        changed = bytearray(whole)
        changed[place] ^= 1
        (trail / HEADS).write_bytes(changed)
        assert "heads.jsonl line 1: " in verify(trail, KEYS).findings[0]


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    first = Chain.open(tmp_path)
    with pytest.raises(ChainHeld):
        Chain.open(tmp_path)
    first.close()
    Chain.open(tmp_path).close()


def test_an_unfinished_line_is_put_aside_and_a_finished_one_is_kept(tmp_path: Path) -> None:
    fill(tmp_path, 3)
    whole = lines(tmp_path)
    write(tmp_path, [*whole[:2], whole[2][:-1]])
    fill(tmp_path, 0)
    assert lines(tmp_path) == whole
    write(tmp_path, [*whole[:2], whole[2][:40]])
    fill(tmp_path, 1, begin=2)
    assert [one.seq for one in records(tmp_path)] == [1, 2, 3]
    assert (tmp_path / "torn").read_bytes() == whole[2][:40] + b"\n"
    assert verify(tmp_path, KEYS).findings == []


def test_nothing_is_chained_to_a_damaged_record(tmp_path: Path) -> None:
    fill(tmp_path, 2)
    whole = lines(tmp_path)
    write(tmp_path, [whole[0], whole[1].replace(b"u_tester", b"u_nobody").replace(b"{", b"[")])
    with pytest.raises(ChainDamaged):
        Chain.open(tmp_path)


def test_a_full_disk_leaves_the_trail_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, 2)
    before = lines(tmp_path)
    chain = Chain.open(tmp_path)
    real = os.write

    def full(descriptor: int, content: memoryview) -> int:
        if len(content) < 100:
            raise OSError(28, "No space left on device")
        return real(descriptor, content[: len(content) - 50])

    with monkeypatch.context() as patched:
        patched.setattr("gateway.chain.os.write", full)
        with pytest.raises(OSError, match="No space"):
            chain.append([received(2)], now())
    assert lines(tmp_path) == before
    assert chain.append([received(2)], now()) == 1
    chain.close()
    assert verify(tmp_path, KEYS).findings == []


def test_an_entry_that_comes_again_is_written_once(tmp_path: Path) -> None:
    entries = [received(number) for number in range(5)]
    chain = Chain.open(tmp_path)
    assert chain.append(entries, now()) == 5
    assert chain.append(entries[3:], now()) == 0
    # Entries of a Redis whose clock is behind are new ones, though their ids are lower.
    older = Received(stream_id="1600000000000-0", event=make_event())
    assert chain.append([older, entries[0]], now()) == 1
    chain.close()
    assert [one.stream for one in records(tmp_path)][-1] == older.stream_id
    assert verify(tmp_path, KEYS).findings == []


def test_an_entry_without_an_event_is_chained_as_that(tmp_path: Path) -> None:
    chain = Chain.open(tmp_path)
    chain.append([Received(stream_id="1-0"), received(1)], now())
    chain.close()
    assert [one.event is None for one in records(tmp_path)] == [True, False]
    assert verify(tmp_path, KEYS).findings == []


def chain_in_processes(server: RedisServer, folder: Path, *steps: str) -> list[str]:
    """Add events and chain them in a process that dies at a step, for one step after the other.

    Returns:
        The objects of the events, in their order.
    """
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.fixtures.audit"),
            *(server.url, server.url_for("chainer"), folder, *steps),
        ],
        cwd=PROJECT,
        check=True,
        timeout=120,
        capture_output=True,
        text=True,
    )
    return done.stdout.split()


def test_a_kill_at_any_step_loses_no_event_and_writes_none_twice(
    start_redis: Callable[..., RedisServer], tmp_path: Path
) -> None:
    server = start_redis()
    sent = chain_in_processes(server, tmp_path, *STEPS)
    # Redis is killed too, and what it gave out without an answer it gives out again.
    server.stop()
    server.start()
    sent += chain_in_processes(server, tmp_path, "never")
    found = records(tmp_path)
    assert [one.event["object"] for one in found if one.event] == sent
    assert len({one.stream for one in found}) == len(sent) == 3 * (len(STEPS) + 1)
    assert verify(tmp_path, KEYS).findings == []
    # Nothing is left in the stream.
    assert server.command("XLEN audit:events") == ":0\r\n"
    assert server.command("XPENDING audit:events chain").startswith("*4\r\n:0\r\n")


async def test_the_chainer_goes_on_after_redis_was_away_and_signs_the_end(
    start_redis: Callable[..., RedisServer], tmp_path: Path
) -> None:
    server = start_redis()
    log = connect_audit(server.url)
    stream = connect_stream(server.url_for("chainer"))
    held = Chain.open(tmp_path)
    stopping = asyncio.Event()
    await log.add(make_event())
    running = asyncio.create_task(Chainer(stream, held, PRIVATE_KEY).run(stopping))

    async def until(count: int) -> None:
        async with asyncio.timeout(20):
            while len(records(tmp_path)) < count:  # noqa: ASYNC110 - another task writes files
                await asyncio.sleep(0.02)

    await until(1)
    async with asyncio.timeout(20):
        while not (tmp_path / HEADS).exists():  # noqa: ASYNC110 - another task writes files
            await asyncio.sleep(0.02)
    server.stop()
    server.start()
    # Time for the client to see that its connection is gone.
    await asyncio.sleep(0.05)
    await log.add(make_event())
    await until(2)
    stopping.set()
    await running
    held.close()
    await stream.close()
    await log.close()
    verdict = verify(tmp_path, KEYS)
    assert verdict.findings == []
    # One head of the first record, and one of the end.
    assert verdict.heads == 2
    assert verdict.last_head is not None
    assert verdict.last_head.seq == 2


async def test_an_end_is_signed_within_a_minute_while_nothing_comes(
    start_redis: Callable[..., RedisServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came after the last head could be cut off unseen for as long as the chainer runs."""
    server = start_redis()
    log, stream = connect_audit(server.url), connect_stream(server.url_for("chainer"))
    held = Chain.open(tmp_path)
    time_is = [now()]
    monkeypatch.setattr("gateway.chainer.now", lambda: time_is[0])
    stopping = asyncio.Event()
    await log.add(make_event())
    running = asyncio.create_task(Chainer(stream, held, PRIVATE_KEY).run(stopping))

    async def heads(expected: int) -> None:
        async with asyncio.timeout(20):
            while verify(tmp_path, KEYS).heads != expected:  # noqa: ASYNC110 - files
                await asyncio.sleep(0.02)

    await heads(1)
    await log.add(make_event())
    async with asyncio.timeout(20):
        while len(records(tmp_path)) < 2:  # noqa: ASYNC110 - another task writes files
            await asyncio.sleep(0.02)
    time_is[0] += timedelta(seconds=61)
    await heads(2)
    time_is[0] += timedelta(seconds=61)
    stopping.set()
    await running
    held.close()
    await stream.close()
    await log.close()
    verdict = verify(tmp_path, KEYS)
    assert verdict.last_head is not None
    # And where nothing came, nothing is signed again.
    assert (verdict.heads, verdict.last_head.seq) == (2, 2)


async def test_events_that_somebody_removed_unread_are_told_of(
    start_redis: Callable[..., RedisServer], tmp_path: Path
) -> None:
    server = start_redis()
    log = connect_audit(server.url)
    stream = connect_stream(server.url_for("chainer"))
    held = Chain.open(tmp_path)
    chainer = Chainer(stream, held, PRIVATE_KEY)
    await stream.open()
    for count in (3, 0, 2, 0):
        for _ in range(count):
            await log.add(make_event())
        assert await chainer.once(wait_ms=20) == count
    assert len(records(tmp_path)) == 5
    # What a service that fell into wrong hands could do, with the right to add.
    await log.add(make_event())
    forger = Redis.from_url(server.url, driver_info=None)
    await forger.xadd("audit:events", {"event": "{}"}, maxlen=1, approximate=False)
    await forger.aclose()
    while await chainer.once(wait_ms=20):
        pass
    assert await chainer.once(wait_ms=20) == 1
    assert await chainer.once(wait_ms=20) == 0
    told = [one.event and one.event["action"] for one in records(tmp_path)]
    assert told[5:] == [None, "events-lost"]
    held.close()
    await stream.close()
    await log.close()


def test_a_verification_waits_for_a_line_that_is_being_written(tmp_path: Path) -> None:
    fill(tmp_path, 2)
    whole = lines(tmp_path)
    write(tmp_path, [whole[0], whole[1][:30]])
    assert "line 2: this is no record" in verify(tmp_path, KEYS).findings[0]


def test_the_lock_ends_with_its_process(tmp_path: Path) -> None:
    """However the process ends: the lock is the operating system's."""
    fill(tmp_path, 1)
    descriptor = os.open(tmp_path / "lock", os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(descriptor)
