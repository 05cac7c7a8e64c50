"""Backups: whole or not at all, and nothing acknowledged is missing from one."""

import asyncio
import hashlib
import io
import os
import stat
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from click.testing import Result
from typer.testing import CliRunner

from diagnosis.errors import StoreUnavailable
from diagnosis.results import RedisResults, connect
from gateway import backup
from gateway.backup import BackupFailed, back_up, restore
from gateway.cli import app
from gateway.stack import Places
from tests.fixtures.predictions import make_prediction
from tests.fixtures.redis import RedisServer

UNIT = "default"


def made_up(folder: Path) -> Places:
    """A run folder with a bit of everything, and with what no backup holds."""
    places = Places(folder, folder / "sockets")
    places.prepare()
    files = {
        "redis/users.acl": b"user",
        "redis/redis.conf": b"made anew",
        "redis/appendonlydir/appendonly.aof.manifest": (
            b"file appendonly.aof.1.base.rdb seq 1 type b\n"
            b"file appendonly.aof.1.incr.aof seq 1 type i\n"
        ),
        "redis/appendonlydir/appendonly.aof.1.base.rdb": b"base",
        "redis/appendonlydir/appendonly.aof.1.incr.aof": b"incr" * 100_000,
        "redis/appendonlydir/temp-rewriteaof-1.aof": b"half",
        "patient_reference.key": b"key",
        "identity/identity.key": b"private",
        "audit/audit-2026-11.jsonl": b"{}\n",
        "audit/lock": b"",
        "registry/skin_lesion/1/card.json": b"{}",
        "registry/skin_lesion/registry.json": b"{}",
        "registry/skin_lesion/.incoming-1/card.json": b"half",
        f"images/ab/{'ab' * 32}": bytes(range(256)) * 100,
        "images/incoming/tmp1": b"half",
        f"images/spool/cd/{'cd' * 32}": b"waits to be read",
        "images/spool/incoming/tmp2": b"half",
        "images/archives/tmp3": b"half",
        "converted/x": b"made anew",
    }
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    os.utime(folder / "images" / "ab" / ("ab" * 32), (1_700_000_000, 1_700_000_000))
    return places


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def places_at(folder: Path) -> Places:
    return Places(folder, folder / "sockets")


