"""Machines that boot from the user data of the applied stack, each a container with systemd.

    public network:   the world, edge
    private network:  edge, web, inference, Redis, the balancer inside, the stand-in for AWS

The private network has no way out. Its addresses are those of the stack's VPC, and each machine has
the one, and the id, that the stand-in gave to the instance of its kind. Redis is a real one that
speaks TLS, with users and passwords as the instance `web` gave them to the stand-in; the balancer
inside passes TCP on as AWS does.
"""

import base64
import contextlib
import json
import os
import secrets
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

from gateway.certificates import TlsFiles, ensure_certificates
from tests.infra.bench import Bench
from tests.infra.engine import ensure_base_images
from tests.infra.parts import NotPossible
from tests.infra.parts.images import the_engine
from tests.infra.terraform import ROOT

BOX = ROOT / "tests" / "infra" / "box"
#: By what it is made of, so that a change makes another.
IMAGE = (
    "sightline-test/instance:"
    + sha256(
        b"".join(path.read_bytes() for path in sorted(BOX.iterdir()) if path.is_file())
    ).hexdigest()[:12]
)
SERVICES = "services.sightline-dev.internal"
#: The balancer inside: its ports, and who is behind each.
BALANCED = {8001: "web", 8002: "inference", 8003: "web"}
#: Addresses of the VPC (infra/modules/sightline/variables.tf), and of what is no instance.
CIDR, OTHERS, GATEWAY = "10.42.0.0/16", "10.42.255.0/24", "10.42.255.1"
_BOOT_SECONDS = 900

_REDIS = """\
port 0
tls-port 6379
tls-cert-file /conf/server.pem
tls-key-file /conf/server.key
tls-auth-clients no
aclfile /conf/users.acl
appendonly yes
appendfsync always
dir /tmp
"""


