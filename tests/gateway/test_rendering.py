"""The template takes every variable, refuses dangerous ones, and Nginx takes the result."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from diagnosis.errors import FileTooLarge
from gateway.certificates import ensure_certificates
from gateway.proxy_problems import PROXY_PROBLEMS
from gateway.rendering import TEMPLATES, NginxVariables, read_variables, render
from gateway.servers import Server, takes_http2_in_listen
from gateway.settings import IdentitySettings


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
    template = "".join(path.read_text() for path in TEMPLATES.glob("*.conf.j2"))
    unused = [name for name in NginxVariables.model_fields if name not in template]
    assert unused == []


#: What differs between the variants; `TLS` stands for a certificate that the test makes.
TLS = {"tls_certificate": "server.pem", "tls_certificate_key": "server.key"}
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "any-name": {"server_names": ()},
    "public": {"server_names": ("sightline.example.org",), "listen_address": "0.0.0.0"},
    "tcp": {"web_upstream": "localhost:8000", "inference_upstream": "127.0.0.1:8001"},
    "grafana": {"grafana_upstream": "127.0.0.1:3000", "status_listen": "127.0.0.1:18098"},
    "watched": {"metrics_port": 18097, "worker_upstream": "unix:/run/worker.sock"},
    "large": {"worker_processes": 4, "worker_connections": 4096},
    "tls": TLS,
    "tls-behind-a-port": {**TLS, "public_port": 443},
    "deployment": {
        **tomllib.loads((TEMPLATES / "deployment.toml").read_text()),
        **TLS,
        "worker_user": None,
    },
}
PATHS = ("static_dir", "error_pages_dir", "run_dir", "log_dir", "temp_dir", "acme_dir")


def variant(folder: Path, name: str) -> NginxVariables:
    """The variant, with folders and a certificate that exist here."""
    changes = VARIANTS[name].copy()
    changes = {key: value for key, value in changes.items() if key not in PATHS}
    if "acme_dir" in VARIANTS[name]:
        changes["acme_dir"] = folder / "acme"
    if "tls_certificate" in changes:
        ensure_certificates(folder / "tls", ("127.0.0.1", "localhost"))
        changes |= {key: folder / "tls" / file for key, file in TLS.items()}
    return variables(folder, **changes)


@pytest.mark.parametrize("name", VARIANTS)
def test_nginx_takes_it_without_a_warning(tmp_path: Path, nginx: Server, name: str) -> None:
    folder = tmp_path / "with a space"
    configuration = folder / "nginx.conf"
    taken = variant(folder, name).model_copy(
        update={"http2_in_listen": takes_http2_in_listen(nginx)}
    )
    configuration.write_text(render(taken))
    tested = subprocess.run(
        [nginx.binary, "-t", "-p", folder, "-e", "stderr", "-c", configuration],
        capture_output=True,
        text=True,
        env=nginx.environment,
        check=False,
    )
    assert tested.returncode == 0, tested.stderr
    assert "[warn]" not in tested.stderr


def gixy(configuration: Path) -> "subprocess.CompletedProcess[str]":
    """What gixy, which knows the mistakes that others have made, says of it."""
    command = [Path(sys.executable).with_name("gixy"), "-f", "json", configuration]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["plain", "tls", "grafana", "watched", "deployment"])
def test_gixy_finds_nothing(tmp_path: Path, name: str) -> None:
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(render(variant(tmp_path, name)))
    said = gixy(configuration)
    assert (said.returncode, json.loads(said.stdout)) == (0, [])


def test_gixy_would_find_a_mistake(tmp_path: Path) -> None:
    text = render(variant(tmp_path, "tls"))
    planted = text.replace(
        "location /api/ {", "location /api/ {\n            add_header X-Planted 1;", 1
    )
    assert planted != text
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(planted)
    said = gixy(configuration)
    assert said.returncode != 0
    assert "add_header_redefinition" in said.stdout


@pytest.mark.parametrize(
    "changes",
    [
        {"tls_certificate": "/a.pem"},
        {"tls_certificate_key": "/a.key"},
        {"redirect_port": 80},
        {"acme_dir": "/var/lib/acme"},
        {"tls_certificate": "/a.pem", "tls_certificate_key": "/a.key", "server_names": ()},
    ],
    ids=["no-key", "no-certificate", "redirect-to-nothing", "challenge-of-nothing", "any-name"],
)
def test_half_a_tls_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"tls_certificate|server_names"):
        variables(tmp_path, **changes)


def test_http_2_is_switched_on_as_the_version_of_nginx_asks(tmp_path: Path) -> None:
    assert "ssl http2 default_server;" in render(variant(tmp_path, "tls"))
    newer = render(variant(tmp_path, "tls").model_copy(update={"http2_in_listen": False}))
    assert "ssl default_server;" in newer
    assert "http2 on;" in newer


def test_the_command_renders_a_server_from_a_file() -> None:
    shown = subprocess.run(
        [
            *(sys.executable, "-m", "gateway.cli", "render-nginx"),
            *("--variables", TEMPLATES / "deployment.toml"),
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert shown == render(read_variables(TEMPLATES / "deployment.toml"))
    for line in ("listen 0.0.0.0:443 ssl http2", "listen 0.0.0.0:80 ", "acme-challenge"):
        assert line in shown


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
        ("tls_ciphers", "AESGCM; ssl_protocols SSLv3"),
        ("hsts", 'max-age=1"; add_header a b'),
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


@pytest.mark.parametrize("behind_tls", [False, True])
def test_the_cookie_that_is_counted_is_the_one_that_is_set(
    tmp_path: Path, behind_tls: bool
) -> None:
    scheme = "https" if behind_tls else "http"
    service = IdentitySettings(
        redis_url=SecretStr("unix:///none"),
        key_file=tmp_path / "key",
        audit_dir=tmp_path,
        public_url=f"{scheme}://sightline.example.org",
    )
    rendered = render(variables(tmp_path, tls_before=behind_tls))
    assert f"(.*; *)?{service.cookie_name}=" in rendered