def test_what_was_backed_up_comes_back_as_it_was(tmp_path: Path) -> None:
    places, file, target = made_up(tmp_path / "run"), tmp_path / "b.tar", tmp_path / "new"
    before = files_in(places.run_dir)
    kept = back_up(places, file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert files_in(places.run_dir) == before | {"backup.lock": b""}
    restored = restore(file, places_at(target))
    assert restored == kept
    left_out = ("lock", "redis.conf", "temp-rewrite", "incoming", "converted", "archives")
    assert files_in(target) == {
        name: content
        for name, content in before.items()
        if not any(one in name for one in left_out)
    }
    image = target / "images" / "ab" / ("ab" * 32)
    assert image.stat().st_mtime == 1_700_000_000, "it decides how long the image is kept"
    for path in (target, *target.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert sorted(one.name for one in tmp_path.iterdir()) == ["b.tar", "new", "run"]


def test_a_backup_replaces_nothing(tmp_path: Path) -> None:
    places, file = made_up(tmp_path / "run"), tmp_path / "b.tar"
    file.write_bytes(b"of yesterday")
    with pytest.raises(BackupFailed, match="never replaces"):
        back_up(places, file)
    assert file.read_bytes() == b"of yesterday"
    file.unlink()
    back_up(places, file)
    before = files_in(places.run_dir)
    with pytest.raises(BackupFailed, match="not empty"):
        restore(file, places)
    assert files_in(places.run_dir) == before
    empty = tmp_path / "empty"
    empty.mkdir()
    restore(file, places_at(empty))
    with pytest.raises(BackupFailed, match="holds no data"):
        back_up(places_at(tmp_path / "nothing"), tmp_path / "c.tar")


@pytest.mark.parametrize("at", range(12))
def test_of_a_damaged_backup_nothing_is_restored(tmp_path: Path, at: int) -> None:
    """One byte of a member, or the end, is gone."""
    places, file = made_up(tmp_path / "run"), tmp_path / "b.tar"
    back_up(places, file)
    content = bytearray(file.read_bytes())
    if at < 4:
        content = content[: len(content) * (at + 1) // 5]
    else:
        with tarfile.open(file) as archive:
            member = [one for one in archive if one.size][at - 4]
            content[member.offset_data + member.size // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(BackupFailed, match="damaged"):
        restore(file, places_at(tmp_path / "new"))
    assert sorted(one.name for one in tmp_path.iterdir()) == ["b.tar", "run"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("../outside", tarfile.REGTYPE),
        ("/outside", tarfile.REGTYPE),
        ("identity/../../outside", tarfile.REGTYPE),
        ("elsewhere/file", tarfile.REGTYPE),
        ("identity/link", tarfile.SYMTYPE),
        ("identity/pipe", tarfile.FIFOTYPE),
    ],
)
def test_a_backup_writes_nowhere_else(tmp_path: Path, name: str, kind: bytes) -> None:
    file = tmp_path / "b.tar"
    with tarfile.open(file, "w") as archive:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, "/outside"
        archive.addfile(member, io.BytesIO())
    with pytest.raises(BackupFailed, match="damaged"):
        restore(file, places_at(tmp_path / "new"))
    assert [one.name for one in tmp_path.iterdir()] == ["b.tar"]


def test_a_full_disk_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places, file = made_up(tmp_path / "run"), tmp_path / "b.tar"
    back_up(places, file)

    class Full(backup._Hashing):
        def write(self, data: bytes) -> int:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(backup, "_Hashing", Full)
        with pytest.raises(BackupFailed, match="No space left"):
            back_up(places, tmp_path / "c.tar")

        def refuse(*_: object) -> None:
            raise OSError(28, "No space left on device")

        patch.setattr(backup.shutil, "copyfileobj", refuse)
        with pytest.raises(BackupFailed, match="No space left"):
            restore(file, places_at(tmp_path / "new"))
    assert sorted(one.name for one in tmp_path.iterdir()) == ["b.tar", "run"]


def test_a_file_that_waited_at_the_moment_is_there_though_it_was_read_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places, write = made_up(tmp_path / "run"), backup._write
    waiting = places.images / "spool" / "cd" / ("cd" * 32)
    left_behind = places.images / ".incoming-of-a-killed-backup"
    left_behind.mkdir()

    def read_meanwhile(*given: Any) -> Any:
        waiting.unlink()
        return write(*given)

    monkeypatch.setattr(backup, "_write", read_meanwhile)
    back_up(places, tmp_path / "b.tar")
    restore(tmp_path / "b.tar", places_at(tmp_path / "new"))
    restored = tmp_path / "new" / waiting.relative_to(places.run_dir)
    assert restored.read_bytes() == b"waits to be read"
    assert list(places.images.glob(".incoming-*")) == []


def test_the_commands_say_what_they_did_and_what_they_did_not(tmp_path: Path) -> None:
    places, file, target = made_up(tmp_path / "run"), tmp_path / "b.tar", tmp_path / "new"

    def gateway(*arguments: str | Path) -> Result:
        return CliRunner().invoke(app, list(map(str, arguments)))

    done = gateway("backup", file, "--run-dir", places.run_dir)
    assert done.exit_code == 0, done.stderr
    line = f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file}"
    assert done.stdout.splitlines()[-1] == line, "as sha256sum -c reads it"
    again = gateway("backup", file, "--run-dir", places.run_dir)
    assert (again.exit_code, again.stdout) == (1, "")
    assert again.stderr.count("\n") == 1
    done = gateway("restore", file, "--run-dir", target)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines()[-1] == line
    assert gateway("restore", file, "--run-dir", target).exit_code == 1


@dataclass
class Writing:
    """Adds readings until told to stop; `acknowledged` are those that were answered."""

    store: RedisResults
    acknowledged: list[UUID] = field(default_factory=list)
    stopping: bool = False

    async def run(self) -> None:
        while not self.stopping:
            reading = make_prediction(unit=UNIT)
            # On a slow disk an answer may not come in time: that one is not acknowledged.
            with suppress(StoreUnavailable):
                await self.store.add(reading)
                self.acknowledged.append(reading.id)


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Short enough for a socket's path."""
    with tempfile.TemporaryDirectory(prefix="b-") as folder:
        yield Path(folder)


async def reached(writers: list[Writing], readings: int) -> None:
    while sum(len(one.acknowledged) for one in writers) < readings:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def missing_in(server: RedisServer, wanted: list[UUID]) -> list[UUID]:
    store = connect(server.url)
    try:
        missing = [one for one in wanted if await store.get(UNIT, one) is None]
        listed, cursor = 0, None
        while True:
            page, cursor = await store.list(UNIT, cursor=cursor, limit=100)
            listed += len(page)
            if cursor is None:
                break
        assert listed >= len(wanted)
    finally:
        await store.close()
    return missing


async def test_a_backup_under_way_holds_every_acknowledged_reading(short_folder: Path) -> None:
    """Four write all the time, Redis rewrites its file meanwhile, and it is killed at the end."""
    places = Places.under(short_folder / "run")
    places.prepare()
    server = RedisServer(places.redis)
    server.start()
    store = connect(server.url)
    writers = [Writing(store) for _ in range(4)]
    writing = [asyncio.create_task(one.run()) for one in writers]
    backups: list[tuple[Path, list[UUID]]] = []
    try:
        for number in range(4):
            await reached(writers, 60 * (number + 1))
            await asyncio.to_thread(server.command, "BGREWRITEAOF")
            by_then = [reading for one in writers for reading in one.acknowledged]
            file = short_folder / f"{number}.tar"
            await asyncio.to_thread(back_up, places, file)
            backups.append((file, by_then))
    finally:
        for one in writers:
            one.stopping = True
        await asyncio.gather(*writing)
        await store.close()
        server.stop()
    every = [reading for one in writers for reading in one.acknowledged]
    server.start()
    assert await missing_in(server, every) == [], "of its own append-only file"
    server.stop()
    for number, (file, acknowledged) in enumerate(backups):
        new = Places.under(short_folder / f"new{number}")
        restore(file, new)
        restored = RedisServer(new.redis)
        restored.start()
        try:
            assert await missing_in(restored, acknowledged) == []
        finally:
            restored.stop()


def test_a_redis_that_never_rests_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = made_up(tmp_path / "run")
    monkeypatch.setattr(backup, "_STILL_SECONDS", 0.05)
    monkeypatch.setattr(backup, "_unchanged", lambda *_: False)
    with pytest.raises(BackupFailed, match="all the time"):
        back_up(places, tmp_path / "b.tar")
    assert [one.name for one in tmp_path.iterdir()] == ["run"]
