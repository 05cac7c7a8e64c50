"""What ends is started again, what cannot run stops all, and nothing is left behind."""

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fixtures.leftovers import end_leftovers, processes_of

DRIVER = """
import os, sys
from pathlib import Path
from gateway.supervisor import ProcessSpec, Supervisor

folder = Path(sys.argv[1])
script = '''
import os, pathlib, signal, subprocess, sys, time
name, seconds = sys.argv[1], float(sys.argv[2])
def stop(*_):
    with open("stopped", "a") as file:
        file.write(name + " ")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
print("hello from", name, flush=True)
if name == "forking":
    subprocess.Popen(["sleep", "60"])
pathlib.Path(name + ".up").write_text(str(os.getpid()))
time.sleep(seconds)
sys.exit(7)
'''
path = {"PATH": "/usr/bin:/bin"}
specs = [
    ProcessSpec(name, (sys.executable, "-c", script, name, seconds), path, folder)
    for name, seconds in (pair.split("=") for pair in sys.argv[2:])
]

def started(one):
    one.say("all started")
    # With `ready` among the names, as when readings can be made.
    if any(spec.name == "ready" for spec in specs):
        one.ready()
        (folder / "ready.set").touch()

supervisor = Supervisor(specs, started)
supervisor.loop()
print("first:", supervisor.first_to_stop, "status:", supervisor.returncode, flush=True)
"""


class Driven:
    def __init__(self, folder: Path, *specs: str) -> None:
        names = [spec.partition("=")[0] for spec in specs]
        self._signs = [folder / f"{name}.up" for name in names]
        if "ready" in names:
            # Later than the last process is up: an end before it stops all.
            self._signs.append(folder / "ready.set")
        self.process = subprocess.Popen(
            [sys.executable, "-c", DRIVER, folder, *specs],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def await_up(self) -> None:
        deadline = time.monotonic() + 10
        while not all(sign.exists() for sign in self._signs):
            assert time.monotonic() < deadline, "the processes did not start"
            time.sleep(0.02)

    def finish(self) -> str:
        output, _ = self.process.communicate(timeout=20)
        return output


Drive = Callable[..., Driven]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """The processes' own folder; none may be left in it."""
    yield tmp_path
    assert end_leftovers(tmp_path) == []


@pytest.fixture
def drive(folder: Path) -> Iterator[Drive]:
    """Starts a supervisor of processes by their names and seconds; ended where a test fails."""
    begun: list[Driven] = []

    def begin(*specs: str) -> Driven:
        begun.append(Driven(folder, *specs))
        return begun[-1]

    yield begin
    for one in begun:
        with one.process as process:
            process.kill()


def test_one_that_ends_by_itself_is_started_again(folder: Path, drive: Drive) -> None:
    driven = drive("store=60", "ready=60")
    driven.await_up()
    first = int((folder / "store.up").read_text())
    os.kill(first, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while int((folder / "store.up").read_text() or first) == first:
        assert time.monotonic() < deadline, "it was not started again"
        time.sleep(0.05)
    os.killpg(driven.process.pid, signal.SIGINT)
    output = driven.finish()
    assert output.count("hello from store") == 2
    assert output.count("hello from ready") == 1
    assert "ended by itself (rc=-9); starting it again" in output
    assert "first: None" in output
    assert (folder / "stopped").read_text().split() == ["ready", "store"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of an end in time")
def test_what_a_killed_one_left_behind_ends_with_it(folder: Path, drive: Drive) -> None:
    """As Nginx' workers would: they keep the port, and the output by which its end is noticed."""
    driven = drive("forking=60", "ready=60")
    driven.await_up()
    first = int((folder / "forking.up").read_text())
    os.kill(first, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while int((folder / "forking.up").read_text() or first) == first:
        assert time.monotonic() < deadline, "it was not started again"
        time.sleep(0.05)
    sleeping = [one for one in processes_of(folder).values() if one.startswith("sleep")]
    assert len(sleeping) == 1
    os.killpg(driven.process.pid, signal.SIGINT)
    assert driven.finish().count("hello from forking") == 2


def test_one_that_ends_again_and_again_is_started_later_each_time(
    folder: Path, drive: Drive
) -> None:
    """The disk may be full for a while: nobody has to be there when it is not any more."""
    driven = drive("store=60", "ready=60", "short=0.4")
    driven.await_up()
    starts: list[int] = []
    while len(starts) < 5:
        started = (folder / "short.up").stat().st_mtime_ns
        if started not in starts:
            starts.append(started)
        time.sleep(0.01)
    pauses = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert pauses[-1] > 2 * pauses[0]
    os.killpg(driven.process.pid, signal.SIGINT)
    began = time.monotonic()
    output = driven.finish()
    assert time.monotonic() - began < 4.8, "a pause is not waited for"
    assert "starting it again in 0.6 s" in output
    assert "starting it again in 2.4 s" in output
    assert output.count("hello from store") == 1
    assert "first: None" in output


def test_one_that_cannot_run_stops_all_and_is_named(folder: Path, drive: Drive) -> None:
    driven = drive("store=60", "short=0.5", "door=60")
    output = driven.finish()
    assert "hello from store" in output
    assert "all started" in output
    assert "first: short status: 7" in output
    assert (folder / "stopped").read_text().split() == ["door", "store"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_all_in_order(folder: Path, drive: Drive, number: signal.Signals) -> None:
    driven = drive("store=60", "service=60", "door=60")
    driven.await_up()
    os.killpg(driven.process.pid, number)
    assert "first: None" in driven.finish()
    assert (folder / "stopped").read_text().split() == ["door", "service", "store"]


@pytest.mark.parametrize("seconds", [0.25, 0.35, 0.45, 0.6])
def test_a_signal_while_starting_leaves_nothing(drive: Drive, seconds: float) -> None:
    driven = drive("store=60", "service=60", "door=60")
    time.sleep(seconds)
    os.killpg(driven.process.pid, signal.SIGINT)
    driven.finish()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can tie a process to its parent")
def test_a_killed_supervisor_leaves_nothing(folder: Path, drive: Drive) -> None:
    driven = drive("store=60", "door=60")
    driven.await_up()
    driven.process.kill()
    driven.finish()
    assert end_leftovers(folder) == []
