"""Container images: built, and saved with what they need besides, for `docker load`."""

import gzip
import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from infra.release.bundle import digest

#: How names of images that are built begin; others are fetched.
OURS = "sightline/"
_CHUNK = 1 << 20


def none_because() -> str:
    """Why no images can be made on this machine; nothing where they can."""
    if shutil.which("docker") is None:
        return "docker is not installed"
    for asked, what in (("version", "Docker Engine"), ("compose version", "docker compose")):
        command = ["docker", *asked.split()]
        if subprocess.run(command, capture_output=True, check=False).returncode != 0:
            return f"no {what} answers"
    return ""


class Images:
    """The images of one version.

    Args:
        root: the repository.
        version: their tag.
        environment: by which the engine is found.
    """

    def __init__(
        self, root: Path, version: str, environment: Mapping[str, str] = os.environ
    ) -> None:
        self._root = root
        self._environment = {**environment, "SIGHTLINE_VERSION": version}

    def build(self, *profiles: str) -> list[str]:
        """Build ours of the services that always run and of these profiles of docker-compose.yml,
        and fetch the others where they are missing; the names of all.

        Raises:
            subprocess.CalledProcessError: one can be neither built nor fetched.
        """
        compose = ["compose", *(word for one in profiles for word in ("--profile", one))]
        self._run(*compose, "build")
        names = sorted(set(self._said(*compose, "config", "--images").split()))
        for name in names:
            if not name.startswith(OURS) and not self._said("images", "-q", name):
                self._run("pull", "--quiet", name)
        return names

    def save(self, names: Sequence[str], into: Path) -> dict[str, str]:
        """Write them into one file that `docker load` takes; each one's id, by its name.

        Beside the file lie its SHA-256 and, as `NAME.json`, the ids.

        Raises:
            subprocess.CalledProcessError: one is not there.
            OSError: the disk is full. Of a file that is not whole nothing stays.
        """
        ids = {name: self._said("image", "inspect", "-f", "{{.Id}}", name) for name in names}
        command = ["docker", "save", *names]
        try:
            with (
                subprocess.Popen(command, env=self._environment, stdout=subprocess.PIPE) as saved,
                into.open("wb") as raw,
                gzip.GzipFile(
                    filename="", fileobj=raw, mode="wb", compresslevel=1, mtime=0
                ) as packed,
            ):
                assert saved.stdout is not None
                shutil.copyfileobj(saved.stdout, packed, _CHUNK)
        except OSError:
            into.unlink(missing_ok=True)
            raise
        if saved.returncode != 0:
            into.unlink()
            raise subprocess.CalledProcessError(saved.returncode, command)
        into.with_name(f"{into.name}.sha256").write_text(f"{digest(into)}  {into.name}\n")
        told = json.dumps(ids, indent=2, sort_keys=True) + "\n"
        into.with_name(f"{into.name}.json").write_text(told)
        return ids

    def _run(self, *words: str) -> None:
        command = ["docker", *words]
        subprocess.run(command, cwd=self._root, env=self._environment, check=True)

    def _said(self, *words: str) -> str:
        command = ["docker", *words]
        done = subprocess.run(
            command,
            cwd=self._root,
            env=self._environment,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        return done.stdout.strip()
