"""Runs the processes of the stack together.

honcho's manager multiplexes their output and stops all when one ends for good. What is added here:
once all are ready, a process that ends by itself is started again, after longer pauses where it
does not stay up, and the others only wait for it; a signal that comes while the processes are
being started is kept until they can be stopped; they stop in order, the door first and the store
last; and none outlives this process, even if it is killed.
"""

import contextlib
import ctypes
import multiprocessing
import os
import queue
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from honcho.manager import Manager
from honcho.process import Popen, Process

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_PR_SET_PDEATHSIG = 1
_START_SECONDS = 10.0
#: How long a process may take to stop in its turn. honcho kills what is left 5 s after the first
#: has stopped.
_STOP_SECONDS = 4.0
#: A process that ends sooner than this after its start did not stay up.
_STEADY_SECONDS = 2.0
#: How long to wait before a process is started again; twice as long each time it did not stay up.
_PAUSE_SECONDS = 0.3
_LONGEST_PAUSE_SECONDS = 5.0


@dataclass(frozen=True)
class ProcessSpec:
    """A process of the stack: what to run, where, and with exactly which environment."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path
    stop_signal: signal.Signals = signal.SIGTERM

    def popen(self, **options: Any) -> "subprocess.Popen[bytes]":
        """Start it alone, outside a supervisor; `options` go to `subprocess.Popen`."""
        return subprocess.Popen(  # noqa: S603
            self.command,
            env=dict(self.environment),
            cwd=self.folder,
            start_new_session=True,
            **options,
        )


def _die_with_parent(number: signal.Signals) -> None:
    """Ask Linux for this signal when the parent process ends, however that happens."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)


def _as_a_program() -> None:
    """In a new process before its program starts: signals as a program expects them."""
    for number in _STOP_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    _die_with_parent(signal.SIGTERM)


def _popen(command: str, **options: Any) -> "subprocess.Popen[bytes]":
    child: subprocess.Popen[bytes] = Popen(command, preexec_fn=_as_a_program, **options)
    if sys.platform == "linux":
        threading.Thread(target=_end_group_of, args=(child.pid,), daemon=True).start()
    return child


def _end_group_of(leader: int) -> None:
    """When a process has ended, end what it left behind: workers of a killed Nginx go on serving,
    and hold the port and the output of the one that is to be started in its place."""
    with contextlib.suppress(OSError):
        # Left to be waited for, so that its number is nobody else's yet.
        os.waitid(os.P_PID, leader, os.WEXITED | os.WNOWAIT)
        os.killpg(leader, signal.SIGKILL)


class _Runner(Process):  # type: ignore[misc]
    """The process between the manager and a program: passes the program's output on.

    Starts the program again when it ends by itself after all were ready.
    """

    #: Set by the supervisor when all are ready, and when all shall stop.
    ready: Any = None
    stopping: Any = None

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self._child_ctor = _popen
        self._started = 0.0
        self._tries = 0
        #: What to say of an end after which it is started again.
        self._ended: Any = None

    def run(self, events: Any = None, ignore_signals: bool = False) -> None:
        # Ctrl-C in a terminal reaches the whole group; only the manager acts on it.
        for number in _STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        _die_with_parent(signal.SIGKILL)
        while True:
            self._started, self._ended = time.monotonic(), None
            super().run(events, ignore_signals)
            if self._ended is None:
                return
            if self.stopping.wait(self._pause):
                super()._send_message(self._ended, type="stop")
                return

    @property
    def _pause(self) -> float:
        return float(min(_LONGEST_PAUSE_SECONDS, _PAUSE_SECONDS * 2**self._tries))

    def _send_message(self, data: Any, type: str = "line") -> None:  # noqa: A002 - honcho's name
        if type == "stop":
            quick = time.monotonic() - self._started < _STEADY_SECONDS
            self._tries = min(self._tries + 1, 16) if quick else 0
            if self.ready.is_set() and not self.stopping.is_set():
                self._ended = data
                type = "line"  # noqa: A001
                status, pause = data["returncode"], self._pause
                data = f"ended by itself (rc={status}); starting it again in {pause:.1f} s\n"
        super()._send_message(data, type)


class Supervisor(Manager):  # type: ignore[misc]
    """Runs the given processes until one cannot start or a signal comes; see `loop`, `returncode`.

    Args:
        specs: in the order to start; they are stopped in the opposite order.
        on_started: called in a thread of its own when all have been started.
    """

    def __init__(
        self, specs: Sequence[ProcessSpec], on_started: Callable[["Supervisor"], None]
    ) -> None:
        super().__init__()
        self._terminating: bool = False
        self._ready, self._stopping = multiprocessing.Event(), multiprocessing.Event()
        self._process_ctor = _Runner
        self._specs = {spec.name: spec for spec in specs}
        self._on_started = on_started
        #: The process whose end made all others stop; None where a signal did.
        self.first_to_stop: str | None = None
        for spec in specs:
            # `exec`: the process that honcho knows is the program, not a shell around it.
            runner = self.add_process(
                spec.name,
                "exec " + shlex.join(spec.command),
                env=dict(spec.environment),
                cwd=str(spec.folder),
            )
            runner.ready, runner.stopping = self._ready, self._stopping

    @property
    def stopping(self) -> bool:
        """True once it has been decided that all shall stop."""
        return self._terminating

    def say(self, line: str) -> None:
        """Print a line of the stack's own among those of the processes."""
        self._system_print(line + "\n")

    def ready(self) -> None:
        """From now on a process that ends by itself is started again."""
        self._ready.set()

    def terminate(self) -> None:
        """Stop every process, in order, without waiting for it."""
        if self._terminating:
            return
        self._terminating = True
        self._stopping.set()
        ended = [name for name, state in self._processes.items() if "returncode" in state]
        self.first_to_stop = ended[0] if ended else None
        threading.Thread(target=self._stop_in_order, daemon=True).start()

    def _start(self) -> None:
        """Start all. A signal waits until every process is known by its id."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
        try:
            super()._start()
            self._await_ids()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
        threading.Thread(target=self._on_started, args=(self,), daemon=True).start()

    def _await_ids(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        ended = []
        while not self._all_started() and time.monotonic() < deadline:
            try:
                message = self.events.get(timeout=0.1)
            except queue.Empty:
                continue
            if message.type == "start":
                self._processes[message.name]["pid"] = message.data["pid"]
            elif message.type == "line":
                self._printer.write(message)
            else:
                ended.append(message)
        for message in ended:
            self.events.put(message)
        if not self._all_started():
            raise RuntimeError("a process could not be started")

    def _stop_in_order(self) -> None:
        for name in reversed(self._specs):
            state = self._processes[name]
            deadline = time.monotonic() + _STOP_SECONDS
            told = None
            while "returncode" not in state and time.monotonic() < deadline:
                # Told once, and once more where it was just being started again.
                if state["pid"] != told:
                    told = state["pid"]
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(told, self._specs[name].stop_signal)
                time.sleep(0.02)
