"""Who did what, from the door to the chain: through everything that `make run` starts."""

import time

import httpx
import pytest
from typer.testing import CliRunner

from diagnosis.identity import Role
from gateway.cli import app
from tests.fixtures.stack import DISEASE, Stack

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("stack")]

SECONDS = 20.0


def records_of(stack: Stack, reading: str, count: int) -> list[dict[str, object]]:
    """What an auditor is shown of a reading, once that are so many records; oldest first."""
    until = time.monotonic() + SECONDS
    with stack.client(Role.AUDITOR) as auditor:
        while True:
            answer = auditor.get("/api/v1/audit", params={"object": reading, "limit": 100})
            assert answer.status_code == 200, answer.text
            found = answer.json()["items"]
            if len(found) >= count or time.monotonic() > until:
                return found[::-1]
            time.sleep(0.05)


def test_what_is_done_to_a_reading_is_in_the_chain_though_the_chainer_was_killed(
    stack: Stack, film: bytes
) -> None:
    with stack.client() as client:
        made = client.post(
            f"/api/v1/diseases/{DISEASE}/predictions", files={"image": ("film.jpeg", film)}
        )
        assert made.status_code == 201, made.text
        reading = made.json()["id"]
        assert len(records_of(stack, reading, 1)) == 1
        stack.kill_one("chainer")
        assert client.get(f"/readings/{reading}").status_code == 200
        assert client.get(f"/api/v1/predictions/{reading}/image").status_code == 200
        assert client.delete(f"/api/v1/predictions/{reading}").status_code == 204
        stack.start_one("chainer")
    shown = records_of(stack, reading, 5)
    assert [one["action"] for one in shown] == ["upload", "view", "view", "view", "delete"]
    assert {one["outcome"] for one in shown} == {"allowed"}
    assert len({one["actor"] for one in shown}) == 1
    assert str(shown[0]["actor"]).startswith("k_")
    verified = CliRunner().invoke(app, ["audit", "verify", "--run-dir", str(stack.places.run_dir)])
    assert verified.exit_code == 0, verified.output


def test_who_is_no_auditor_sees_nothing_of_it_and_that_is_written_down(stack: Stack) -> None:
    def get(path: str, *roles: Role) -> httpx.Response:
        with stack.client(*roles) as client:
            return client.get(path)

    for path in ("/api/v1/audit", "/api/v1/audit/export", "/audit"):
        assert get(path, Role.CLINICIAN, Role.ADMIN).status_code == 403
        with stack.stranger() as stranger:
            assert stranger.get(path).status_code in {401, 303}
    exported = get("/api/v1/audit/export?format=json", Role.AUDITOR)
    assert exported.status_code == 200
    assert exported.json()["head"]["seq"] >= len(exported.json()["records"]) > 0
    until = time.monotonic() + SECONDS
    actions: set[str] = set()
    while not {"denied", "export", "key-change"} <= actions and time.monotonic() < until:
        found = get("/api/v1/audit?limit=100", Role.AUDITOR).json()["items"]
        actions = {one["action"] for one in found}
    assert {"denied", "export", "key-change"} <= actions
