"""Workers on four machines drain one batch, though one dies and one is cut off on the way."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from diagnosis.queue import records
from gateway.servers import find_redis
from tests.fixtures.live_service import Live, running, settings_in
from tests.fixtures.machines import HUB, Machines, can_make_machines
from tests.fixtures.redis import RedisServer
from tests.inference_service.pictures import BRIGHT
from tests.inference_service.test_batches import begin, do, get, items, put, readings

COUNT = 4
PORT = 6379
#: More than this is not sent; the workers were all seen long before.
MOST = 1500


@pytest.fixture
def machines() -> Iterator[Machines]:
    if not can_make_machines():
        pytest.skip("no machines can be made here: it needs root, and the right to make namespaces")
    made = Machines(COUNT)
    yield made
    made.close()


@pytest.fixture
def remote_redis(
    machines: Machines, start_redis: Callable[..., RedisServer], tmp_path: Path
) -> Iterator[RedisServer]:
    """A Redis on the hub, which this process reaches by its socket and the machines by TCP."""
    entering = tmp_path / "redis-on-the-hub"
    command = " ".join([*machines.enter_hub(), str(find_redis().binary)])
    entering.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    entering.chmod(0o700)
    server = start_redis(binary=entering, options={"port": str(PORT), "bind": HUB})
    yield server
    server.stop()


@pytest.fixture
async def live(remote_redis: RedisServer, tmp_path: Path, artifacts: Path) -> AsyncIterator[Live]:
    settings = settings_in(
        tmp_path, redis_url=SecretStr(remote_redis.url), models_dir=artifacts, batch_lease_seconds=2
    )
    async with running(settings, None) as opened:
        yield opened


def environment(live: Live, server: RedisServer) -> dict[str, str]:
    """What a worker on another machine is told: the same, but for Redis' address."""
    settings = live.service.settings
    user = urlsplit(server.url).netloc.rpartition("@")[0]
    told = {
        "redis_url": f"redis://{user}@{HUB}:{PORT}",
        "batch_lease_seconds": "2",
        "threads": "1",
        "log_level": "WARNING",
    } | {
        name: str(getattr(settings, name))
        for name in (
            "identity_key_file", "registry", "models_dir", "image_dir",
            "patient_reference_key_file", "conversion_cache_dir",
        )
    }  # fmt: skip
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return inherited | {f"SIGHTLINE_INFERENCE_{name.upper()}": one for name, one in told.items()}


@pytest.mark.slow
async def test_four_machines_drain_one_batch_though_two_of_them_go(
    live: Live, machines: Machines, remote_redis: RedisServer, tmp_path: Path
) -> None:
    told = environment(live, remote_redis)
    workers = [
        machines.start(
            number,
            [
                *(sys.executable, "-m", "uvicorn", "--factory"),
                *("inference_service.worker:create_app", "--host", "0.0.0.0"),
            ],
            told,
            tmp_path / "workers",
        )
        for number in range(COUNT)
    ]
    batch = await begin(live)
    stream = records.stream(batch.unit, batch.id.hex)
    sent = 0

    async def send(count: int) -> None:
        nonlocal sent
        for _ in range(count):
            answer = await put(live, batch, sent, BRIGHT + sent.to_bytes(4, "big"))
            assert answer.status_code == 201, answer.text
            sent += 1

    async with Redis.from_url(remote_redis.admin_url) as redis, asyncio.timeout(180):
        seen: set[int] = set()
        while len(seen) < COUNT:
            assert sent < MOST
            _all_alive(workers, tmp_path / "workers")
            # Few at a time: they are done faster than they are sent.
            if (await get(live, batch)).counts.waiting < 4 * COUNT:
                await send(8)
            # There is no group before the first worker asks.
            with suppress(ResponseError):
                seen |= {
                    int(one["name"].decode().split("-")[-2])
                    for one in await redis.xinfo_consumers(stream, records.GROUP)
                }
            await asyncio.sleep(0.05)
        assert seen == {one.pid for one in workers}
        await send(40)
        workers[0].send_signal(signal.SIGKILL)
        machines.cut_off(1)
        await send(40)
        await do(live, batch, "close")
        while not (await get(live, batch)).over:
            _all_alive(workers[2:], tmp_path / "workers")
            await asyncio.sleep(0.1)
    done = await get(live, batch)
    assert (done.state, done.counts.done, done.counts.failed) == ("done", sent, 0)
    found = [one.prediction_id for one in await items(live, batch, state="done", limit=200)]
    assert len(found) == len(set(found)) == min(sent, 200)
    assert set(await readings(live, batch)) <= {*found} or sent > 200


def _all_alive(workers: list[subprocess.Popen[bytes]], log: Path) -> None:
    assert all(one.poll() is None for one in workers), log.read_text()[-3000:]
