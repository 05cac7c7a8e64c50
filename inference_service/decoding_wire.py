"""What the service and a process that reads images say to each other.

Short JSON texts, one a line, over a socket; everything large lies in memory that both see. Nothing
is ever unpickled: what a reading process says is checked like any other input, because the file
that it has read may have taken it over.
"""

import mmap
import socket
import struct
import time
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from diagnosis.images import MAX_BYTES, MAX_PIXELS, ImageFacts
from diagnosis.preprocess import Preprocessing

#: Longest text either side says.
MAX_TEXT = 64 * 1024
#: The shared memory: the file on the way in; on the way out the array of the network, what the gate
#: sees and the file to keep, which is at most an incompressible PNG of colours. Only the pages that
#: are written to cost anything.
REGION_BYTES = MAX_BYTES + 3 * MAX_PIXELS + MAX_PIXELS // 4 + 32 * 1024 * 1024
REGION_BYTES -= REGION_BYTES % mmap.PAGESIZE

#: A command to the process that starts the others: what to do; a process id; bytes of memory.
COMMAND = struct.Struct("=cqq")
START, END = b"s", b"e"
#: Its answer: a process id, or how a process ended as `os.waitpid` says it.
ANSWER = struct.Struct("=q")

Side = Annotated[int, Field(ge=1, le=MAX_PIXELS)]


class Ask(BaseModel):
    """What is wanted of the file that lies at the start of the shared memory.

    Its size in bytes goes before it, so that what is wanted, mostly the same as for the image
    before, is put into words and understood once.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seconds: Annotated[int, Field(ge=1)]
    """Of processor time that it may take."""
    decode_at_least: tuple[int, int] | None = None
    """See `diagnosis.images.read_image`."""
    preprocessing: Preprocessing | None = None
    """The steps to the network's array, where one is wanted."""
    look: bool = False
    """Whether a gate is going to be asked."""
    keep_dicom: bool = False
    """Whether a de-identified DICOM file is made of one that came."""
    thumbnail: Annotated[int, Field(ge=0, le=1024)] = 0
    """Longest side in pixels of a small JPEG of it; 0 where none is wanted."""


class Refusal(BaseModel):
    """An `ImageRefused` on the way."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: Annotated[str, Field(max_length=64)]
    detail: Annotated[str, Field(max_length=400)]
    remedy: Annotated[str, Field(max_length=400)]
    cause: Annotated[str, Field(max_length=400)] | None


class Read(BaseModel):
    """An image was read. In the shared memory lie, one after the other: the gate's look and the
    network's array where they were asked for, the file to keep, then the DICOM file and the
    thumbnail, if any."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    facts: ImageFacts
    decoded: tuple[Side, Side]
    """Width and height of the decoded pixels, smaller than the image where that was allowed."""
    clean: Annotated[int, Field(ge=1, le=REGION_BYTES)]
    """Bytes of the file to keep."""
    dicom: Annotated[int, Field(ge=0, le=REGION_BYTES)] = 0
    """Bytes of the de-identified DICOM file; 0 where there is none."""
    thumbnail: Annotated[int, Field(ge=0, le=REGION_BYTES)] = 0
    """Bytes of the thumbnail; 0 where none was asked for."""
    look_seconds: Annotated[float, Field(ge=0)] = 0.0
    preprocess_seconds: Annotated[float, Field(ge=0)] = 0.0


def receive(connection: socket.socket, seconds: float | None = None) -> bytes:
    """One text, which ends with its line.

    Args:
        connection: where it comes from.
        seconds: how long it may take to come whole; None for any time.

    Raises:
        TimeoutError: it did not.
        EOFError: the other side hung up.
        ValueError: it is longer than any.
    """
    until = None if seconds is None else time.monotonic() + seconds
    text = b""
    while not text.endswith(b"\n"):
        if len(text) > MAX_TEXT:
            raise ValueError
        if until is not None:
            connection.settimeout(max(until - time.monotonic(), 0.001))
        part = connection.recv(MAX_TEXT)
        if not part:
            raise EOFError
        text += part
    return text


def send(connection: socket.socket, text: bytes) -> None:
    """One text without a line's end in it, as JSON is.

    Raises:
        OSError: the other side hung up.
    """
    connection.sendall(text + b"\n")


#: What came of it.
Answer: TypeAdapter[Read | Refusal] = TypeAdapter(Read | Refusal)
