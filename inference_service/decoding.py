"""Reading images where a crash, a hang or a bomb cannot hurt anybody else's reading.

The service's own process never decodes: `Decoders` hands each file to a worker process (see
`decoding_worker`), which decodes it, looks at it for the gate and preprocesses it, and hands the
finished array back through shared memory. A worker that crashes, hangs or answers nonsense is
ended and costs that one reading; one that has read its share is replaced by a fresh one.
"""

import math
import mmap
import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from diagnosis.errors import (
    ImageRefused,
    ImageTooCostly,
    ReaderEnded,
    ServiceUnavailable,
)
from diagnosis.gate import SIDE, SIZE, Look
from diagnosis.images import ImageFacts, digest_of
from diagnosis.images.checked import check_bytes
from diagnosis.preprocess import Preprocessing
from diagnosis.telemetry import DecoderEnd, Metrics
from inference_service.decoding_wire import (
    ANSWER,
    COMMAND,
    END,
    REGION_BYTES,
    START,
    Answer,
    Ask,
    Read,
    Refusal,
    receive,
    send,
)
from inference_service.settings import child_environment

_REFUSALS: dict[str, type[ImageRefused]] = {one.code: one for one in ImageRefused.__subclasses__()}
#: How long the nursery may take to start, on a machine that has everything else to do too.
_NURSERY_SECONDS = 60.0
#: One thread a process: as many processes as cores read images at once.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

#: Bytes of shared memory that a waiting worker may hold.
_MOST_KEPT = 8 * 1024 * 1024

log = structlog.get_logger("inference_service")


class Broken(Exception):
    """A worker did not answer as it should; how that came about."""

    def __init__(self, how: DecoderEnd, error: Exception) -> None:
        super().__init__(how)
        self.how = how
        self.error = error


@dataclass(frozen=True, eq=False)
class Decoded:
    """An image as a worker hands it over. Owned by the caller."""

    facts: ImageFacts
    clean: bytes
    """The file to keep; `facts.digest` is of it."""
    dicom: bytes | None
    """The de-identified DICOM file, where it was asked for and one came."""
    width: int
    """Pixels of the decoded image, which may be smaller than the original."""
    height: int
    array: NDArray[np.float32] | None
    """The network's input, (height, width, channels); None where no steps were given."""
    look: Look | None
    """What a gate needs; None where it was not asked for."""
    look_seconds: float
    preprocess_seconds: float
    thumbnail: bytes = b""
    """A small JPEG, where it was asked for."""


