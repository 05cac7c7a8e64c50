"""Terraform where the machine has it: the program, the provider's folder, and a copy to work in."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.infra.parts import NotPossible

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
MODULES = INFRA / "modules"
ENVIRONMENTS = INFRA / "environments"

#: Where an unpacked mirror of providers may lie, besides those that SIGHTLINE_TF_PLUGINS names.
_PLUGIN_FOLDERS = (
    "/opt/tf-plugins",
    "/usr/share/terraform/plugins",
    "/usr/local/share/terraform/plugins",
    "~/.terraform.d/plugins",
    "~/.local/share/terraform/plugins",
)

#: For the stand-in alone: few tries where an answer is missing, and buckets in the path.
OVERRIDE = """
provider "aws" {
  max_retries       = 3
  s3_use_path_style = true
}
"""


@dataclass(frozen=True)
class Tool:
    """Terraform, and the folder that its provider is installed from."""

    program: str
    plugins: Path


def find() -> Tool:
    """Terraform with the provider.

    Raises:
        NotPossible: one of the two is not on this machine.
    """
    program = shutil.which("terraform")
    if program is None:
        raise NotPossible("terraform is not installed")
    given = os.environ.get("SIGHTLINE_TF_PLUGINS")
    folders = [given] if given else _PLUGIN_FOLDERS
    for folder in (Path(one).expanduser() for one in folders):
        if any(folder.glob("*/hashicorp/aws/*/*/terraform-provider-aws*")):
            return Tool(program, folder)
    raise NotPossible("no mirror with the provider hashicorp/aws (SIGHTLINE_TF_PLUGINS names one)")


@dataclass
class Workplace:
    """A copy of `infra/` in a scratch folder, so that nothing is written into the checkout.

    Args:
        tool: what is run.
        folder: scratch; the copy is made in it.
        environment: what the runs see besides the path.
    """

    tool: Tool
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shutil.copytree(
            INFRA,
            self.folder / "infra",
            ignore=shutil.ignore_patterns(".terraform", "*.tfstate*", "override.tf"),
        )

    def path(self, inside: Path) -> Path:
        """Where a folder of the checkout lies in the copy."""
        return self.folder / inside.relative_to(ROOT)

    def run(
        self, inside: Path, *words: str, check: bool = True, timeout: float = 900
    ) -> subprocess.CompletedProcess[str]:
        """Run Terraform in a folder of the copy.

        Raises:
            RuntimeError: it failed; the text is the end of what it said.
        """
        done = subprocess.run(
            [self.tool.program, *words],
            cwd=self.path(inside),
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.folder),
                "TF_CLI_CONFIG_FILE": "/dev/null",
                "TF_IN_AUTOMATION": "1",
                "CHECKPOINT_DISABLE": "1",
                **self.environment,
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )
        if check and done.returncode != 0:
            told = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
            raise RuntimeError(f"terraform {' '.join(words)}:\n" + "\n".join(told[-40:]))
        return done

    def init(self, inside: Path, *words: str) -> None:
        """Make a folder ready to run in, from the mirror alone."""
        self.run(
            inside, "init", "-no-color", "-input=false", f"-plugin-dir={self.tool.plugins}", *words
        )

    def planned(self, inside: Path, *words: str) -> list[dict[str, Any]]:
        """Every resource of a plan, as `resources` of Terraform's JSON describes them."""
        self.run(inside, "plan", "-no-color", "-input=false", "-out=plan", *words)
        shown = json.loads(self.run(inside, "show", "-json", "plan").stdout)
        return list(resources_of(shown["planned_values"]["root_module"]))


def resources_of(module: dict[str, Any]) -> Iterable[dict[str, Any]]:
    """The resources of a module of Terraform's JSON and of all modules in it."""
    yield from module.get("resources", [])
    for inner in module.get("child_modules", []):
        yield from resources_of(inner)
