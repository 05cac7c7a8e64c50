"""The template takes every variable, refuses dangerous ones, and Nginx takes the result."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from diagnosis.errors import FileTooLarge
from gateway.proxy_problems import PROXY_PROBLEMS
from gateway.rendering import TEMPLATE, TEMPLATES, NginxVariables, render
from gateway.servers import Server


def variables(folder: Path, **changes: Any) -> NginxVariables:
    for name in ("static", "errors", "run", "log", "temp"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return NginxVariables.model_validate(
        {
            "listen_port": 18099,
            "web_upstream": f"unix:{folder}/web.sock",
            "inference_upstream": f"unix:{folder}/inference.sock",
            "identity_upstream": f"unix:{folder}/identity.sock",
            "static_dir": folder / "static",
            "error_pages_dir": folder / "errors",
            "run_dir": folder / "run",
            "log_dir": folder / "log",
            "temp_dir": folder / "temp",
        }
        | changes
    )


def test_every_variable_is_used_by_the_template() -> None:
    template = (TEMPLATES / TEMPLATE).read_text()
    unused = [name for name in NginxVariables.model_fields if name not in template]
    assert unused == []


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"server_names": ()},
        {"server_names": ("sightline.example.org",), "listen_address": "0.0.0.0"},
        {"web_upstream": "web_ui:8000", "inference_upstream": "127.0.0.1:8001"},
        {"worker_processes": 4, "worker_connections": 4096},
    ],
    ids=["local", "any-name", "public", "tcp", "large"],
)
def test_nginx_takes_it_without_a_warning(
    tmp_path: Path, nginx: Server, changes: dict[str, Any]
) -> None:
    if changes.get("web_upstream") == "web_ui:8000":
        changes = changes | {"web_upstream": "localhost:8000"}
    folder = tmp_path / "with a space"
    configuration = folder / "nginx.conf"
    text = render(variables(folder, **changes))
    configuration.write_text(text)
    tested = subprocess.run(
        [nginx.binary, "-t", "-p", folder, "-e", "stderr", "-c", configuration],
        capture_output=True,
        text=True,
        env=nginx.environment,
        check=False,
    )
    assert tested.returncode == 0, tested.stderr
    assert "[warn]" not in tested.stderr


def test_the_same_variables_give_the_same_text(tmp_path: Path) -> None:
    assert render(variables(tmp_path)) == render(variables(tmp_path))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("web_upstream", 'unix:/a";}'),
        ("web_upstream", "http://elsewhere"),
        ("static_dir", "relative/folder"),
        ("static_dir", "/with/$variable"),
        ("static_dir", '/with/"quote'),
        ("log_dir", "/with\nline"),
        ("server_names", ("a; return 200",)),
        ("worker_user", "root; daemon on"),
        ("static_policy", 'x"; add_header a b'),
        ("body_limit_bytes", 0),
        ("listen_port", 70000),
        ("answer_timeout", 0),
    ],
)
def test_what_could_change_the_configuration_is_refused(
    tmp_path: Path, name: str, value: object
) -> None:
    with pytest.raises(ValidationError, match=name):
        variables(tmp_path, **{name: value})


def test_headers_are_added_in_one_place_only(tmp_path: Path) -> None:
    """An add_header inside a location would drop all the others there."""
    text = render(variables(tmp_path))
    server = text[text.index("    server {") :]
    in_locations = re.findall(r"location [^{]*\{[^}]*\}", server)
    assert len(in_locations) > len(PROXY_PROBLEMS)
    assert not any("add_header" in part for part in in_locations)


def test_the_proxy_says_what_the_service_says_about_large_files() -> None:
    said = {problem.status: problem for problem in PROXY_PROBLEMS}[413]
    assert (said.code, said.detail) == (FileTooLarge.code, FileTooLarge.default_detail)


def test_every_status_is_answered_once() -> None:
    triggers = [trigger for problem in PROXY_PROBLEMS for trigger in problem.triggers]
    assert len(triggers) == len(set(triggers))
    assert all(
        problem.retry_after for problem in PROXY_PROBLEMS if problem.status in (429, 502, 503, 504)
    )
