"""A whole Sightline as `make run` starts it, and what can be done to it from outside."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from diagnosis.identity import Role
from gateway.identity import commands
from gateway.settings import PROJECT
from gateway.stack import Places, redis_url
from tests.faults.cable import Cable
from tests.faults.entry import CABLE
from tests.fixtures.leftovers import end_leftovers
from tests.fixtures.ports import free_port
from tests.fixtures.stack import DISEASE

#: Bytes of the disk that everything lies on, where one can be mounted.
DISK = 384 * 1024 * 1024
_START_SECONDS = 120.0


class House:
    """One stack in a folder of its own, under its own supervisor.

    Args:
        models: holds what seeds its registry.
        hasty: whether claims and leases of processes that died are soon free.
    """

    def __init__(self, models: Path, *, hasty: bool = False) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="f-"))
        # One model alone: a service that is started every few seconds has it all the sooner.
        self._models = self._folder / "models"
        shutil.copytree(models / DISEASE, self._models / DISEASE)
        self.run_dir = self._folder / "run"
        self.control = self._folder / "control"
        self.control.mkdir()
        self._hasty = hasty
        if hasty:
            (self.control / "claim-seconds").write_text("3")
        self.run_dir.mkdir(mode=0o700)
        self.mounted = _mount(self.run_dir)
        self.places = Places.under(self.run_dir)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        self._cable: Cable | None = None
        self._key = ""

    @property
    def output(self) -> Path:
        """What the stack said."""
        return self._folder / "output"

    @property
    def cable(self) -> Cable:
        """Between the services and Redis."""
        assert self._cable is not None
        return self._cable

    def start(self) -> None:
        """Start all and wait until a reading can be made."""
        self.places.prepare()
        self._cable = Cable(self.places.sockets / CABLE, self.places.redis_socket)
        self._cable.start()
        said = self.output.stat().st_size if self.output.exists() else 0
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "tests.faults.entry"),
                    *(str(self.run_dir), str(self.control), str(self.port)),
                ],
                cwd=PROJECT,
                env=os.environ
                | {"SIGHTLINE_GATEWAY_MODELS_DIR": str(self._models)}
                | ({"SIGHTLINE_INFERENCE_BATCH_LEASE_SECONDS": "2"} if self._hasty else {}),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        until = time.monotonic() + _START_SECONDS
        while b"READY" not in self.output.read_bytes()[said:]:
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(self.output.read_text(errors="replace")[-4000:])
            time.sleep(0.1)
        if not self._key:
            self._key = self._make_key()

    def die(self) -> None:
        """Kill all of it at once, as a power cut would."""
        for name in ("redis", *(path.stem for path in self.control.glob("*.pid"))):
            self.signal(name, signal.SIGKILL, whole_group=True)
        self._end(signal.SIGKILL)

    def close(self) -> list[str]:
        """Stop all and remove the folder; what was left running, which is killed."""
        try:
            if self._process is not None:
                self._end(signal.SIGINT)
            return end_leftovers(self._folder)
        finally:
            if self.mounted:
                subprocess.run(["umount", "--lazy", self.run_dir], check=False)
            shutil.rmtree(self._folder, ignore_errors=True)

    def _end(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
        self.cable.stop()
        self._cable = None

    def client(self, seconds: float = 8.0) -> httpx.Client:
        """A client of the public side, as a clinician."""
        return httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {self._key}"},
            timeout=seconds,
            trust_env=False,
        )

    def _make_key(self) -> str:
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(
                commands.with_store,
                redis_url(self.places, "identity"),
                lambda store, audit: commands.create_key(
                    store, audit, (Role.CLINICIAN,), name="faults", days=1
                ),
            ).result()

    # ---- What can be done to it ----------------------------------------------------------------

    def names(self, name: str) -> list[str]:
        """The processes of this name: workers have numbers."""
        return sorted(path.stem for path in self.control.glob(f"{name}*.pid"))

    def signal(self, name: str, number: signal.Signals, *, whole_group: bool = False) -> None:
        """Send a signal to a process, or to all that it has started too."""
        with contextlib.suppress(OSError, ValueError):
            leader = int((self.control / f"{name}.pid").read_text())
            (os.killpg if whole_group else os.kill)(leader, number)

    def halt(self, name: str) -> Callable[[], None]:
        """Stop a process and all that it has started; what lets those go on.

        They, and not whoever bears the name by then: the process may have been killed meanwhile,
        and what it had started would stay stopped for good.
        """
        try:
            group = int((self.control / f"{name}.pid").read_text())
            os.killpg(group, signal.SIGSTOP)
        except (OSError, ValueError):
            return lambda: None

        def go_on() -> None:
            with contextlib.suppress(OSError):
                os.killpg(group, signal.SIGCONT)

        return go_on

    def one_of(self, name: str, chance: random.Random) -> str:
        """One of the processes of this name."""
        return chance.choice(self.names(name) or [name])

    def hide_api(self) -> None:
        """Take the API's socket away, so that the door cannot reach it."""
        with contextlib.suppress(OSError):
            self.places.inference_socket.rename(self.places.inference_socket.with_suffix(".away"))

    def show_api(self) -> None:
        """Put it back, unless the API was started anew and has made another."""
        away = self.places.inference_socket.with_suffix(".away")
        with contextlib.suppress(OSError):
            if self.places.inference_socket.exists():
                away.unlink()
            else:
                away.rename(self.places.inference_socket)

    def fill_disk(self) -> None:
        """Leave no byte free."""
        ballast = self.run_dir / "ballast"
        with ballast.open("ab", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                with contextlib.suppress(OSError):
                    while file.write(bytes(size)):
                        pass

    def free_disk(self) -> None:
        """Give it back."""
        (self.run_dir / "ballast").unlink(missing_ok=True)

    def ask_to_die(self, process: str, step: str) -> Path:
        """The next one that comes to this step dies there, and takes the file away."""
        path = self.control / f"die-{process}-{step}"
        path.touch()
        return path


def _mount(folder: Path) -> bool:
    """A small disk of its own for a folder; False where only root may do that and this is not."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=0700", "faults", str(folder)]
    if os.getuid() != 0 or shutil.which("mount") is None:
        return False
    return subprocess.run(command, check=False, capture_output=True).returncode == 0
