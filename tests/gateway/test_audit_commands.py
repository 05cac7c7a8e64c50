"""`gateway audit`: events of a running stack are chained, checked and carried away."""

import asyncio
import csv
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from signal import SIGTERM

import boto3
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from typer.testing import CliRunner, Result

from diagnosis.audit import AuditEvent, connect_audit
from diagnosis.contracts import now
from diagnosis.keys import make_key, read_private_key
from gateway.cli import app
from gateway.settings import Settings
from gateway.stack import Places, processes, redis_url
from tests.fixtures.audit import fill, make_event
from tests.fixtures.leftovers import end_leftovers


def audit(*words: str, run_dir: Path) -> Result:
    return CliRunner().invoke(app, ["audit", *words, "--run-dir", str(run_dir)])


@pytest.fixture
def places() -> Iterator[Places]:
    """A run folder of the test's own, in a place whose path is short enough for sockets."""
    folder = Path(tempfile.mkdtemp(prefix="audit-"))
    try:
        places = Places.under(folder)
        places.prepare()
        yield places
    finally:
        left = end_leftovers(folder)
        shutil.rmtree(folder)
    assert left == []


@pytest.fixture
def filled(places: Places) -> Places:
    """A trail of five events, the last two of yesterday."""
    make_key(places.identity_key)
    fill(places.audit, 3)
    fill(places.audit, 2, begin=3, at=now() - timedelta(days=1))
    return places


