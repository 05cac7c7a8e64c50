"""What an instance writes for its services, and how several of a kind agree on a secret."""

import importlib.util
import json
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import pytest
from moto import mock_aws

from gateway.redis_users import USERS, acl_file, rights_of
from gateway.settings import IdentitySettings
from tests.infra.terraform import INFRA

REGION = "eu-west-1"
TOLD: dict[str, Any] = {
    "name": "test",
    "region": REGION,
    "domain": "sightline.example.org",
    "services": "services.test.internal",
    "redis": {"kind": "elasticache", "host": "redis.example", "port": 6379, "prefix": "test-"},
    "secrets": "test/",
    "files": "files.example",
    "edge": ["10.42.32.0/22", "10.42.36.0/22"],
    "buckets": {
        "models": "test-models",
        "datasets": "test-datasets",
        "archive": "test-archive",
        "images": "test-images",
    },
    "options": {
        "SIGHTLINE_GATEWAY_IDENTITY_LOG_LEVEL": "DEBUG",
        "SIGHTLINE_WEB_READ_FIRST": "always",
        "SIGHTLINE_INFERENCE_KEEP_DICOM": "true",
    },
    "topic": "arn:aws:sns:eu-west-1:123456789012:alerts",
}
SECRETS = [
    *(f"redis/{user.name}" for user in USERS),
    *("identity/key", "identity/public-key", "patient-reference/key"),
    "alerts/webhooks",
]


