"""A form of many files, one part after the other as it comes: never all of it in memory.

A part lies in memory up to the size of an image; a larger one is on the disk if it is a ZIP, in a
file without a name, and else it is dropped as it comes.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import SpooledTemporaryFile

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from diagnosis.errors import BatchTooLarge
from diagnosis.images import MAX_BYTES
from inference_service.problems import BodyRefused
from inference_service.uploads import MAX_FIELD_BYTES

ZIP_SIGN = b"PK\x03\x04"
#: Parts of one form.
MOST_PARTS = 2100
_MOST_HEADER_BYTES = 8192


@dataclass(slots=True)
class Part:
    """A part that has come whole."""

    name: str
    filename: str | None
    file: SpooledTemporaryFile[bytes]
    size: int = 0
    dropped: bool = False
    """Larger than an image may be, and no ZIP: its bytes are not there."""

    def text(self) -> str:
        """What a field holds."""
        self.file.seek(0)
        return self.file.read(MAX_FIELD_BYTES).decode("utf-8", "replace").strip()

    @property
    def is_zip(self) -> bool:
        self.file.seek(0)
        return self.file.read(len(ZIP_SIGN)) == ZIP_SIGN


class _Collecting:
    """What the parser calls; whole parts wait in `done`."""

    def __init__(self, folder: Path) -> None:
        self.done: list[Part] = []
        self._folder = folder
        self._field, self._value = b"", b""
        self._headers: dict[bytes, bytes] = {}
        self._part: Part | None = None
        self._count = 0

    def on_part_begin(self) -> None:
        self._headers = {}
        self._count += 1
        if self._count > MOST_PARTS:
            raise BatchTooLarge

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._field = _limited(self._field + data[start:end])

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value = _limited(self._value + data[start:end])

    def on_header_end(self) -> None:
        self._headers[self._field.lower()] = self._value
        self._field, self._value = b"", b""

    def on_headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name, filename = options.get(b"name"), options.get(b"filename")
        if name is None:
            raise BodyRefused
        self._part = Part(
            name.decode("utf-8", "replace"),
            None if filename is None else filename.decode("utf-8", "replace"),
            SpooledTemporaryFile(max_size=MAX_BYTES + 1, dir=str(self._folder)),  # noqa: SIM115
        )

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        part = self._part
        assert part is not None
        part.size += end - start
        if part.filename is None and part.size > MAX_FIELD_BYTES:
            raise BodyRefused("A field of the form is too long.")
        if part.dropped:
            return
        if part.size > MAX_BYTES and not part.is_zip:
            part.dropped = True
            part.file.seek(0)
            part.file.truncate()
            return
        part.file.seek(0, 2)
        part.file.write(data[start:end])

    def on_part_end(self) -> None:
        assert self._part is not None
        self.done.append(self._part)
        self._part = None

    def close(self) -> None:
        for one in (*self.done, self._part):
            if one is not None:
                one.file.close()


async def parts(
    request: Request, folder: Path, *, seconds: float, most_bytes: int
) -> AsyncIterator[Part]:
    """The parts of a form, each once it is whole; it is closed when the next one is asked for.

    Args:
        request: whose body was not read yet.
        folder: where large parts lie, without a name; it is there.
        seconds: how long the sender may pause.
        most_bytes: of the whole body.

    Raises:
        BodyRefused: not multipart, malformed, or too slow.
        BatchTooLarge: more parts or bytes than that.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data" or b"boundary" not in options:
        raise BodyRefused
    collecting = _Collecting(folder)
    parser = MultipartParser(
        options[b"boundary"],
        {
            "on_part_begin": collecting.on_part_begin,
            "on_header_field": collecting.on_header_field,
            "on_header_value": collecting.on_header_value,
            "on_header_end": collecting.on_header_end,
            "on_headers_finished": collecting.on_headers_finished,
            "on_part_data": collecting.on_part_data,
            "on_part_end": collecting.on_part_end,
        },
    )
    try:
        async for chunk in chunks(request, seconds=seconds, most_bytes=most_bytes):
            # Of a file that is on the disk the system takes it up; it is no wait for the disk.
            parser.write(chunk)
            while collecting.done:
                part = collecting.done[0]
                yield part
                part.file.close()
                del collecting.done[0]
        parser.finalize()
    except FormParserError as error:
        raise BodyRefused from error
    finally:
        collecting.close()


async def chunks(
    request: Request, *, seconds: float, most_bytes: int
) -> AsyncGenerator[bytes, None]:
    """The body of a request as it comes.

    Raises:
        BatchTooLarge: there is more.
        BodyRefused: nothing came for so many seconds.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > most_bytes:
        raise BatchTooLarge
    received = 0
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(seconds):
                chunk = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise BodyRefused("The upload took too long.") from error
        received += len(chunk)
        if received > most_bytes:
            raise BatchTooLarge
        yield chunk


def _limited(header: bytes) -> bytes:
    if len(header) > _MOST_HEADER_BYTES:
        raise BodyRefused
    return header
