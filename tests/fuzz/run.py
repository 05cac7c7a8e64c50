"""`make fuzz`: every target for some seconds, each in a process of its own, with coverage.

A file that makes a reader raise, crash, hang for 10 s or take 2 GB is written to `build/fuzz/`.
Where atheris is not to be had, files are changed at random without looking at coverage.
"""

import logging
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console

ROOT = Path(__file__).parents[2]
FOUND = ROOT / "build" / "fuzz"


def fuzz(name: str, seconds: int) -> None:
    """One target, in this process."""
    # Decoders and HDF5 say much about broken files.
    logging.disable(logging.CRITICAL)
    if find_spec("atheris") is None:
        without_coverage(name, seconds)
        return
    import atheris

    with atheris.instrument_imports(include=["diagnosis"]):
        from tests.fuzz.targets import TARGETS
    target, corpus = TARGETS[name], FOUND / name
    corpus.mkdir(parents=True, exist_ok=True)
    for index, data in enumerate(target.seeds()):
        (corpus / f"seed-{index}").write_bytes(data)
    options = (
        f"-max_total_time={seconds}",
        f"-artifact_prefix={FOUND}/{name}-",
        "-timeout=10",
        "-rss_limit_mb=2048",
        "-max_len=200000",
        "-verbosity=1",
        "-print_final_stats=1",
    )
    atheris.Setup([sys.argv[0], *options, str(corpus)], target.run)
    atheris.Fuzz()


def without_coverage(name: str, seconds: int) -> None:
    """The same with the simple driver."""
    from tests.fuzz.mutation import mutations
    from tests.fuzz.targets import TARGETS

    target, until = TARGETS[name], time.monotonic() + seconds
    for data in mutations(target.seeds(), seed=time.time_ns()):
        if time.monotonic() > until:
            return
        try:
            target.run(data)
        except BaseException:
            (FOUND / f"{name}-found").write_bytes(data)
            raise


def main() -> int:
    """Every target, or those that are named; how many of them found something."""
    seconds, *names = sys.argv[1:]
    if names[:1] == ["--here"]:
        fuzz(names[1], int(seconds))
        return 0
    from tests.fuzz.targets import TARGETS

    console, failed = Console(), []
    FOUND.mkdir(parents=True, exist_ok=True)
    for name in names or TARGETS:
        command = [sys.executable, "-W", "ignore", "-m", "tests.fuzz.run", seconds, "--here", name]
        ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        said = ran.stderr + ran.stdout
        runs = [line for line in said.splitlines() if "number_of_executed_units" in line]
        tries = runs[-1].split()[-1] if runs else "some"
        console.print(f"{name}: {tries} tries" + (", FOUND SOMETHING" if ran.returncode else ""))
        if ran.returncode:
            failed.append(name)
            console.print(said[-3000:], markup=False, highlight=False)
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