class Nursery:
    """The process that forks workers; started at the first need, and again if it ends.

    It may serve several `Decoders`.

    Args:
        command: runs it; gets the file descriptor of a socket as one more word.
    """

    #: Without the folder it is started in, the user's packages and the environment's words.
    COMMAND = (sys.executable, "-I", "-m", "inference_service.decoding_worker")

    def __init__(self, command: Sequence[str] = COMMAND) -> None:
        self._program = command
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def start(self, connection: int, region: int, memory: int) -> int:
        """Fork a worker.

        Args:
            connection: file descriptor of its end of the connection.
            region: file descriptor of the shared memory.
            memory: bytes that it may allocate.

        Returns:
            Its process id.

        Raises:
            ServiceUnavailable: no process can be started at the moment.
        """
        with self._lock:
            # An earlier nursery may have ended since it was asked last.
            for _ in range(2):
                try:
                    return self._command(START, 0, memory, [connection, region])
                except OSError as error:
                    cause = type(error).__name__
                    self._hang_up()
        raise ServiceUnavailable(cause=f"no process can be started to read images: {cause}")

    def end(self, number: int) -> int | None:
        """Kill a worker.

        Returns:
            How it ended, as `os.waitpid` says it; None where nobody knows.
        """
        with self._lock, suppress(OSError):
            return None if self._control is None else self._command(END, number, 0, [])
        return None

    def close(self) -> None:
        """End it, and with it every worker."""
        with self._lock:
            self._hang_up()

    def _command(self, kind: bytes, number: int, memory: int, descriptors: list[int]) -> int:
        control = self._control or self._begin()
        socket.send_fds(control, [COMMAND.pack(kind, number, memory)], descriptors)
        said = control.recv(ANSWER.size)
        if len(said) != ANSWER.size:
            raise ConnectionError
        (answer,) = ANSWER.unpack(said)
        return int(answer)

    def _begin(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        ours.settimeout(_NURSERY_SECONDS)
        with theirs:
            # What a library of C prints may quote the file.
            self._process = subprocess.Popen(  # noqa: S603 - our own module, no word of a request's
                [*self._program, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=child_environment() | _ONE_THREAD,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        self._control = ours
        return ours

    def _hang_up(self) -> None:
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._control = self._process = None


class _Worker:
    """One process that reads images, and the memory that it shares with this one."""

    def __init__(self, nursery: Nursery, memory: int) -> None:
        self._nursery = nursery
        self.images = 0
        self._used = 0
        with ExitStack() as stack:
            descriptor = _memory()
            stack.callback(os.close, descriptor)
            with ExitStack() as kept:
                self._region = kept.enter_context(mmap.mmap(descriptor, REGION_BYTES))
                ours, theirs = socket.socketpair()
                stack.callback(theirs.close)
                self._connection = kept.enter_context(ours)
                self._number = nursery.start(theirs.fileno(), descriptor, memory)
                kept.pop_all()

    def alive(self) -> bool:
        """Whether it waits for an image: one that says something unasked has hung up."""
        self._connection.setblocking(False)
        try:
            self._connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def ask(self, data: bytes, asked: Ask, seconds: float) -> Read | Refusal:
        """Have a file read, and leave the result in the region.

        Raises:
            Broken: it did not answer, or answered nonsense; nothing more may be asked of it.
        """
        self.images += 1
        self._region[: len(data)] = data
        self._used = len(data)
        try:
            self._connection.settimeout(seconds)
            send(self._connection, b"%d %s" % (len(data), _in_words(asked)))
            return Answer.validate_json(receive(self._connection, seconds))
        except TimeoutError as error:
            raise Broken("hung", ImageTooCostly(cause=f"not read in {seconds:g} s")) from error
        except (OSError, EOFError) as error:
            raise self._broken() from error
        except ValueError as error:
            raise Broken("nonsense", ReaderEnded(cause="it answered nonsense")) from error

    def take(self, asked: Ask, read: Read) -> Decoded:
        """Copy the result out of the region.

        Raises:
            Broken: it is not what was asked for.
        """
        place = 0

        def array(dtype: type[np.generic], *shape: int) -> NDArray[Any]:
            nonlocal place
            found = np.frombuffer(self._region, dtype, math.prod(shape), place).reshape(shape)
            place += found.nbytes
            return found.copy()

        look, ready, steps = None, None, asked.preprocessing
        if asked.look:
            look = Look(array(np.float64, SIDE, SIDE, 3), array(np.float64, SIZE))
        if steps is not None:
            ready = array(np.float32, steps.size[1], steps.size[0], steps.channels)
        clean = self._region[place : place + read.clean]
        place += len(clean)
        dicom = self._region[place : place + read.dicom] or None
        place += read.dicom
        small = self._region[place : place + read.thumbnail]
        self._used = max(self._used, place + read.thumbnail)
        whole = look is None or np.isfinite(look.features).all()
        if digest_of(clean) != read.facts.digest or not whole:
            raise Broken("nonsense", ReaderEnded(cause="it answered nonsense"))
        width, height = read.decoded
        return Decoded(
            read.facts,
            clean,
            dicom,
            width,
            height,
            ready,
            look,
            read.look_seconds,
            read.preprocess_seconds,
            small,
        )

    def forget(self) -> None:
        """Empty the region, so that nothing of an image is there for the next one to see.

        Pages that are kept cost a twentieth of new ones; those of large images are given back.
        """
        if self._used > _MOST_KEPT and hasattr(mmap, "MADV_REMOVE"):
            self._region.madvise(mmap.MADV_REMOVE)
        else:
            self._region[: self._used] = bytes(self._used)
        self._used = 0

    def end(self) -> None:
        """Kill it."""
        self._connection.close()
        self._region.close()
        self._nursery.end(self._number)

    def _broken(self) -> Broken:
        """Why it hung up. To kill what has ended changes nothing, and tells how it did."""
        status = self._nursery.end(self._number)
        if status is None or not os.WIFSIGNALED(status):
            return Broken("crashed", ReaderEnded(cause="the process that read it left"))
        number = os.WTERMSIG(status)
        if number == signal.SIGXCPU:
            return Broken("hung", ImageTooCostly(cause="processor time"))
        if number == signal.SIGKILL:
            # By somebody else, such as the system when memory is short: it may not be the image's.
            return Broken("killed", ServiceUnavailable(cause="the process that read it was killed"))
        name = signal.Signals(number).name
        return Broken("crashed", ReaderEnded(cause=f"the process that read it ended by {name}"))


class Decoders:
    """Workers that read images, each one at a time.

    Args:
        workers: how many.
        seconds: that reading one image may take, of the clock and of processor time.
        memory: bytes that a worker may allocate.
        images: that a worker reads before a fresh one takes its place.
        metrics: counts workers that ended, by how.
        nursery: starts them; closed by its owner, after this.
    """

    def __init__(
        self,
        workers: int,
        *,
        seconds: float,
        memory: int,
        images: int,
        metrics: Metrics,
        nursery: Nursery,
    ) -> None:
        self._seconds = seconds
        self._memory = memory
        self._images = images
        self._metrics = metrics
        self._nursery = nursery
        self._workers = workers
        self._closed = False
        # The last one back is the first one out: its memory is warm.
        self._idle: queue.LifoQueue[_Worker | None] = queue.LifoQueue()
        for _ in range(workers):
            self._idle.put(None)

    def read(
        self,
        data: bytes,
        *,
        decode_at_least: tuple[int, int] | None = None,
        preprocessing: Preprocessing | None = None,
        look: bool = False,
        keep_dicom: bool = False,
        thumbnail: int = 0,
    ) -> Decoded:
        """Read a file that anybody may have sent, in a worker; blocks until that is done.

        Args:
            data: the whole file.
            decode_at_least: see `diagnosis.images.read_image`; by default what the steps allow.
            preprocessing: the steps to a network's array, where one is wanted.
            look: whether a gate is going to be asked.
            keep_dicom: make a de-identified DICOM file of one that came.
            thumbnail: longest side of a small JPEG, where one is wanted.

        Raises:
            ImageRefused: it cannot be read, or not within the limits of time and memory.
            ServiceUnavailable: no worker can be had at the moment.
        """
        check_bytes(data)
        if preprocessing is not None and decode_at_least is None:
            decode_at_least = preprocessing.decode_at_least
        asked = Ask(
            seconds=math.ceil(self._seconds),
            decode_at_least=decode_at_least,
            preprocessing=preprocessing,
            look=look,
            keep_dicom=keep_dicom,
            thumbnail=thumbnail,
        )
        with self._worker() as worker:
            found = worker.ask(data, asked, self._seconds)
            if isinstance(found, Read):
                return worker.take(asked, found)
        kind = _REFUSALS.get(found.code, ReaderEnded)
        raise kind(found.detail, remedy=found.remedy, cause=found.cause)

    def close(self) -> None:
        """End every worker after the image it has; who comes later is refused."""
        self._closed = True
        for worker in [self._idle.get() for _ in range(self._workers)]:
            if worker is not None:
                worker.end()
            self._idle.put(None)

    @contextmanager
    def _worker(self) -> Iterator[_Worker]:
        """A worker that nobody else uses; it is ended where the use of it failed."""
        worker = self._idle.get()
        if self._closed:
            self._idle.put(worker)
            raise ServiceUnavailable(cause="the service stops")
        how: DecoderEnd | None = "killed"
        try:
            if worker is not None and not worker.alive():
                self._end(worker, "killed")
                worker = None
            if worker is None:
                worker = _Worker(self._nursery, self._memory)
            yield worker
            worker.forget()
            how = "recycled" if worker.images >= self._images else None
        except Broken as broken:
            how = broken.how
            raise broken.error from None
        finally:
            if worker is not None and how is not None:
                self._end(worker, how)
                worker = None
            self._idle.put(worker)

    def _end(self, worker: _Worker, how: DecoderEnd) -> None:
        worker.end()
        self._metrics.decoder_ends.labels(how).inc()
        if how != "recycled":
            log.warning("decoder ended", outcome=how)


@lru_cache(maxsize=64)
def _in_words(asked: Ask) -> bytes:
    return asked.model_dump_json().encode()


def _memory() -> int:
    """A file descriptor of memory that can be shared and has no name."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("reading")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, REGION_BYTES)
    return descriptor
