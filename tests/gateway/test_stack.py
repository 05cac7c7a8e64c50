"""The places of a stack, and the reasons it does not start."""

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from pydantic import ValidationError

from gateway.redis_users import passwords_in
from gateway.settings import Settings, child_environment
from gateway.stack import (
    MAX_SOCKET_PATH,
    CannotStart,
    Places,
    check_port,
    nginx_variables,
    processes,
    redis_configuration,
    redis_url,
    sole_run,
)
from tests.fixtures.ports import free_port


def test_everything_lies_under_the_run_folder(tmp_path: Path) -> None:
    places = Places(tmp_path, tmp_path / "sockets")
    for path in (places.redis, places.images, places.registry, places.nginx, places.web_socket):
        assert path.is_relative_to(tmp_path)


def test_a_path_too_long_for_a_socket_gets_a_private_folder(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 90) / "run"
    places = Places.under(deep)
    assert len(os.fsencode(places.inference_socket)) <= MAX_SOCKET_PATH
    assert places.redis.is_relative_to(deep)
    assert Places.under(deep).sockets == places.sockets
    assert Places.under(deep / "other").sockets != places.sockets
    places.prepare()
    assert stat.S_IMODE(places.sockets.stat().st_mode) == 0o700
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(places.inference_socket))
    places.tidy()
    assert not places.sockets.exists()


def test_a_folder_of_somebody_else_is_not_used_for_sockets(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "sockets").symlink_to(elsewhere)
    with pytest.raises(CannotStart, match="belongs to somebody else"):
        Places(tmp_path, tmp_path / "sockets").prepare()


def test_sockets_and_uploads_left_behind_are_removed_and_data_is_not(tmp_path: Path) -> None:
    places = Places(tmp_path, tmp_path / "sockets")
    places.prepare()
    places.redis_socket.touch()
    kept = places.redis / "appendonly.aof"
    kept.touch()
    upload = places.nginx / "temp" / "body" / "0000000001"
    upload.parent.mkdir()
    upload.touch()
    places.prepare()
    assert not places.redis_socket.exists()
    assert list((places.nginx / "temp").iterdir()) == []
    assert kept.exists()
    assert stat.S_IMODE(places.images.stat().st_mode) == 0o700


def test_a_port_that_is_taken_is_said_in_a_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(CannotStart, match=rf"Port {port} is taken.*make run PORT="):
            check_port(port)
    check_port(free_port())


def test_two_stacks_do_not_share_a_run_folder(tmp_path: Path) -> None:
    """The lock is one of processes, so the second is one."""
    places = Places.under(tmp_path)
    command = [sys.executable, "-m", "gateway.cli", "run", "--run-dir", tmp_path]
    with sole_run(places, 8123):
        second = subprocess.run(
            [*command, "--port", str(free_port())], capture_output=True, text=True, check=False
        )
    assert second.returncode == 1
    assert f"already runs from {tmp_path} on http://127.0.0.1:8123" in second.stderr
    assert len(second.stderr.strip().splitlines()) == 1
    with sole_run(places, 8124):
        assert (tmp_path / "lock").read_text() == "8124\n"


