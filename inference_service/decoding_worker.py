"""Processes that read images and can do nothing else.

`python -m inference_service.decoding_worker FD` is one process, the nursery, which imports what
reading an image needs and then only forks when the service tells it to, over a socket; it never
sees an image. Each process that it forks, a worker, reads one image after the other. It may not
open anything (no file, no connection, no pipe), not write a file, not start a process, not leave a
core dump, and has a limit of memory, and of processor time for each image. An error in a decoder,
or a file that takes it over, costs the one reading.
"""

import ctypes
import gc
import io
import mmap
import os
import resource
import signal
import socket
import sys
import time
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diagnosis.errors import ImageRefused, ImageTooCostly
from diagnosis.gate import look
from diagnosis.images import read_image
from diagnosis.process import keep_memory
from inference_service.decoding_wire import (
    ANSWER,
    COMMAND,
    REGION_BYTES,
    START,
    Answer,
    Ask,
    Read,
    Refusal,
    receive,
    send,
)

#: What a worker may not have any of: open files beyond those it has, bytes in files, processes
#: beside it, bytes of a core dump (which would hold the image).
_NOTHING = ("RLIMIT_NOFILE", "RLIMIT_FSIZE", "RLIMIT_NPROC", "RLIMIT_CORE")

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """The nursery: start and end workers as the service says, until it hangs up."""
    control = socket.socket(fileno=int(sys.argv[1]))
    keep_memory()
    # What stops the service's group of processes must not take the workers of readings that the
    # service is still finishing. They all end when it hangs up, however that happens.
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.SIG_IGN)
    # What Pillow would import when it meets a format first: a worker can open no file any more.
    Image.init()
    gc.collect()
    gc.freeze()
    workers: set[int] = set()
    me = os.getpid()
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, COMMAND.size, 2)
        if len(message) != COMMAND.size:
            break
        kind, number, memory = COMMAND.unpack(message)
        if kind == START:
            number = os.fork()
            if number == 0:
                control.close()
                _as_worker(descriptors, memory, me)
            for descriptor in descriptors:
                os.close(descriptor)
            workers.add(number)
            control.sendall(ANSWER.pack(number))
        else:
            known = number in workers
            workers.discard(number)
            control.sendall(ANSWER.pack(_end(number) if known else 0))
    for number in workers:
        _end(number)


def _end(number: int) -> int:
    """Kill a worker, whatever it does, and say how it ended if it had already."""
    # Nobody has waited for it, so its id is still its own.
    with suppress(ProcessLookupError):
        os.kill(number, signal.SIGKILL)
    return os.waitpid(number, 0)[1]


def _as_worker(descriptors: list[int], memory: int, nursery: int) -> None:
    """In the forked process, which never comes back from here."""
    code = 1
    try:
        if sys.platform == "linux":
            # Only the nursery can end a worker, so none outlives it.
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != nursery:
                return
        connection = socket.socket(fileno=descriptors[0])
        region = mmap.mmap(descriptors[1], REGION_BYTES)
        os.close(descriptors[1])
        confine(memory)
        serve(connection, region)
        code = 0
    finally:
        os._exit(code)


def confine(memory: int) -> None:
    """Give up what reading an image does not need, for good.

    Args:
        memory: bytes that may be allocated beyond what is mapped now.
    """
    mapped = 0
    with suppress(OSError):
        mapped = int(Path("/proc/self/statm").read_text().split()[0]) * mmap.PAGESIZE
    if mapped:
        resource.setrlimit(resource.RLIMIT_AS, (mapped + memory, mapped + memory))
    for name in _NOTHING:
        resource.setrlimit(getattr(resource, name), (0, 0))


def serve(connection: socket.socket, region: mmap.mmap) -> None:
    """Read one image after the other until the service hangs up."""
    while True:
        try:
            size, _, wanted = receive(connection).partition(b" ")
        except EOFError:
            return
        asked = _asked(wanted)
        used = resource.getrusage(resource.RUSAGE_SELF)
        limit = int(used.ru_utime + used.ru_stime) + asked.seconds + 1
        resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.getrlimit(resource.RLIMIT_CPU)[1]))
        send(connection, Answer.dump_json(answer(asked, int(size), region)))


@lru_cache(maxsize=64)
def _asked(wanted: bytes) -> Ask:
    return Ask.model_validate_json(wanted)


def answer(asked: Ask, size: int, region: mmap.mmap) -> Read | Refusal:
    """Read the file of so many bytes in the region, and put what was asked for in its place."""
    try:
        return _read(asked, size, region)
    except ImageRefused as error:
        refused = error
    except MemoryError:
        refused = ImageTooCostly(cause="memory")
    return Refusal(
        code=refused.code, detail=refused.detail, remedy=refused.remedy, cause=refused.cause
    )


def _read(asked: Ask, size: int, region: mmap.mmap) -> Read:
    image = read_image(
        region[:size],
        decode_at_least=asked.decode_at_least,
        keep_dicom=asked.keep_dicom,
    )
    arrays: list[NDArray[Any]] = []
    decoded = time.perf_counter()
    if asked.look:
        seen = look(image.pixels)
        arrays += [seen.thumbnail, seen.features]
    looked = time.perf_counter()
    if asked.preprocessing is not None:
        arrays.append(asked.preprocessing.apply(image.pixels))
    preprocessed = time.perf_counter()
    place = 0
    for array in arrays:
        whole = np.frombuffer(region, array.dtype, array.size, place)
        whole[:] = array.ravel()
        place += array.nbytes
    small = _thumbnail(image.pixels, asked.thumbnail) if asked.thumbnail else b""
    files = image.clean + (image.dicom or b"") + small
    if place + len(files) > len(region):
        raise ImageTooCostly(cause="a file to keep larger than any")
    region[place : place + len(files)] = files
    height, width = image.pixels.shape[:2]
    return Read(
        # Only the facts: the rest of a checked image lies in the region.
        facts=image.facts,
        decoded=(width, height),
        clean=len(image.clean),
        dicom=len(image.dicom or b""),
        thumbnail=len(small),
        look_seconds=looked - decoded,
        preprocess_seconds=preprocessed - looked,
    )


def _thumbnail(pixels: NDArray[Any], longest: int) -> bytes:
    """A JPEG of the picture with at most so many pixels a side."""
    shown = (pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else pixels
    picture = Image.fromarray(shown)
    picture.thumbnail((longest, longest))
    held = io.BytesIO()
    picture.save(held, "JPEG", quality=80)
    return held.getvalue()


if __name__ == "__main__":
    main()
