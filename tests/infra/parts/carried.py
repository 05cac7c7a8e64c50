"""Containers on a machine without a network, from what a release wrote and from nothing else."""

import json
import subprocess
import tempfile
import tomllib
from pathlib import Path

from infra.release import bundle
from infra.release.images import Images
from tests.infra.engine import ROOT, Engine, engine_without_a_network, ensure_base_images
from tests.infra.parts.images import ADDRESS, Compose, film, the_engine


def carried(_: object = None) -> None:
    """Images are saved here and loaded there; what is started of them reads a film."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    docker = the_engine()
    ensure_base_images(docker)
    with tempfile.TemporaryDirectory() as scratch, engine_without_a_network() as alone:
        folder, file = Path(scratch) / "bundle", Path(scratch) / "images.tar.gz"
        folder.mkdir()
        bundle.fill(folder, ROOT, version, "a commit", 0)
        images = Images(ROOT, version, docker.environment)
        known = images.save(images.build("monitoring"), file)
        print(f"{len(known)} images, {file.stat().st_size / 1e6:.0f} MB")  # noqa: T201 - for whoever looks on
        check = ["sha256sum", "--quiet", "--check", f"{file.name}.sha256"]
        subprocess.run(check, cwd=scratch, check=True)
        assert json.loads(Path(f"{file}.json").read_text()) == known
        alone.docker("load", "-i", str(file))
        for name, one in known.items():
            assert alone.docker("image", "inspect", "-f", "{{.Id}}", name).strip() == one
        _started(alone, folder)


def _started(alone: Engine, folder: Path) -> None:
    compose = Compose(alone, folder)
    with compose.up():
        compose("--profile", "monitoring", "up", "-d", "--wait", "prometheus")
        (folder / "ca.pem").write_text(compose.authority())
        # On that machine, by its own loopback.
        said = subprocess.run(
            [
                *("nsenter", "-t", str(alone.pid), "-n"),
                *("curl", "-sS", "--max-time", "60", "--cacert", "ca.pem"),
                *("-H", f"Authorization: Bearer {compose.key()}", "-F", f"image=@{film()}"),
                f"{compose.url}{ADDRESS}",
            ],
            cwd=folder,
            capture_output=True,
            text=True,
        )
        assert '"outcome":"judged"' in said.stdout.replace(" ", ""), said.stdout + said.stderr
