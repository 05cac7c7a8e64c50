"""The units that get and renew a server's certificate."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.certbot import CertbotVariables, write_units
from gateway.rendering import TEMPLATES, read_variables

EXAMPLE = TEMPLATES / "certbot.toml"


def test_the_example_is_for_the_server_of_the_other_example() -> None:
    units, proxy = CertbotVariables.read(EXAMPLE), read_variables(TEMPLATES / "deployment.toml")
    assert units.names == proxy.server_names
    assert str(proxy.acme_dir) == units.acme_dir
    assert f"/live/{units.names[0]}/" in str(proxy.tls_certificate)


def test_the_command_writes_both_units(tmp_path: Path) -> None:
    subprocess.run(
        [
            *(sys.executable, "-m", "gateway.cli", "render-certbot", EXAMPLE),
            *("--out", tmp_path),
        ],
        capture_output=True,
        check=True,
    )
    service = (tmp_path / "sightline-certbot.service").read_text()
    assert "--webroot-path /var/lib/sightline/acme " in service
    assert "--domain sightline.example.org " in service
    assert "reload nginx.service" in service
    assert "OnCalendar=" in (tmp_path / "sightline-certbot.timer").read_text()


def test_systemd_takes_them(tmp_path: Path) -> None:
    """With a program in certbot's place that is on every machine: systemd looks for it."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze")
    stand_in = CertbotVariables.read(EXAMPLE).model_copy(
        update={
            "names": ("sightline.example.org", "www.sightline.example.org"),
            "certbot": "/bin/true",
            "systemctl": "/bin/true",
        }
    )
    units = write_units(stand_in, tmp_path)
    verified = subprocess.run(
        ["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False
    )
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")
    (tmp_path / "sightline-certbot.timer").write_text("[Timer]\nOnCalendar=whenever\n")
    broken = subprocess.run(
        ["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False
    )
    assert broken.stderr, "it would have said so"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("names", ()),
        ("names", ("localhost",)),
        ("names", ("a.example.org; reboot",)),
        ("email", "nobody"),
        ("email", "a@example.org --server https://b"),
        ("acme_dir", "relative"),
        ("acme_dir", "/with a space"),
        ("certbot", "/bin/sh -c reboot"),
        ("unknown", "x"),
    ],
)
def test_what_could_change_a_unit_is_refused(name: str, value: Any) -> None:
    given = CertbotVariables.read(EXAMPLE).model_dump() | {name: value}
    with pytest.raises(ValidationError, match=name):
        CertbotVariables.model_validate(given)