class Boxes:
    """The machines of one stack; made at the first use, gone with the bench.

    Raises:
        NotPossible: there is no Docker Engine, or no image of a box can be built.
    """

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._run = f"sl{secrets.token_hex(3)}"
        self._folder = bench.folder / "boxes"
        self._clean = contextlib.ExitStack()
        self._environment: dict[str, str] = {}
        self.booted: set[str] = set()

    def __enter__(self) -> Self:
        try:
            self._open()
        except BaseException:
            self._clean.close()
            raise
        return self

    def _open(self) -> None:
        self._environment = the_engine().environment
        ensure_base_images(the_engine(), ["debian:bookworm-slim"])
        self._folder.mkdir(exist_ok=True)
        if not self.docker("images", "-q", IMAGE):
            try:
                self.docker("build", "-q", "-t", IMAGE, str(BOX))
            except RuntimeError as error:
                raise NotPossible(f"no image of a box: {error}", tool_is_there=True) from None
        inside = ("--internal", "--subnet", CIDR, "--ip-range", OTHERS, "--gateway", GATEWAY)
        for network, words in (("public", ()), ("private", inside)):
            self.docker("network", "create", *words, self._name(network))
            self._clean.callback(self._quietly, "network", "rm", self._name(network))
        self.docker("volume", "create", self._name("shared"))
        self._clean.callback(self._quietly, "volume", "rm", "-f", self._name("shared"))
        self._pass_the_stand_in_on()
        balancer = [f"0.0.0.0:{port}={self._name(to)}:{port}" for port, to in BALANCED.items()]
        self._container(
            "inner",
            *("--network-alias", SERVICES),
            *("-v", f"{ROOT / 'tests' / 'infra' / 'forward.py'}:/forward.py:ro"),
            command=("python3", "/forward.py", *balancer),
        )
        self._redis_host = self._redis_files()

    def __exit__(self, *_: object) -> None:
        self._clean.close()

    # ---- machines ------------------------------------------------------------------------------

    def boot(self, role: str) -> None:
        """Start a box with the user data of a role, and wait until cloud-init has run it.

        Raises:
            AssertionError: it failed; the text is the end of what it said.
        """
        if role in self.booted:
            return
        seed = self._folder / role
        seed.mkdir(exist_ok=True)
        instance = self.instance(role)
        (seed / "user-data").write_bytes(self.user_data(role))
        (seed / "meta-data").write_text(f"instance-id: i-{role}\nlocal-hostname: {role}\n")
        (seed / "metadata.json").write_text(
            json.dumps({"meta-data/instance-id": instance["InstanceId"]})
        )
        (seed / "environment.conf").write_text(
            f"[Manager]\nDefaultEnvironment=AWS_ENDPOINT_URL={self._endpoint}\n"
        )
        caps = ("SYS_ADMIN", "NET_ADMIN", "SYS_NICE", "SYS_PTRACE")
        self._container(
            role,
            *(word for cap in caps for word in ("--cap-add", cap)),
            *("--security-opt", "seccomp=unconfined", "--cgroupns=private"),
            *("--tmpfs", "/run", "--tmpfs", "/run/lock"),
            *("-v", f"{seed}/user-data:/var/lib/cloud/seed/nocloud/user-data:ro"),
            *("-v", f"{seed}/meta-data:/var/lib/cloud/seed/nocloud/meta-data:ro"),
            *("--ip", instance["PrivateIpAddress"]),
            *("-v", f"{seed}/metadata.json:/opt/box/metadata.json:ro"),
            *("-v", f"{seed}/environment.conf:/etc/systemd/system.conf.d/box.conf:ro"),
            *("-v", f"{self._folder}/redis/ca.pem:/usr/local/share/ca-certificates/box.crt:ro"),
            *("-v", f"{self._name('shared')}:/srv/shared"),
        )
        if role == "edge":
            self.docker("network", "connect", self._name("public"), self._name("edge"))
        self.await_boot(role)
        self.booted.add(role)

    def await_boot(self, role: str) -> None:
        """Wait until cloud-init is through, and see that it was content."""
        deadline = time.monotonic() + _BOOT_SECONDS
        while time.monotonic() < deadline:
            said = self.inside(role, "cloud-init", "status", check=False)
            if "done" in said:
                return
            if "error" in said:
                break
            time.sleep(1)
        log = self.inside(role, "tail", "-n", "40", "/var/log/cloud-init-output.log", check=False)
        raise AssertionError(f"{role} did not boot: {log}")

    def instance(self, role: str) -> dict[str, Any]:
        """The instance of a role, as the stand-in describes it.

        Raises:
            AssertionError: there is none that runs.
        """
        wanted = {"tag:Role": role, "instance-state-name": "running"}
        filters = [{"Name": name, "Values": [value]} for name, value in wanted.items()]
        found = self._bench.client("ec2").describe_instances(Filters=filters)["Reservations"]
        assert found, f"no instance of the kind {role} runs"
        return dict(found[0]["Instances"][0])

    def user_data(self, role: str) -> bytes:
        """The user data of a role, read back from its launch template."""
        found = self._bench.client("ec2").describe_launch_template_versions(
            LaunchTemplateName=f"sightline-dev-{role}", Versions=["$Latest"]
        )["LaunchTemplateVersions"][0]["LaunchTemplateData"]["UserData"]
        return base64.b64decode(found)

    def inside(self, role: str, *words: str, check: bool = True) -> str:
        """Run a command in a box; its output.

        What a base image was told to trust (see tests/infra/engine.py) is no machine's business.
        """
        told = f"AWS_ENDPOINT_URL={self._endpoint}"
        return self.docker(
            *("exec", "--env", told, self._name(role), "env", "-u", "SSL_CERT_FILE", *words),
            check=check,
        )

    def start_redis(self) -> None:
        """Start Redis, once, with the users as `web` has opened them."""
        if "redis" in self.booted:
            return
        self.booted.add("redis")
        prefix = "sightline-dev-"
        users = self._bench.client("elasticache").describe_users()["Users"]
        store = self._bench.client("secretsmanager")
        lines = ["user default off"]
        for user in users:
            name = user["UserName"]
            if name.startswith(prefix):
                secret = f"sightline-dev/redis/{name.removeprefix(prefix)}"
                password = store.get_secret_value(SecretId=secret)["SecretString"]
                lines.append(f"user {name} >{password} {user['AccessString']}")
        (self._folder / "redis" / "users.acl").write_text("\n".join(lines) + "\n")
        self._container(
            "redis",
            *("--network-alias", self._redis_host),
            *("-v", f"{self._folder}/redis:/conf"),
            command=("redis-server", "/conf/redis.conf"),
        )

    # ---- from outside --------------------------------------------------------------------------

    def ask(self, path: str, *words: str, scheme: str = "https") -> tuple[int, str]:
        """Ask the edge from the public network, as curl does; status and body.

        The certificate is the machine's own, which the public load balancer does not check either.
        """
        address = json.loads(
            self.docker(
                *("inspect", "-f", "{{json .NetworkSettings.Networks}}", self._name("edge"))
            )
        )[self._name("public")]["IPAddress"]
        port = 443 if scheme == "https" else 80
        done = subprocess.run(
            [
                *("curl", "--silent", "--insecure", "--max-time", "60"),
                *("--resolve", f"sightline.example.org:{port}:{address}"),
                *("--write-out", "\n%{http_code}", *words),
                f"{scheme}://sightline.example.org{path}",
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        body, _, status = done.stdout.rpartition("\n")
        return int(status or 0), body

    # ---- how -----------------------------------------------------------------------------------

    def docker(self, *words: str, check: bool = True) -> str:
        """Run docker; its output."""
        done = subprocess.run(
            ["docker", *words],
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=1200,
        )
        if check and done.returncode != 0:
            raise RuntimeError(f"docker {words[0]}: {(done.stdout + done.stderr)[-2000:]}")
        return done.stdout.strip()

    def _name(self, of: str) -> str:
        return f"{self._run}-{of}"

    def _quietly(self, *words: str) -> None:
        self.docker(*words, check=False)

    def _container(self, name: str, *words: str, command: tuple[str, ...] = ()) -> None:
        self.docker(
            *("run", "--detach", "--name", self._name(name), "--hostname", name),
            *("--network", self._name("private"), *words, IMAGE, *command),
        )
        self._clean.callback(self._quietly, "rm", "-f", self._name(name))

    def _pass_the_stand_in_on(self) -> None:
        """The stand-in listens on loopback; let the private network reach it by its gateway."""
        networks: Any = json.loads(self.docker("network", "inspect", self._name("private")))
        gateway = networks[0]["IPAM"]["Config"][0]["Gateway"]
        port = self._bench.endpoint.rpartition(":")[2]
        passed = subprocess.Popen(
            [
                sys.executable,
                str(Path(__file__).parent / "forward.py"),
                f"{gateway}:{port}=127.0.0.1:{port}",
            ],
            stdout=subprocess.PIPE,
            env={"PATH": os.environ["PATH"]},
        )
        self._clean.callback(passed.wait)
        self._clean.callback(passed.kill)
        assert passed.stdout is not None
        passed.stdout.readline()
        self._endpoint = f"http://{gateway}:{port}"

    def _redis_files(self) -> str:
        """Certificate and configuration of Redis; its host name, as the stack has it."""
        (cluster,) = (
            one["values"]
            for one in self._bench.state()
            if one["type"] == "aws_elasticache_replication_group"
        )
        host = str(cluster["primary_endpoint_address"])
        folder = self._folder / "redis"
        ensure_certificates(folder, (host,))
        folder.chmod(0o755)
        TlsFiles.under(folder).key.chmod(0o644)
        (folder / "redis.conf").write_text(_REDIS)
        return host
