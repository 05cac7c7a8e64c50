"""What the parts share: a scratch folder, the AWS stand-in, and the stack applied to it."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeVar

import boto3

from tests.infra import bundle
from tests.infra.parts import NotPossible
from tests.infra.terraform import ENVIRONMENTS, OVERRIDE, ROOT, Tool, Workplace, find, resources_of

REGION = "eu-west-1"
DOMAIN = "sightline.example.org"
ZONE = "example.org"
DEV = ENVIRONMENTS / "dev"
T = TypeVar("T")

#: What the stand-in takes for credentials.
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_CONFIG_FILE": os.devnull}
#: Who is told of alerts, as it is given to Terraform; it must be nowhere but in its secret.
WEBHOOKS = {"ticket": "https://hooks.example.org/services/no-state-knows-this"}
_START_SECONDS = 60


class Bench:
    """Made once a run; each part takes from it what it needs, made at the first use.

    Args:
        boots: whether instances shall boot, so that they need a bundle to install from.
        trains: whether the trainer is among them, which needs one of its own besides.
    """

    def __init__(self, *, boots: bool = False, trains: bool = False) -> None:
        self._clean = contextlib.ExitStack()
        scratch = tempfile.TemporaryDirectory(prefix="sightline-")
        self.folder = Path(self._clean.enter_context(scratch))
        self._endpoint: str | None = None
        self._workplace: Workplace | None = None
        self.applied = False
        self.outputs: dict[str, Any] = {}
        self._boots, self._trains = boots, trains
        #: Why there is no such bundle, where one was wanted.
        self.no_bundle: NotPossible | None = None
        #: The machines that booted; see tests/infra/parts/boot.py.
        self.boxes: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._clean.close()

    def enter(self, what: AbstractContextManager[T]) -> T:
        """Open something that ends with this bench."""
        return self._clean.enter_context(what)

    # ---- the stand-in ------------------------------------------------------------------------

    @property
    def endpoint(self) -> str:
        """Address of the stand-in, started at the first use."""
        if self._endpoint is None:
            port = _free_port()
            log = (self.folder / "stand-in.log").open("w")
            served = subprocess.Popen(
                [sys.executable, "-m", "tests.infra.aws_stand_in", str(port)],
                cwd=ROOT,
                env={
                    "PATH": os.environ["PATH"],
                    "MOTO_IAM_LOAD_MANAGED_POLICIES": "true",
                    **KEYS,
                },
                stdout=log,
                stderr=log,
            )
            self._clean.callback(_end, served)
            _await_port(port, served)
            self._endpoint = f"http://127.0.0.1:{port}"
        return self._endpoint

    def client(self, service: str) -> Any:
        """A client of the stand-in."""
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    # ---- the bundle and the stack ------------------------------------------------------------

    @cached_property
    def bundle(self) -> Path:
        """What the stack installs from: SIGHTLINE_BUNDLE, or a file that only looks like one."""
        given = os.environ.get("SIGHTLINE_BUNDLE")
        if given:
            return Path(given).resolve()
        if self._boots:
            try:
                return bundle.make(self.folder, trainer=self._trains)
            except NotPossible as why:
                self.no_bundle = why
        return self._looks_like_one("sightline-0.0.0.tar.gz")

    @cached_property
    def trainer_bundle(self) -> Path:
        """What the trainer needs besides: SIGHTLINE_TRAINER_BUNDLE, or beside the bundle."""
        given = os.environ.get("SIGHTLINE_TRAINER_BUNDLE")
        if given:
            return Path(given).resolve()
        beside = self.bundle.with_name(self.bundle.name.replace(".tar.gz", "-trainer.tar.gz"))
        return beside if beside.exists() else self._looks_like_one("sightline-0-trainer.tar.gz")

    def _looks_like_one(self, name: str) -> Path:
        made = self.folder / name
        with tarfile.open(made, "w:gz") as archive:
            archive.add(ROOT / "infra" / "boot", "sightline-0.0.0/boot")
        return made

    @property
    def workplace(self) -> Workplace:
        """A copy of infra/ that Terraform runs in; raises NotPossible without Terraform."""
        if self._workplace is None:
            self._workplace = Workplace(find(), self.folder / "work")
        return self._workplace

    def tool(self) -> Tool:
        """Terraform; raises NotPossible without it."""
        return self.workplace.tool

    def variables(self, image: str) -> dict[str, str]:
        """What the environment dev is told, as the environment of a run."""
        disease = "chest_xray_pneumonia"
        jobs = [
            {"disease": disease, "recipe": "small_residual", "data": "chest/1", "epochs": 1},
            {"disease": disease, "batch": "ward 4", "data": "ward/4"},
        ]
        given: dict[str, Any] = {
            "region": REGION,
            "domain": DOMAIN,
            "zone": ZONE,
            "bundle": str(self.bundle),
            "image_id": image,
            "alert_addresses": json.dumps(["operations@example.org"]),
            "alert_webhooks": json.dumps(WEBHOOKS),
            "alert_webhooks_version": 1,
            "trainer": json.dumps(
                {"schedule": "0 22 * * 6", "jobs": jobs, "bundle": str(self.trainer_bundle)}
            ),
        }
        return {f"TF_VAR_{name}": str(value) for name, value in given.items()}

    def prepare(self) -> Workplace:
        """The copy with everything that an account has before the first apply: a hosted zone, and a
        machine image of Debian's."""
        place = self.workplace
        if not place.environment:
            self.client("route53").create_hosted_zone(Name=ZONE, CallerReference="tests")
            image = self.client("ec2").register_image(
                Name="debian-12-amd64-20260101-0000",
                Architecture="x86_64",
                RootDeviceName="/dev/xvda",
                VirtualizationType="hvm",
            )["ImageId"]
            place.environment |= {
                "AWS_ENDPOINT_URL": self.endpoint,
                "AWS_EC2_METADATA_DISABLED": "true",
                **KEYS,
                **self.variables(image),
                # moto has no users of MemoryDB; that variant is looked at as a plan.
                "TF_VAR_redis": "elasticache",
            }
            (place.path(DEV) / "override.tf").write_text(OVERRIDE)
            place.init(DEV)
        return place

    def apply(self) -> None:
        """Apply the environment dev to the stand-in, once."""
        if self.applied:
            return
        place = self.prepare()
        place.run(DEV, "apply", "-no-color", "-input=false", "-auto-approve")
        self.applied = True
        shown = json.loads(place.run(DEV, "output", "-json").stdout)
        self.outputs = shown["sightline"]["value"]

    def state(self) -> list[dict[str, Any]]:
        """Every resource of the applied stack."""
        self.apply()
        shown = json.loads(self.workplace.run(DEV, "show", "-json").stdout)
        return list(resources_of(shown["values"]["root_module"]))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await_port(port: int, served: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and served.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise RuntimeError("the stand-in for AWS did not start")


def _end(served: "subprocess.Popen[bytes]") -> None:
    served.terminate()
    try:
        served.wait(10)
    except subprocess.TimeoutExpired:
        served.kill()
        served.wait()
