"""What holds for the files of `infra/` as they are written; the cheap part of `make test-infra`."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from gateway.redis_users import USERS
from tests.infra.terraform import ENVIRONMENTS, INFRA, MODULES, ROOT

TERRAFORM = sorted(path for path in INFRA.rglob("*.tf") if ".terraform" not in path.parts)
FOLDERS = sorted({path.parent for path in TERRAFORM})
SHELL = sorted((*INFRA.rglob("*.sh"), *INFRA.rglob("*.sh.tftpl")))


def blocks(path: Path, kind: str) -> dict[str, str]:
    """The blocks of a kind (`variable`, `output`) in a formatted file, by name."""
    found = re.findall(rf'^{kind} "(\w+)" {{\n(.*?)^}}', path.read_text(), re.DOTALL | re.MULTILINE)
    return dict(found)


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_there_is_something_to_check() -> None:
    assert len(FOLDERS) > 12
    assert SHELL


@pytest.mark.parametrize("folder", FOLDERS, ids=named)
def test_a_module_has_the_files_that_all_have(folder: Path) -> None:
    assert {"main.tf", "variables.tf", "outputs.tf", "versions.tf"} <= {
        path.name for path in folder.iterdir()
    }


@pytest.mark.parametrize("folder", FOLDERS, ids=named)
def test_variables_and_outputs_say_what_they_are(folder: Path) -> None:
    variables = blocks(folder / "variables.tf", "variable")
    assert variables
    for name, text in variables.items():
        assert re.search(r'^  description = ".{8,}"$', text, re.MULTILINE), name
        assert re.search(r"^  type\s+= ", text, re.MULTILINE), name
    outputs = blocks(folder / "outputs.tf", "output")
    assert outputs
    for name, text in outputs.items():
        assert re.search(r'^  description = ".{8,}"$', text, re.MULTILINE), name


@pytest.mark.parametrize("folder", FOLDERS, ids=named)
def test_every_variable_is_used(folder: Path) -> None:
    others = [path for path in folder.glob("*.tf") if path.name != "variables.tf"]
    used = set(re.findall(r"\bvar\.(\w+)", "".join(path.read_text() for path in others)))
    assert set(blocks(folder / "variables.tf", "variable")) <= used


@pytest.mark.parametrize("folder", [*ENVIRONMENTS.iterdir()], ids=named)
def test_an_environment_pins_its_provider(folder: Path) -> None:
    lock = (folder / ".terraform.lock.hcl").read_text()
    pinned = re.search(r'version = "([\d.]+)"', (folder / "versions.tf").read_text())
    assert pinned is not None
    assert f'version     = "{pinned[1]}"' in lock
    assert "h1:" in lock


@pytest.mark.parametrize("path", [*TERRAFORM, *SHELL], ids=named)
def test_no_address_is_typed(path: Path) -> None:
    """Instances find each other by name; what is private is said once, where a VPC is made."""
    typed = re.findall(r"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(?:/\d+)?", path.read_text())
    allowed = {"0.0.0.0/0", "169.254.169.254", "127.0.0.1"}
    if path.name == "variables.tf":
        allowed.add("10.42.0.0/16")
    assert set(typed) <= allowed


def test_redis_has_the_users_of_the_services() -> None:
    names = [user.name for user in USERS]
    data = (MODULES / "data" / "main.tf").read_text()
    (listed,) = re.findall(r"^  users = \[(.*?)\]", data, re.MULTILINE)
    assert sorted(re.findall(r'"(\w+)"', listed)) == sorted(names)
    secrets = (MODULES / "secrets" / "main.tf").read_text()
    assert sorted(re.findall(r'"redis/(\w+)"', secrets)) == sorted(names)


@pytest.mark.parametrize("path", SHELL, ids=named)
def test_scripts_hold_to_shellcheck(path: Path) -> None:
    program = shutil.which("shellcheck")
    if program is None:
        pytest.skip("shellcheck is not installed")
    script = path.read_text()
    if path.suffix == ".tftpl":
        script = re.sub(r"(?m)^%\{.*\n", "", re.sub(r"\$\{[\w.]+\}", "filled", script))
    done = subprocess.run(
        [program, "--shell=bash", "-"], input=script, capture_output=True, text=True, check=False
    )
    assert done.stdout == ""
