"""Files of a batch on their way through the pages: handed on as they come, never held whole."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect

from diagnosis.errors import FileTooLarge, InvalidRequest, SightlineError
from web_ui.forms import TOKEN_FIELD

#: Boundaries, part headers and the small fields around a file.
OVERHEAD_BYTES = 64 * 1024
#: The token stands first in each form of ours; whatever begins longer than this has none.
_LONGEST_TOKEN_PART = 4096


class Passing:
    """A body that is handed on.

    Args:
        request: whose body it is.
        limit: bytes that it may have.
        too_large: what is raised where it has more: at once where the request says so, else when
            it is handed on.
    """

    def __init__(
        self, request: Request, limit: int, too_large: type[SightlineError] = FileTooLarge
    ) -> None:
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > limit:
            raise too_large
        self.marks = {
            name: request.headers[name]
            for name in ("content-type", "content-length")
            if name in request.headers
        }
        self.body = self._limited(request, limit, too_large)
        self.token: str | None = None
        """The session's, where it was taken out of a form; whether it is right is for the page."""
        self._broken: SightlineError | None = None

    async def take_token(self) -> None:
        """Take the token out of a multipart form, where it stands first. Raises InvalidRequest."""
        kind, options = parse_options_header(self.marks.get("content-type"))
        boundary = options.get(b"boundary", b"")
        if kind != b"multipart/form-data" or not boundary:
            raise InvalidRequest(
                "The form arrived incomplete or malformed.",
                remedy="Open the page again and choose the files once more.",
            )
        mark = b"\r\n--" + boundary
        head = b""
        end = -1
        async for part in self.body:
            head += part
            end = head.find(mark, len(mark))
            if end >= 0 or len(head) > _LONGEST_TOKEN_PART + len(mark):
                break
        named, _blank, value = head[: max(end, 0)].partition(b"\r\n\r\n")
        left = 0
        if f'name="{TOKEN_FIELD}"'.encode() in named:
            self.token = value.decode("utf-8", "replace")
            left = end + len(b"\r\n")
            if "content-length" in self.marks:
                self.marks["content-length"] = str(int(self.marks["content-length"]) - left)
        self.body = _after(head[left:], self.body)

    @contextmanager
    def told_first(self) -> Iterator[None]:
        """What is wrong with the body goes before what a service says of the half that it got."""
        try:
            yield
        except SightlineError as error:
            if self._broken is not None:
                raise self._broken from error
            raise

    async def _limited(
        self, request: Request, limit: int, too_large: type[SightlineError]
    ) -> AsyncIterator[bytes]:
        received = 0
        try:
            async for part in request.stream():
                received += len(part)
                if received > limit:
                    self._broken = too_large()
                    raise self._broken
                if part:
                    yield part
        except ClientDisconnect as error:
            self._broken = InvalidRequest("The file arrived incomplete.", remedy="Send it again.")
            raise self._broken from error


async def _after(head: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield head
    async for part in rest:
        yield part