@pytest.fixture(scope="module")
def configure() -> ModuleType:
    spec = importlib.util.spec_from_file_location("configure", INFRA / "boot" / "configure.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        client = boto3.client("secretsmanager", region_name=REGION)
        for name in SECRETS:
            client.create_secret(Name=f"test/{name}")
        yield client


@pytest.fixture
def written(
    configure: ModuleType, store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The folder that stands for the root of the file system; users and Redis are left out."""
    etc, data = tmp_path / "etc", tmp_path / "data"
    for folder in (etc, data / "gateway" / "identity", data / "inference"):
        folder.mkdir(parents=True)
    monkeypatch.setattr(configure, "CONFIGURATION", etc)
    monkeypatch.setattr(configure, "DATA", data)
    for name in ("DEFAULTS", "PROMETHEUS"):
        monkeypatch.setattr(configure, name, tmp_path / name.lower())
        (tmp_path / name.lower()).mkdir()
    monkeypatch.setattr(configure.shutil, "chown", lambda *_: None)
    opened = tmp_path / "opened.json"
    monkeypatch.setattr(
        configure.Instance,
        "open_redis",
        lambda _self, passwords: opened.write_text(json.dumps(passwords)),
    )
    return tmp_path


def test_whoever_is_first_decides(configure: ModuleType, store: Any) -> None:
    secrets = configure.Secrets(REGION, "test/")
    assert secrets.fill("redis/identity", lambda: "first") == "first"
    assert secrets.fill("redis/identity", lambda: "second") == "first"
    assert secrets.get("redis/identity") == "first"


def test_two_at_once_end_with_one_secret(configure: ModuleType, store: Any) -> None:
    """The other fills the place between our look and our writing."""
    secrets = configure.Secrets(REGION, "test/")

    def meanwhile() -> str:
        configure.Secrets(REGION, "test/").fill("redis/identity", lambda: "theirs")
        return "ours"

    assert secrets.fill("redis/identity", meanwhile) == secrets.get("redis/identity")


def test_web_makes_what_the_others_wait_for(configure: ModuleType, written: Path) -> None:
    configure.Instance(TOLD | {"role": "web"}).web()
    configure.Instance(TOLD | {"role": "inference"}).inference()
    etc = written / "etc"
    assert (etc / "identity.pub").read_text().startswith("-----BEGIN PUBLIC KEY")
    assert set(json.loads((written / "opened.json").read_text())) == {one.name for one in USERS}
    for name in ("identity", "chainer", "web", "inference"):
        assert stat.S_IMODE((etc / f"{name}.env").stat().st_mode) == 0o600
    identity = _environment(etc / "identity.env")
    password = json.loads((written / "opened.json").read_text())["identity"]
    assert identity["SIGHTLINE_GATEWAY_IDENTITY_REDIS_URL"] == (
        f"rediss://test-identity:{password}@redis.example:6379/0"
    )
    assert identity["SIGHTLINE_GATEWAY_IDENTITY_PUBLIC_URL"] == "https://sightline.example.org"
    assert identity["LISTEN"] == "--host 0.0.0.0 --port 8003"
    prefix = "SIGHTLINE_GATEWAY_IDENTITY_"
    fields = {name.removeprefix(prefix).lower() for name in identity if name.startswith(prefix)}
    assert fields <= set(IdentitySettings.model_fields)
    inference = _environment(etc / "inference.env")
    assert inference["SIGHTLINE_INFERENCE_REGISTRY"] == "s3://test-models/registry"
    assert inference["SIGHTLINE_INFERENCE_IMAGE_BUCKET"] == "s3://test-images/images"


def test_options_reach_the_service_that_they_are_of(configure: ModuleType, written: Path) -> None:
    configure.Instance(TOLD | {"role": "web"}).web()
    etc = written / "etc"
    assert _environment(etc / "web.env")["SIGHTLINE_WEB_READ_FIRST"] == "always"
    level = "SIGHTLINE_GATEWAY_IDENTITY_LOG_LEVEL"
    assert _environment(etc / "identity.env")[level] == "DEBUG"
    assert level not in _environment(etc / "chainer.env")
    assert "SIGHTLINE_INFERENCE_KEEP_DICOM" not in (etc / "web.env").read_text()


def test_the_edge_has_the_proxy_of_make_run(configure: ModuleType, written: Path) -> None:
    configure.Instance(TOLD | {"role": "edge"}).edge()
    text = (written / "etc" / "nginx.conf").read_text()
    assert "Rendered by gateway/rendering.py" in text
    for port in (8001, 8002, 8003):
        assert f'server "services.test.internal:{port}"' in text
    assert "server_name sightline.example.org" in text
    assert not list((written / "etc").glob("*.env")), "the edge knows no secret"
    assert "listen unix:/run/sightline-nginx/status.sock;" in text
    exporter = _environment(written / "defaults" / "prometheus-nginx-exporter")
    assert (
        "-nginx.scrape-uri=unix:/run/sightline-nginx/status.sock:/stub_status" in exporter["ARGS"]
    )
    assert "grafana" not in text


def test_the_edge_leads_to_grafana_where_the_bundle_brings_it(
    configure: ModuleType, written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configure, "BUNDLE", tmp_path)
    (tmp_path / "grafana").mkdir()
    (tmp_path / "grafana" / "grafana_11.6.1_amd64.deb").touch()
    configure.Instance(TOLD | {"role": "edge"}).edge()
    text = (written / "etc" / "nginx.conf").read_text()
    assert 'server "services.test.internal:3000"' in text


def test_monitoring_asks_redis_as_its_own_user(
    configure: ModuleType, store: Any, written: Path
) -> None:
    store.put_secret_value(SecretId="test/redis/exporter", SecretString="a password")
    configure.Instance(TOLD | {"role": "monitoring"}).monitoring()
    path = written / "defaults" / "prometheus-redis-exporter"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    exporter = _environment(path)
    assert exporter["REDIS_ADDR"] == "rediss://redis.example:6379"
    assert exporter["REDIS_USER"] == "test-exporter"
    assert exporter["REDIS_PASSWORD"] == "a password"
    assert "a password" not in exporter["ARGS"]
    grafana = _environment(written / "etc" / "grafana.env")
    assert grafana["GF_SERVER_ROOT_URL"] == "https://sightline.example.org/grafana/"
    assert grafana["GF_AUTH_PROXY_WHITELIST"] == "10.42.32.0/22, 10.42.36.0/22"


def test_the_trainer_gets_a_password_of_redis_where_it_posts_readings(
    configure: ModuleType, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = configure.Path
    monkeypatch.setattr(configure, "Path", lambda path: real(f"{written}/{path}"))
    trains = {"disease": "d", "data": "x", "recipe": "small_residual", "batch": None}
    reads = trains | {"recipe": None, "batch": "June"}
    store = configure.Secrets(REGION, "test/")
    store.fill("redis/trainer", lambda: "secret")
    for jobs, wanted in (([trains], None), ([trains, reads], "rediss://test-trainer:secret@")):
        told = TOLD | {"role": "trainer", "trainer": {"jobs": jobs, "hours": 5}}
        configure.Instance(told).trainer()
        address = _environment(written / "etc" / "trainer.env").get("SIGHTLINE_TRAINER_REDIS_URL")
        assert (address or "").startswith(wanted or "")
        assert (address is None) == (wanted is None)
    limit = f"{written}//etc/systemd/system/sightline-training.service.d/hours.conf"
    assert "TimeoutStartSec=5h" in real(limit).read_text()


@pytest.mark.parametrize(
    ("topic", "webhooks", "expected"),
    [
        (None, None, ("", "", "")),
        ("arn:aws:sns:x:1:a", None, ("arn:aws:sns:x:1:a", "arn:aws:sns:x:1:a", "")),
        ("arn:aws:sns:x:1:a", {"page": "https://p/1"}, ("https://p/1", "arn:aws:sns:x:1:a", "")),
        (None, {"watchdog": "https://w/2?k=v"}, ("", "", "https://w/2?k=v")),
    ],
)
def test_who_is_told_comes_from_secrets_manager(
    configure: ModuleType,
    store: Any,
    topic: str | None,
    webhooks: dict[str, str] | None,
    expected: tuple[str, str, str],
) -> None:
    if webhooks is not None:
        store.put_secret_value(SecretId="test/alerts/webhooks", SecretString=json.dumps(webhooks))
    told = configure.Instance(TOLD | {"topic": topic}).told_of_alerts()
    assert tuple(told.values()) == expected


def test_a_webhook_that_is_none_is_not_written(configure: ModuleType, store: Any) -> None:
    text = json.dumps({"page": "https://p/'\nLD_PRELOAD='x"})
    store.put_secret_value(SecretId="test/alerts/webhooks", SecretString=text)
    with pytest.raises(ValueError, match="no http address") as refused:
        configure.Instance(TOLD).told_of_alerts()
    assert "https://p" not in str(refused.value)


def test_prometheus_takes_what_finds_the_instances(configure: ModuleType, tmp_path: Path) -> None:
    told = configure.prometheus(TOLD)
    found = [one for one in told["scrape_configs"] if "ec2_sd_configs" in one]
    ports = {
        (one["relabel_configs"][1]["replacement"], one["ec2_sd_configs"][0]["port"])
        for one in found
    }
    beside = {
        (one["static_configs"][0]["labels"]["job"], one["static_configs"][0]["targets"][0])
        for one in told["scrape_configs"]
        if one not in found
    }
    assert beside == {
        ("redis", "127.0.0.1:9121"),
        ("node", "127.0.0.1:9100"),
        ("prometheus", "127.0.0.1:9090"),
    }
    assert {
        ("web", 8001),
        ("identity", 8003),
        ("inference", 8002),
        ("worker", 8005),
        ("edge", 9100),
        ("edge", 9113),
        ("trainer", 9109),
    } <= ports
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    written = tmp_path / "prometheus.yml"
    written.write_text(json.dumps(told))
    done = subprocess.run(
        [promtool, "check", "config", "--syntax-only", str(written)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_rights_are_those_of_a_single_host() -> None:
    passwords = {user.name: "0" * 64 for user in USERS}
    for user in USERS:
        assert rights_of(user).startswith("-@all ")
        assert rights_of(user) in acl_file(passwords)


def _environment(path: Path) -> dict[str, str]:
    lines = [line.partition("=") for line in path.read_text().splitlines()]
    return {name: value.strip("'") for name, _, value in lines}
