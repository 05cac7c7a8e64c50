"""Write what the services of this instance start with: configure.py ROLE.

The user data brought `/etc/sightline/settings.json`: names and addresses, no secret. Secrets are
fetched here with the instance's role and are written for root's eyes alone; systemd hands them to
the services. The instance that keeps identity makes those that are not there yet, and opens the
users of Redis, by the table of the release that runs (gateway/redis_users.py).
"""

import json
import os
import re
import secrets as random
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from diagnosis.durable import replace_file
from gateway.certificates import ensure_certificates
from gateway.preparing import CONFIGURATION, DATA, Place, nginx_variables, settings
from gateway.redis_users import USERS, rights_of
from gateway.rendering import render

SETTINGS = CONFIGURATION / "settings.json"
PROMETHEUS = Path("/etc/prometheus")
DEFAULTS = Path("/etc/default")
BUNDLE = Path("/opt/sightline/bundle")
#: Where a training shows its figures while it runs.
TRAINER_PORT = 9109
#: Job, role in its figures, kind of instance and port of everything that answers `/metrics`.
WATCHED = (
    ("sightline", "web", "web", 8001),
    ("sightline", "identity", "web", 8003),
    ("sightline", "inference", "inference", 8002),
    ("sightline", "worker", "inference", 8005),
    ("nginx", "edge", "edge", 9113),
    ("trainer", "trainer", "trainer", TRAINER_PORT),
    *(("node", kind, kind, 9100) for kind in ("edge", "web", "inference", "trainer")),
)
#: What runs beside Prometheus: job, role, port.
BESIDE = (
    ("redis", "redis", 9121),
    ("node", "monitoring", 9100),
    ("prometheus", "prometheus", 9090),
)
STATUS = "unix:/run/sightline-nginx/status.sock"
TRUSTED = "/etc/ssl/certs/ca-certificates.crt"
#: The same that monitoring/alertmanager/start.sh takes.
WEBHOOK = re.compile(r"https?://[A-Za-z0-9:/?#@!$&()*+,;=._~%-]+")
#: One for all who fill the same empty place at the same time: the second is told that it is filled.
FIRST = "00000000-0000-4000-8000-000000000001"
#: How long others wait for what the instance that keeps identity makes.
PATIENCE_SECONDS = 1800

TUNNEL = """\
foreground = yes
pid =
syslog = no
debug = warning
[files]
client = yes
accept = 127.0.0.1:20049
connect = {host}:2049
sslVersionMin = TLSv1.2
CAfile = {trusted}
checkHost = {host}
delay = yes
verifyChain = yes
"""


def brings_grafana() -> bool:
    """Whether the bundle does; every instance has the same one."""
    return any((BUNDLE / "grafana").glob("grafana_*.deb"))


def prometheus(told: dict[str, Any]) -> dict[str, Any]:
    """Prometheus' configuration, which is YAML and so may be JSON: instances are found by tags."""

    # AWS's own variable, which Prometheus does not know yet.
    endpoint = os.environ.get("AWS_ENDPOINT_URL")

    def found(kind: str, port: int) -> dict[str, Any]:
        wanted = {
            "tag:Environment": told["name"],
            "tag:Role": kind,
            "instance-state-name": "running",
        }
        return {
            "region": told["region"],
            "port": port,
            **({"endpoint": endpoint} if endpoint else {}),
            "filters": [{"name": name, "values": [value]} for name, value in wanted.items()],
        }

    return {
        "global": {"scrape_interval": "15s", "evaluation_interval": "15s"},
        "rule_files": [str(BUNDLE / "monitoring" / "prometheus" / "rules" / "*.yml")],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": ["127.0.0.1:9093"]}]}]},
        "scrape_configs": [
            {
                # Prometheus wants names that differ; rules know the job by its label.
                "job_name": f"{job}-{role}",
                "ec2_sd_configs": [found(kind, port)],
                "relabel_configs": [
                    {"target_label": "job", "replacement": job},
                    {"target_label": "role", "replacement": role},
                    {
                        "source_labels": ["__meta_ec2_instance_id"],
                        "target_label": "instance",
                    },
                ],
            }
            for job, role, kind, port in WATCHED
        ]
        + [
            {
                "job_name": f"{job}-{role}",
                "static_configs": [
                    {"targets": [f"127.0.0.1:{port}"], "labels": {"job": job, "role": role}}
                ],
            }
            for job, role, port in BESIDE
        ],
    }


