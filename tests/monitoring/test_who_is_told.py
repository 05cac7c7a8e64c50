"""The script that fills in whom Alertmanager tells, with a stand-in for Alertmanager itself."""

import os
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "monitoring" / "alertmanager" / "start.sh"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:alerts"


def started(folder: Path, **told: str) -> "subprocess.CompletedProcess[str]":
    """What the script says; the stand-in prints its options."""
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    (programs / "alertmanager").write_text('#!/bin/sh\necho "$@"\n')
    (programs / "alertmanager").chmod(0o755)
    names = {f"SIGHTLINE_ALERTS_{name.upper()}": address for name, address in told.items()}
    return subprocess.run(
        ["sh", SCRIPT, folder, "--storage.path=/x"],
        env={"PATH": f"{programs}:{os.environ['PATH']}", **names},
        capture_output=True,
        text=True,
        check=False,
    )


def receivers(folder: Path) -> dict[str, Any]:
    written = yaml.safe_load((folder / "alertmanager.yml").read_text())
    return {one.pop("name"): one for one in written["receivers"]}


def test_each_gets_what_is_for_it(tmp_path: Path) -> None:
    page, watchdog = "https://hooks.example.org/s/1?a=b&c=$d", "http://watch:8080/2"
    done = started(tmp_path, page=page, ticket=TOPIC, watchdog=watchdog)
    assert done.stdout.split() == [
        f"--config.file={tmp_path}/alertmanager.yml",
        "--storage.path=/x",
    ]
    assert done.stderr == ""
    found = receivers(tmp_path)
    assert found["page"]["webhook_configs"] == [{"url": page, "send_resolved": True}]
    assert found["watchdog"]["webhook_configs"] == [{"url": watchdog, "send_resolved": False}]
    (topic,) = found["ticket"]["sns_configs"]
    assert topic == {"topic_arn": TOPIC, "sigv4": {"region": "eu-west-1"}, "send_resolved": True}
    assert stat.S_IMODE((tmp_path / "alertmanager.yml").stat().st_mode) == 0o600


def test_who_is_not_set_is_not_told_and_the_log_says_so(tmp_path: Path) -> None:
    done = started(tmp_path, page="https://hooks.example.org/1")
    assert done.returncode == 0
    said = done.stderr.splitlines()
    assert len(said) == 2
    assert all("nobody is told" in line for line in said)
    assert "https" not in done.stderr
    assert receivers(tmp_path) == {
        "page": {
            "webhook_configs": [{"url": "https://hooks.example.org/1", "send_resolved": True}]
        },
        "ticket": {},
        "watchdog": {},
    }


@pytest.mark.parametrize(
    "address",
    ["https://", "ftp://x/1", "x", 'https://x/"}]', "https://x/\n- name: y", "https://x/'"],
)
def test_what_is_no_address_is_refused(tmp_path: Path, address: str) -> None:
    done = started(tmp_path, ticket=address)
    assert done.returncode == 2
    assert "SIGHTLINE_ALERTS_TICKET is no" in done.stderr
    assert not (tmp_path / "alertmanager.yml").exists()


@pytest.mark.parametrize(
    "told", [{}, {"page": TOPIC, "ticket": "https://x/1?y", "watchdog": TOPIC}]
)
def test_alertmanager_takes_what_is_written(tmp_path: Path, told: dict[str, str]) -> None:
    amtool = shutil.which("amtool")
    if amtool is None:
        pytest.skip("no amtool: Debian's prometheus-alertmanager brings it")
    started(tmp_path, **told)
    command = [amtool, "check-config", tmp_path / "alertmanager.yml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