def test_the_command_says_that_the_port_is_taken(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = subprocess.run(
            [
                *(sys.executable, "-m", "gateway.cli", "run"),
                *("--run-dir", tmp_path, "--port", str(port)),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"Port {port} is taken by another program;")
    assert not (tmp_path / "redis").exists()


def test_a_stack_under_tls_is_said_to_run_there(tmp_path: Path) -> None:
    places = Places.under(tmp_path)
    with sole_run(places, 8123, "https"):
        refused = subprocess.run(
            [sys.executable, "-m", "gateway.cli", "run", "--run-dir", tmp_path],
            capture_output=True,
            text=True,
            check=False,
        )
    assert f"already runs from {tmp_path} on https://127.0.0.1:8123" in refused.stderr
    assert (tmp_path / "lock").read_text().splitlines()[0] == "8123"


def test_without_tls_no_certificate_is_made(tmp_path: Path) -> None:
    settings = Settings(run_dir=tmp_path)
    places = Places.under(tmp_path)
    places.prepare()
    processes(settings, places)
    assert not (tmp_path / "tls").exists()
    assert "ssl" not in (places.nginx / "nginx.conf").read_text().replace("$ssl_protocol", "")
    assert settings.url == "http://127.0.0.1:8080"


def test_tls_gets_a_certificate_for_every_name_that_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGHTLINE_GATEWAY_TLS", "1")
    monkeypatch.setenv("SIGHTLINE_GATEWAY_HOST_NAMES", "reading-room.example.org, ward-3,")
    settings = Settings(run_dir=tmp_path)
    assert settings.url == "https://127.0.0.1:8080"
    assert settings.names == ("127.0.0.1", "localhost", "reading-room.example.org", "ward-3")
    places = Places.under(tmp_path)
    places.prepare()
    processes(settings, places)
    shown = x509.load_pem_x509_certificate(places.tls.certificate.read_bytes())
    alternatives = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {str(name.value) for name in alternatives} == set(settings.names)
    configuration = (places.nginx / "nginx.conf").read_text()
    assert "listen 127.0.0.1:8080 ssl" in configuration
    assert '"ward-3" 1;' in configuration
    # A browser would keep a long one for whatever else runs on localhost.
    assert '"max-age=300"' in configuration


@pytest.mark.parametrize("name", ["*", "*.example.org", "a b", 'x" 1; default', "[::1]"])
def test_a_host_name_is_one_name(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("SIGHTLINE_GATEWAY_HOST_NAMES", name)
    with pytest.raises(ValidationError, match="host_names"):
        Settings()


def test_the_limits_of_the_settings_reach_the_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGHTLINE_GATEWAY_CONNECTIONS", "7")
    monkeypatch.setenv("SIGHTLINE_GATEWAY_HEADER_SECONDS", "3")
    monkeypatch.setenv("SIGHTLINE_GATEWAY_BODY_SECONDS", "4")
    monkeypatch.setenv("SIGHTLINE_GATEWAY_CALLER_UPLOADS_PER_SECOND", "5")
    variables = nginx_variables(Settings(run_dir=tmp_path), Places.under(tmp_path))
    assert (variables.connections, variables.header_seconds, variables.body_seconds) == (7, 3, 4)
    assert variables.caller_uploads_per_second == 5


def test_render_nginx_prints_what_the_stack_would_use(tmp_path: Path) -> None:
    shown = subprocess.run(
        [
            *(sys.executable, "-m", "gateway.cli", "render-nginx"),
            *("--run-dir", tmp_path, "--port", "8234"),
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "listen 127.0.0.1:8234 default_server;" in shown
    assert f'server "unix:{Places.under(tmp_path).web_socket}";' in shown


def test_a_child_inherits_nothing_it_was_not_meant_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy")
    monkeypatch.setenv("SIGHTLINE_INFERENCE_THREADS", "1")
    monkeypatch.setenv("SIGHTLINE_GATEWAY_IDENTITY_OIDC_CLIENT_SECRET", "secret")
    assert "SIGHTLINE_INFERENCE_THREADS" not in child_environment()
    inherited = child_environment("SIGHTLINE_INFERENCE_")
    assert inherited["SIGHTLINE_INFERENCE_THREADS"] == "1"
    assert "SIGHTLINE_GATEWAY_IDENTITY_OIDC_CLIENT_SECRET" not in inherited
    assert {"AWS_SECRET_ACCESS_KEY", "HTTPS_PROXY"}.isdisjoint(inherited)


def test_only_the_proxy_listens_on_tcp(tmp_path: Path) -> None:
    settings = Settings(port=8345, run_dir=tmp_path)
    places = Places.under(tmp_path)
    places.prepare()
    specs = {spec.name: spec for spec in processes(settings, places)}
    assert list(specs) == [
        *("redis", "chainer", "identity", "inference", "worker-1", "web", "nginx")
    ]
    assert "port 0\n" in redis_configuration(places)
    for name, at in (
        ("identity", places.identity_socket),
        ("inference", places.inference_socket),
        ("web", places.web_socket),
    ):
        command = specs[name].command
        assert command[command.index("--uds") + 1] == str(at)
        assert "--port" not in command
    assert nginx_variables(settings, places).listen_address == "127.0.0.1"
    for service, name, user in (
        ("identity", "SIGHTLINE_GATEWAY_IDENTITY_REDIS_URL", "identity"),
        ("inference", "SIGHTLINE_INFERENCE_REDIS_URL", "inference"),
    ):
        url = specs[service].environment[name]
        assert url == redis_url(places, user)
        assert url.startswith(f"unix://{user}:")
        assert url.endswith(f"@{places.redis_socket}")
    # The password of one service is not in the environment of another.
    for service, spec in specs.items():
        seen = {
            user
            for user, password in passwords_in(places.redis_users).items()
            if any(password in value for value in spec.environment.values())
        }
        assert seen == {service.replace("worker-1", "inference")} & {"identity", "inference"}


def test_as_many_workers_as_are_wanted(tmp_path: Path) -> None:
    places = Places.under(tmp_path)
    places.prepare()
    for count in (0, 3):
        specs = processes(Settings(port=8345, run_dir=tmp_path, workers=count), places)
        workers = [spec for spec in specs if spec.name.startswith("worker-")]
        assert [spec.name for spec in workers] == [f"worker-{n}" for n in range(1, count + 1)]
        assert len({spec.command for spec in workers}) == count
    left = places.worker_socket(3)
    left.touch()
    places.tidy()
    assert not left.exists()


@pytest.mark.parametrize("stops", [False, True])
def test_a_model_that_drifts_is_stopped_where_that_is_wanted(tmp_path: Path, stops: bool) -> None:
    settings = (
        Settings(run_dir=tmp_path, drift_stops=stops) if stops else Settings(run_dir=tmp_path)
    )
    places = Places.under(tmp_path)
    places.prepare()
    told = {
        spec.environment["SIGHTLINE_INFERENCE_DRIFT_STOPS"]
        for spec in processes(settings, places)
        if spec.name.startswith(("inference", "worker"))
    }
    assert told == {str(stops).lower()}


def test_without_a_stack_there_is_no_way_into_its_redis(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match="make run"):
        redis_url(Places.under(tmp_path), "inference")


def test_the_key_that_signs_is_the_gateways_alone(tmp_path: Path) -> None:
    settings, places = Settings(port=8345, run_dir=tmp_path), Places.under(tmp_path)
    places.prepare()
    specs = {spec.name: spec for spec in processes(settings, places)}
    assert stat.S_IMODE(places.identity_key.stat().st_mode) == 0o600
    private, public = places.identity_key.read_bytes(), places.identity_public_key.read_bytes()
    named = {name for name, spec in specs.items() if str(places.identity_key) in str(spec)}
    assert named == {"identity"}
    for name in ("inference", "worker-1", "web"):
        assert str(places.identity_public_key) in specs[name].environment.values()
    processes(settings, places)
    assert places.identity_key.read_bytes() == private, "another key ends every session"
    assert places.identity_public_key.read_bytes() == public


def test_commands_say_that_nothing_runs(tmp_path: Path) -> None:
    for arguments in (("create-key", "--role", "ops"), ("reset-user", "ada")):
        refused = subprocess.run(
            [sys.executable, "-m", "gateway.cli", *arguments, "--run-dir", tmp_path],
            capture_output=True,
            text=True,
            check=False,
        )
        assert refused.returncode == 1
        assert refused.stdout == ""
        assert refused.stderr == f"Sightline does not run from {tmp_path}: start it, `make run`.\n"