class Secrets:
    """Secrets of this installation; see `fill` and `get`."""

    def __init__(self, region: str, prefix: str) -> None:
        self._client = boto3.client("secretsmanager", region_name=region)
        self._prefix = prefix

    def get(self, name: str, patience: float = PATIENCE_SECONDS) -> str:
        """The secret of this name; waits until somebody has made it.

        Raises:
            ClientError: it was not made in time, or may not be read.
        """
        deadline = time.monotonic() + patience
        while True:
            try:
                answer = self._client.get_secret_value(SecretId=self._prefix + name)
                return str(answer["SecretString"])
            except ClientError as error:
                missing = error.response["Error"]["Code"] == "ResourceNotFoundException"
                if not missing or time.monotonic() > deadline:
                    raise
                time.sleep(5)

    def fill(self, name: str, make: Callable[[], str]) -> str:
        """The secret of this name, made where there is none; whoever is first decides."""
        try:
            return self.get(name, patience=0)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
        try:
            self._client.put_secret_value(
                SecretId=self._prefix + name,
                SecretString=make(),
                ClientRequestToken=FIRST,
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceExistsException":
                raise
        return self.get(name)


def identity_key() -> str:
    """A new private key that says who is asking."""
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")


def public_key_of(private: str) -> str:
    """The public key of it, which the services are given."""
    key = load_pem_private_key(private.encode("ascii"), None)
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


class Instance:
    """This instance, from the settings that it was given."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.told = told
        self.secrets = Secrets(told["region"], told["secrets"])
        self.public_url = f"https://{told['domain']}"
        services, redis = told["services"], told["redis"]
        self.place = Place(
            redis=f"{redis['host']}:{redis['port']}",
            identity=f"{services}:8003",
            inference=f"{services}:8002",
            web=f"{services}:8001",
            status=STATUS,
            grafana=f"{services}:3000" if brings_grafana() else None,
            https_port=443,
            http_port=80,
            proxy_run_dir=Path("/run/sightline-nginx"),
            proxy_log_dir=Path("/var/log/sightline-nginx"),
            proxy_user="www-data",
        )

    # ---- what each role gets -----------------------------------------------------------------

    def edge(self) -> None:
        """Nginx, with a certificate of its own: the balancer speaks TLS with it and checks none."""
        names = (self.told["domain"],)
        ensure_certificates(CONFIGURATION / "tls", names)
        variables = nginx_variables(self.place, names, 443)
        self.write("nginx.conf", render(variables))
        asks = f"-nginx.scrape-uri={STATUS}:/stub_status"
        # Patient: Nginx may still look for names, and systemd gives up on what ends too often.
        patience = "-nginx.retries=1000000 -nginx.retry-interval=5s"
        self.exporter("nginx", {"ARGS": f"-web.listen-address=:9113 {patience} {asks}"})

    def web(self) -> None:
        """Pages, identity and audit trail; and whatever is made once for all."""
        passwords = {
            user.name: self.secrets.fill(f"redis/{user.name}", lambda: random.token_hex(32))
            for user in USERS
        }
        key = self.secrets.fill("identity/key", identity_key)
        public = self.secrets.fill("identity/public-key", lambda: public_key_of(key))
        self.secrets.fill("patient-reference/key", lambda: random.token_hex(32))
        self.open_redis(passwords)
        gateway = DATA / "gateway" / "identity"
        self.write(gateway / "identity.key", key)
        self.write(gateway / "identity.pub", public)
        self.write("identity.pub", public, private=False)
        for path in (gateway / "identity.key", gateway / "identity.pub"):
            shutil.chown(path, "sightline-identity", "sightline")
        written = self.settings(passwords)
        # Its own: the way over the balancer would only be longer.
        written["web"]["SIGHTLINE_WEB_IDENTITY_URL"] = "http://127.0.0.1:8003"
        for service in ("identity", "chainer", "web"):
            self.environment(service, written[service])
        self.tunnel()

    def inference(self) -> None:
        """The service that reads images, and its workers."""
        password = self.secrets.get("redis/inference")
        self.write("identity.pub", self.secrets.get("identity/public-key"), private=False)
        reference = DATA / "inference" / "patient_reference.key"
        self.write(reference, self.secrets.get("patient-reference/key"))
        shutil.chown(reference, "sightline-inference", "sightline")
        written = self.settings({"inference": password})["inference"] | {
            "SIGHTLINE_INFERENCE_REGISTRY": f"s3://{self.told['buckets']['models']}/registry",
            "SIGHTLINE_INFERENCE_IMAGE_BUCKET": f"s3://{self.told['buckets']['images']}/images",
            "WORKER_LISTEN": "--host 0.0.0.0 --port 8005",
        }
        self.environment("inference", written)

    def trainer(self) -> None:
        """What trains, reads batches, and for how long at most."""
        buckets, work = self.told["buckets"], self.told["trainer"]
        written = {
            "SIGHTLINE_TRAINER_REGISTRY": f"s3://{buckets['models']}/registry",
            "SIGHTLINE_TRAINER_REGISTRY_CACHE_DIR": "/var/lib/sightline-trainer/registry",
            "SIGHTLINE_TRAINER_MODELS_DIR": str(BUNDLE / "models"),
            "SIGHTLINE_TRAINER_CACHE_DIR": "/var/lib/sightline-trainer/cache",
            "SIGHTLINE_TRAINER_METRICS_PORT": str(TRAINER_PORT),
            "SIGHTLINE_TRAINER_RUNS_DIR": "/var/lib/sightline-trainer/runs",
        }
        if any(job.get("batch") for job in work["jobs"]):
            written["SIGHTLINE_TRAINER_REDIS_URL"] = self.redis_url(
                "trainer", self.secrets.get("redis/trainer")
            )
        self.environment("trainer", written)
        limit = Path("/etc/systemd/system/sightline-training.service.d/hours.conf")
        limit.parent.mkdir(parents=True, exist_ok=True)
        limit.write_text(f"[Service]\nTimeoutStartSec={work['hours']}h\n", encoding="ascii")

    def monitoring(self) -> None:
        """What watches; rules and dashboards come with the bundle, and whom to ask from tags."""
        redis = self.told["redis"]
        self.exporter(
            "redis",
            {
                "ARGS": "-web.listen-address=127.0.0.1:9121 -set-client-name=false",
                "REDIS_ADDR": f"rediss://{redis['host']}:{redis['port']}",
                "REDIS_USER": f"{redis['prefix']}exporter",
                "REDIS_PASSWORD": self.secrets.get("redis/exporter"),
            },
        )
        grafana = {
            "GF_SERVER_ROOT_URL": f"{self.public_url}/grafana/",
            "PROMETHEUS_URL": "http://127.0.0.1:9090",
            # Whoever else comes and says who is asking is refused.
            "GF_AUTH_PROXY_WHITELIST": ", ".join(self.told["edge"]),
        }
        self.write("grafana.env", "".join(f"{n}='{v}'\n" for n, v in grafana.items()))
        text = json.dumps(prometheus(self.told), indent=2)
        replace_file(PROMETHEUS / "prometheus.yml", text.encode("utf-8"))
        self.write("alerts.env", "".join(f"{n}='{v}'\n" for n, v in self.told_of_alerts().items()))

    def told_of_alerts(self) -> dict[str, str]:
        """Who is told of what: webhooks of Secrets Manager, else the topic that e-mails go by."""
        try:
            webhooks = json.loads(self.secrets.get("alerts/webhooks", patience=0))
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
            webhooks = {}
        for name, address in webhooks.items():
            if not WEBHOOK.fullmatch(address):
                raise ValueError(f"alerts/webhooks: what is for {name} is no http address")
        topic = self.told["topic"] or ""
        return {
            "SIGHTLINE_ALERTS_PAGE": webhooks.get("page") or topic,
            "SIGHTLINE_ALERTS_TICKET": webhooks.get("ticket") or topic,
            # Every minute: nothing for a person's letter box.
            "SIGHTLINE_ALERTS_WATCHDOG": webhooks.get("watchdog") or "",
        }

    # ---- how -----------------------------------------------------------------------------------

    def settings(self, passwords: dict[str, str]) -> dict[str, dict[str, str]]:
        """Settings of each service whose password is known, as `gateway prepare` writes them."""
        urls = {
            user.name: self.redis_url(user.name, passwords.get(user.name, "")) for user in USERS
        }
        return settings(self.place, urls, self.public_url)

    def redis_url(self, user: str, password: str) -> str:
        """Where a user of ours finds Redis."""
        redis = self.told["redis"]
        return f"rediss://{redis['prefix']}{user}:{password}@{redis['host']}:{redis['port']}/0"

    def environment(self, service: str, values: dict[str, str]) -> None:
        """Write a service's settings, those of the environment (`options`) over ours."""
        prefix = {"identity": "GATEWAY_IDENTITY", "chainer": "GATEWAY"}.get(
            service, service.upper()
        )
        chosen = {
            name: value
            for name, value in self.told["options"].items()
            if name.startswith(f"SIGHTLINE_{prefix}_")
            and (prefix != "GATEWAY" or not name.startswith("SIGHTLINE_GATEWAY_IDENTITY_"))
        }
        merged = {"AWS_DEFAULT_REGION": self.told["region"], **values, **chosen}
        self.write(f"{service}.env", "".join(f"{n}='{v}'\n" for n, v in merged.items()))

    def open_redis(self, passwords: dict[str, str]) -> None:
        """Give each user of Redis its password and the rights of this release."""
        region, redis = self.told["region"], self.told["redis"]
        for user in USERS:
            name = redis["prefix"] + user.name
            mode = {"Type": "password", "Passwords": [passwords[user.name]]}
            rights = f"on {rights_of(user)}"
            if redis["kind"] == "memorydb":
                boto3.client("memorydb", region_name=region).update_user(
                    UserName=name, AuthenticationMode=mode, AccessString=rights
                )
            else:
                boto3.client("elasticache", region_name=region).modify_user(
                    UserId=name, AuthenticationMode=mode, AccessString=rights
                )

    def tunnel(self) -> None:
        """TLS to the shared folder."""
        text = TUNNEL.format(host=self.told["files"], trusted=TRUSTED)
        self.write("files-tunnel.conf", text, private=False)

    def exporter(self, name: str, values: dict[str, str]) -> None:
        """What Debian's unit of an exporter starts with."""
        text = "".join(f"{n}='{v}'\n" for n, v in values.items())
        replace_file(DEFAULTS / f"prometheus-{name}-exporter", text.encode("utf-8"), private=True)

    def write(self, path: str | Path, text: str, *, private: bool = True) -> None:
        """Write a file of the configuration, or of another absolute place."""
        replace_file(CONFIGURATION / path, text.encode("utf-8"), private=private)


def main(role: str) -> None:
    """Configure this instance as a `role`."""
    instance = Instance(json.loads(SETTINGS.read_text("utf-8")))
    roles = {
        "edge": instance.edge,
        "web": instance.web,
        "inference": instance.inference,
        "trainer": instance.trainer,
        "monitoring": instance.monitoring,
    }
    roles[role]()


if __name__ == "__main__":
    main(sys.argv[1])
