"""What a process of Sightline keeps from others, and does before it stops."""

import asyncio
import ctypes
import gc
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType

_PR_SET_DUMPABLE = 4


def keep_memory() -> None:
    """Let no other process of this user read this one's memory, nor a crash write it to the disk.

    A reader of images that was taken over runs as the same user and needs no file to look into the
    memory of whoever holds keys and other people's images; the kernel refuses it after this
    (`PR_SET_DUMPABLE`). A child that is forked keeps it, a program that is started does not. Root
    may look all the same. Linux only; nothing happens elsewhere.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def settle() -> None:
    """Leave all that was loaded so far out of every later collection of garbage.

    A whole collection goes through it, a tenth of a second for what a service has loaded, while
    every request waits. For a process that is about to serve.
    """
    gc.collect()
    gc.freeze()


def before_stopping(action: Callable[[], None]) -> None:
    """Have something done in the running loop as soon as the process is told to stop.

    A server that is told to stop waits for the answers that it is giving, and only then stops the
    application: an answer that would go on for minutes has to end before that. Nothing happens
    where no server listens for the signal, as in tests.
    """
    former = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread() or not callable(former):
        return
    loop, after = asyncio.get_running_loop(), former

    def stop(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(action)
        after(number, frame)

    signal.signal(signal.SIGTERM, stop)
