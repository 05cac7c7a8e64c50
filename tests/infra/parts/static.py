"""What can be told without applying: syntax, native tests, policies over plans, and checkov."""

import json
import os
import re
import shutil
import subprocess

from tests.infra.bench import DEV, Bench
from tests.infra.parts import NotPossible
from tests.infra.policies import broken
from tests.infra.terraform import ENVIRONMENTS, INFRA, MODULES, ROOT

PROD = ENVIRONMENTS / "prod"
#: Made by `make test-infra`, from a lock of its own: it needs versions that nothing else wants.
CHECKOV = ROOT / ".venv" / "checkov" / "bin" / "checkov"


def validate(bench: Bench) -> None:
    """Every environment is valid, and all is formatted."""
    place = bench.workplace
    unformatted = place.run(INFRA, "fmt", "-check", "-recursive", "-list=true", check=False)
    if unformatted.returncode != 0:
        raise AssertionError(f"terraform fmt would change {unformatted.stdout.split()}")
    for environment in (DEV, PROD):
        place.init(environment, "-backend=false")
        place.run(environment, "validate", "-no-color")


def native_tests(bench: Bench) -> None:
    """The `*.tftest.hcl` of every module: plans, and variables that are refused."""
    place = bench.workplace
    for tests in sorted(MODULES.glob("*/tests")):
        place.init(tests.parent)
        done = place.run(tests.parent, "test", "-no-color")
        passed = re.search(r"(\d+) passed, 0 failed", done.stdout)
        if passed is None or passed[1] == "0":
            raise AssertionError(f"{tests.parent.name}: {done.stdout}")


def policies(bench: Bench) -> None:
    """The plans of both environments, with the durable Redis that the stand-in does not have."""
    place = bench.prepare()
    found = []
    for environment, change in ((DEV, {"TF_VAR_redis": "memorydb"}), (PROD, {})):
        folder = place.path(environment)
        (folder / "override.tf").write_text(_OVERRIDE_WITH_LOCAL_STATE)
        kept = dict(place.environment)
        place.environment |= change
        try:
            place.init(environment, "-reconfigure")
            planned = place.planned(environment)
        finally:
            place.environment.clear()
            place.environment |= kept
        kinds = {one["type"] for one in planned}
        if "aws_memorydb_cluster" not in kinds or "aws_elasticache_replication_group" in kinds:
            raise AssertionError(f"{environment.name}: readings are not kept in MemoryDB")
        found += [f"{environment.name}: {said}" for said in broken(planned)]
    if found:
        raise AssertionError("; ".join(found))


#: As for the applied stack; and prod's state lies in a file, because there is no bucket for it.
_OVERRIDE_WITH_LOCAL_STATE = """
terraform {
  backend "local" {}
}

provider "aws" {
  max_retries       = 3
  s3_use_path_style = true
}
"""


def checkov(bench: Bench) -> None:
    """checkov finds nothing; an exception stands, with its reason, where it is made."""
    program = str(CHECKOV) if CHECKOV.exists() else shutil.which("checkov")
    if program is None:
        raise NotPossible("checkov is not installed; `make test-infra` installs it")
    done = subprocess.run(
        [
            program,
            *("--directory", str(INFRA), "--framework", "terraform"),
            *("--skip-download", "--quiet", "--compact", "--output", "json"),
        ],
        cwd=bench.folder,
        env={"PATH": os.environ["PATH"], "HOME": str(bench.folder), "BC_SKIP_MAPPING": "TRUE"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    if not done.stdout.strip():
        raise RuntimeError(done.stderr[-2000:])
    report = json.loads(done.stdout)
    if report["summary"]["passed"] < 50:
        raise AssertionError("checkov looked at next to nothing")
    failed = {
        f"{one['check_id']} {one['resource']}: {one['check_name']}"
        for one in report["results"]["failed_checks"]
    }
    if failed:
        raise AssertionError(f"{len(failed)} findings\n" + "\n".join(sorted(failed)))