def test_the_stacks_own_chainer_takes_events_from_the_stacks_own_redis(places: Places) -> None:
    specs = {
        spec.name: spec
        for spec in processes(Settings(run_dir=places.run_dir), places)
        if spec.name in {"redis", "chainer"}
    }

    async def send(count: int) -> None:
        log = connect_audit(redis_url(places, "inference"))
        for _ in range(count):
            await log.add(make_event())
        await log.close()

    def chained() -> int:
        return sum(len(path.read_bytes().splitlines()) for path in places.audit.glob("audit-*"))

    with (places.run_dir / "log").open("ab") as output:
        # The chainer first: it waits for Redis.
        chainer = specs["chainer"].popen(stdout=output, stderr=output)
        redis = specs["redis"].popen(stdout=output, stderr=output)
        try:
            deadline = time.monotonic() + 30
            while not places.redis_socket.exists():
                assert time.monotonic() < deadline
                time.sleep(0.02)
            asyncio.run(send(5))
            while chained() < 5:
                assert chainer.poll() is None, (places.run_dir / "log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.02)
            second = audit("chain", run_dir=places.run_dir)
            assert second.exit_code == 1
            assert "Another process writes the audit trail" in second.output
            chainer.send_signal(SIGTERM)
            assert chainer.wait(10) == 0
        finally:
            for one in (chainer, redis):
                one.kill()
                one.wait()
    shown = audit("verify", run_dir=places.run_dir)
    assert shown.exit_code == 0
    assert "5 records are as they were written; signed up to record 5." in shown.output


def test_verify_says_where_something_was_changed(filled: Places) -> None:
    assert audit("verify", run_dir=filled.run_dir).exit_code == 0
    (path,) = filled.audit.glob("audit-*")
    path.write_bytes(path.read_bytes().replace(b"u_tester", b"u_nobody", 1))
    shown = audit("verify", run_dir=filled.run_dir)
    assert shown.exit_code == 2
    assert f"{path.name} line 1: record 1 was changed." in shown.output
    assert "not as it was written" in shown.output


def test_verify_takes_public_keys_and_heads_from_elsewhere(filled: Places, tmp_path: Path) -> None:
    made = audit("export", "--to-folder", str(tmp_path / "out"), run_dir=filled.run_dir)
    assert made.exit_code == 0
    (head,) = (tmp_path / "out").glob("*.head.json")
    other = tmp_path / "other.pem"
    make_key(tmp_path / "other.key")
    other.write_bytes(_public(tmp_path / "other.key"))
    own = tmp_path / "own.pem"
    own.write_bytes(_public(filled.identity_key))
    verify = ("verify", "--head", str(head))
    assert audit(*verify, "--key", str(own), run_dir=filled.run_dir).exit_code == 0
    assert audit(*verify, "--key", str(other), run_dir=filled.run_dir).exit_code == 2
    shutil.rmtree(filled.audit)
    shown = audit(*verify, run_dir=filled.run_dir)
    assert shown.exit_code == 2
    assert "record 5 is missing; the trail ends with record 0" in shown.output
    missing = audit("verify", "--head", str(tmp_path / "none"), run_dir=filled.run_dir)
    assert missing.exit_code == 1


def _public(path: Path) -> bytes:
    return (
        read_private_key(path)
        .public_key()
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )


@pytest.mark.parametrize(
    ("days", "count"), [((), 5), (("--from", "{today}"), 3), (("--to", "{yesterday}"), 2)]
)
def test_an_export_is_a_file_of_whole_days(
    filled: Places, tmp_path: Path, days: tuple[str, ...], count: int
) -> None:
    names = {"today": f"{now():%Y-%m-%d}", "yesterday": f"{now() - timedelta(days=1):%Y-%m-%d}"}
    words = [one.format(**names) for one in days]
    for form in ("jsonl", "csv"):
        folder = tmp_path / form
        made = audit(
            "export", *words, "--format", form, "--to-folder", str(folder), run_dir=filled.run_dir
        )
        assert made.exit_code == 0
        assert made.output.startswith(f"{count} records\n")
        (head,) = folder.glob("*.head.json")
        (records,) = folder.glob(f"*.{form}")
        assert json.loads(head.read_text())["seq"] == 5
        if form == "jsonl":
            lines = [json.loads(line) for line in records.read_text().splitlines()]
            AuditEvent.model_validate(lines[0]["event"])
        else:
            lines = list(csv.DictReader(records.read_text().splitlines()))
            assert lines[0]["actor"] == "u_tester"
        assert len(lines) == count
        assert sorted(path.name for path in folder.iterdir()) == sorted([head.name, records.name])


def test_an_export_goes_into_a_bucket(filled: Places, bucket: str) -> None:
    target = f"s3://{bucket}/audit/hospital"
    made = audit("export", "--to-s3", target, run_dir=filled.run_dir)
    assert made.exit_code == 0
    client = boto3.client("s3")
    found = [one["Key"] for one in client.list_objects_v2(Bucket=bucket)["Contents"]]
    assert [f"s3://{bucket}/{name}" for name in sorted(found, reverse=True)] == sorted(
        made.output.splitlines()[1:], reverse=True
    )
    records = next(name for name in found if name.endswith(".jsonl"))
    content = client.get_object(Bucket=bucket, Key=records)["Body"].read()
    (path,) = filled.audit.glob("audit-*")
    assert content == path.read_bytes()


def test_an_export_that_cannot_be_made_is_said_in_a_sentence(
    filled: Places, bucket: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    for words, status, said in (
        (("--to-s3", f"s3://{bucket}-none/x"), 1, "cannot be written"),
        (("--to-s3", "s3:/wrong"), 1, "no address of a bucket"),
        (("--to-folder", str(tmp_path / "file" / "x")), 1, "cannot be written"),
        ((), 2, "one of them"),
        (("--to-s3", "s3://b/x", "--to-folder", "x"), 2, "one of them"),
    ):
        made = audit("export", *words, run_dir=filled.run_dir)
        assert (made.exit_code, said in made.output) == (status, True), made.output


def test_without_the_gateways_key_nothing_can_be_verified(tmp_path: Path) -> None:
    shown = audit("verify", run_dir=tmp_path)
    assert shown.exit_code == 1
    assert "identity.key cannot be read" in shown.output
