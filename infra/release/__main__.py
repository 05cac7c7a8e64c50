"""`make release`: wheels, bill of materials, images and the bundle, in build/release/.

python -m infra.release [--trainer [--gpu]] [--no-images] [--out FOLDER]
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from infra.release import bundle, debs, images, wheels

ROOT = Path(__file__).parents[2]
SERVICES = ("gateway", "inference", "web", "s3")


def git(*words: str) -> str:
    """What git says, or nothing where this is no clone."""
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def say(line: str) -> None:
    """A line for whoever looks on."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Make the release; 0 where all that is needed could be made."""
    parser = argparse.ArgumentParser(prog="make release", description=__doc__)
    parser.add_argument("--trainer", action="store_true", help="the trainer's wheels, too")
    parser.add_argument("--gpu", action="store_true", help="JAX for NVIDIA GPUs among them")
    parser.add_argument("--grafana", type=Path, help="its package (.deb), to go into the bundle")
    parser.add_argument("--no-images", action="store_true", help="build no container images")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "release")
    given = parser.parse_args()
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH") or git("log", "-1", "--format=%ct") or 0)
    given.out.mkdir(parents=True, exist_ok=True)

    with tempfile.TemporaryDirectory(dir=given.out) as scratch:
        folder = Path(scratch) / f"sightline-{version}"
        folder.mkdir()
        bundle.fill(folder, ROOT, version, git("rev-parse", "HEAD"), epoch)
        say("wheels")
        locks = [ROOT / "requirements" / f"{name}.lock" for name in SERVICES]
        wheels.download(locks, folder / "wheels")
        _uv(folder / "wheels", Path(scratch))
        wheels.build_own(ROOT, folder / "wheels", epoch)
        say("packages of Debian")
        try:
            debs.collect(folder / "debs", debs.OF_GRAFANA if given.grafana else ())
        except debs.NoDebian as why:
            shutil.rmtree(folder / "debs", ignore_errors=True)
            say(f"the bundle is without packages of Debian: {why}")
        if given.grafana:
            say(f"Grafana {debs.bring_grafana(given.grafana, folder / 'grafana')}")
        say("bill of materials")
        bill = [sys.executable, "-m", "tests.supply_chain.sbom", str(folder / "sbom.json")]
        subprocess.run(bill, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        bundle.seal(folder)
        file = given.out / f"sightline-{version}.tar.gz"
        bundle.pack(folder, file, epoch)
        _tell(file)
        if given.trainer:
            named = ["trainer", *(["gpu"] if given.gpu else [])]
            _trainer(Path(scratch) / "trainer" / folder.name, named, given.out, version, epoch)
    reason = "as was asked for" if given.no_images else images.none_because()
    if reason:
        say(f"the release is without images: {reason}")
        return 0
    return _images(given.out / f"sightline-{version}-images", version, trainer=given.trainer)


def _uv(into: Path, scratch: Path) -> None:
    """The installer, by the hash in the lock of what `make` itself needs."""
    lock = (ROOT / "requirements" / "setup.lock").read_text()
    listed = scratch / "uv.lock"
    listed.write_text(next(one for one in wheels.requirements(lock) if one.startswith("uv==")))
    wheels.download([listed], into)
    listed.unlink()


def _trainer(folder: Path, locks: list[str], out: Path, version: str, epoch: int) -> None:
    say("wheels of the trainer")
    named = [ROOT / "requirements" / f"{name}.lock" for name in locks]
    wheels.download(named, folder / "wheels-trainer")
    bundle.seal(folder, "SHA256SUMS-trainer")
    file = out / f"sightline-{version}-trainer.tar.gz"
    bundle.pack(folder, file, epoch)
    _tell(file)


def _images(start: Path, version: str, *, trainer: bool) -> int:
    """Build and save the images; 1 where one cannot be made."""
    say("images")
    made = images.Images(ROOT, version)
    try:
        services = made.build("monitoring")
        files = {start.with_name(f"{start.name}.tar.gz"): services}
        if trainer:
            # Large, and wanted elsewhere: a file of its own.
            more = sorted(set(made.build("train")) - set(services))
            files[start.with_name(f"{start.name}-trainer.tar.gz")] = more
        for file, names in files.items():
            for name, known in made.save(names, file).items():
                say(f"{name} {known}")
            _tell(file)
    except subprocess.CalledProcessError as failed:
        say(f"no images: {' '.join(map(str, failed.cmd))} failed")
        return 1
    except OSError as failed:
        say(f"no images: {failed.strerror}")
        return 1
    return 0


def _tell(file: Path) -> None:
    say(f"{file} ({file.stat().st_size / 1e6:.0f} MB, sha256 {bundle.digest(file)})")


if __name__ == "__main__":
    sys.exit(main())
