"""What can be said of Dockerfiles and compose without an engine; `make test-infra` starts them."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.stack import _service
from tests.infra.engine import ROOT, base_images

DOCKERFILES = sorted(ROOT.glob("*/Dockerfile"))
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def hadolint(path: Path) -> "subprocess.CompletedProcess[str]":
    """What hadolint, which knows the mistakes that others have made, says of a Dockerfile."""
    program = str(Path(sys.executable).with_name("hadolint"))
    command = [program, "-c", str(ROOT / ".hadolint.yaml"), str(path)]
    return subprocess.run(command, capture_output=True, text=True)


def test_each_service_has_a_dockerfile() -> None:
    named = {path.parent.name for path in DOCKERFILES}
    assert named == {"gateway", "inference_service", "trainer", "web_ui"}


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_hadolint_finds_nothing(path: Path) -> None:
    said = hadolint(path)
    assert (said.returncode, said.stdout) == (0, ""), said.stdout


def test_hadolint_would_find_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM debian\nRUN cd /tmp && sudo ls\n")
    assert hadolint(tmp_path / "Dockerfile").returncode != 0


def stages(path: Path) -> dict[str, str]:
    """Text of each stage by its name."""
    parts = re.split(r"(?m)^(?=FROM )", path.read_text())[1:]
    named = {re.match(r"FROM \S+(?: AS (\w+))?", part).group(1) or "": part for part in parts}  # type: ignore[union-attr]
    return {name: part.split("\n\n")[0].strip() for name, part in named.items()}


def test_stages_of_one_name_are_the_same_everywhere() -> None:
    """So that they are built once."""
    seen: dict[str, str] = {}
    for path in DOCKERFILES:
        for name, text in stages(path).items():
            if name in {"assets", "tools", "web"}:
                assert seen.setdefault(name, text) == text, f"{path}: {name}"
    assert set(seen) == {"assets", "tools", "web"}


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_what_runs_is_nobody_and_is_looked_after(path: Path) -> None:
    final = [text for name, text in stages(path).items() if "ENTRYPOINT" in text]
    assert final
    for text in final:
        assert "USER 10001:10001" in text
        assert "HEALTHCHECK" in text


def test_bases_are_named_by_a_whole_version() -> None:
    for name in base_images():
        assert re.search(r":v?\d+\.\d+\.\d+|:bookworm-\d{8}", name), name


def test_the_start_script_runs_a_service_as_the_stack_does(tmp_path: Path) -> None:
    script = (ROOT / "infra" / "containers" / "start.sh").read_text()
    given = " ".join(script[script.index("exec python3 -m uvicorn") :].replace("\\\n", "").split())
    specified = _service("web", "f", Path("/s"), "SIGHTLINE_WEB_", {}).command
    wanted = " ".join(specified[specified.index("--proxy-headers") :])
    assert given.replace("'*'", "*").endswith(wanted)


def test_every_service_is_confined() -> None:
    for name, service in SERVICES.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert service.get("mem_limit") or service.get("profiles") in (["train"], ["gpu"]), name
        assert service["pids_limit"], name
        user, _, _ = service["user"].partition(":")
        assert int(user) > 0, name
        expected = {"setup": "no", "trainer": "no", "trainer-gpu": "no"}.get(name, "unless-stopped")
        assert service["restart"] == expected, name


def test_only_the_proxy_has_an_address_outside() -> None:
    networks = COMPOSE["networks"]
    assert {name for name, one in networks.items() if not one.get("internal")} == {"edge"}
    for name, service in SERVICES.items():
        inside = service.get("network_mode") == "none" or "edge" not in service["networks"]
        assert inside == (name != "proxy"), name
        assert ("ports" in service) == (name == "proxy"), name
    assert "data" not in {*SERVICES["proxy"]["networks"], *SERVICES["web"]["networks"]}


def test_only_the_trainer_of_the_profile_gpu_asks_for_one() -> None:
    asking = {name for name, one in SERVICES.items() if "deploy" in one}
    assert asking == {"trainer-gpu"}
    (device,) = SERVICES["trainer-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    assert SERVICES["trainer-gpu"]["environment"]["KERAS_BACKEND"] == "jax"
    assert "gpu" in SERVICES["trainer-gpu"]["build"]["args"]["LOCKS"].split()


def test_setup_installs_nothing_for_a_gpu() -> None:
    for verb, wanted in (("setup", False), ("gpu", True)):
        command = ["make", "--dry-run", "--always-make", verb]
        planned = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        assert ("requirements/dev.lock" in planned.stdout) is True
        assert ("requirements/gpu.lock" in planned.stdout) is wanted


def test_grafana_is_reached_by_the_proxy_and_by_whom_it_asks() -> None:
    within = {name for name, one in SERVICES.items() if "grafana" in one.get("networks", ())}
    assert within == {"proxy", "prometheus", "grafana"}
    assert SERVICES["grafana"]["networks"] == ["grafana"]
    assert SERVICES["grafana"]["profiles"] == ["grafana"]


def test_no_service_sees_the_settings_of_another() -> None:
    for name, service in SERVICES.items():
        mounted = [str(one) for one in service.get("volumes", ())]
        settings = [one for one in mounted if "-settings:" in one]
        if name == "setup":
            continue
        own = "inference" if name == "worker" else name
        assert settings in ([], [f"{own}-settings:/etc/sightline:ro"]), name


def test_the_proxy_is_told_of_new_addresses(tmp_path: Path) -> None:
    """The script that looks names up, with stand-ins for Nginx and the resolver."""
    programs = tmp_path / "bin"
    programs.mkdir()
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(
        f'    client_body_temp_path "{tmp_path}/temp/body";\n'
        '    server "web:8003";\n    server "unix:/run/x.sock";\n'
    )
    answer = tmp_path / "answer"
    answer.write_text("10.0.0.1 STREAM web\n")
    told = tmp_path / "told"
    (programs / "getent").write_text(f'#!/bin/sh\n[ "$2" = web ] && cat {answer}\n')
    nginx = f'#!/bin/sh\necho "$@" >> {told}\ncase "$*" in *reload*) exit 0;; esac\nexec sleep 60\n'
    (programs / "nginx").write_text(nginx)
    for one in programs.iterdir():
        one.chmod(0o755)
    (tmp_path / "temp" / "body").mkdir(parents=True)
    (tmp_path / "temp" / "body" / "left").write_text("an upload")
    process = subprocess.Popen(
        ["sh", ROOT / "gateway" / "nginx" / "start-proxy.sh", configuration],
        env=os.environ | {"PATH": f"{programs}:{os.environ['PATH']}", "FOLLOW_SECONDS": "0.2"},
        start_new_session=True,
    )
    try:
        wait(lambda: told.exists() and "reload" not in told.read_text())
        assert not (tmp_path / "temp" / "body").exists()
        answer.write_text("10.0.0.2 STREAM web\n")
        wait(lambda: "reload" in told.read_text())
    finally:
        os.killpg(process.pid, 9)
        process.wait(10)


def wait(condition: Any) -> None:
    """Until it holds, for ten seconds at most."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
