"""Documents as PDF, printed by a process that lives for one document and can reach nothing.

A document is HTML with every part that it shows beside it, by address. What is not among the parts
does not exist for the printer: no file, no host. Pango, which lays the text out, is a library of
the system; where it is missing, nothing is printed and the answer says what is missing.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from diagnosis.errors import Overloaded, ServiceUnavailable, TemporarilyUnavailable
from web_ui.printing_worker import BASE, NO_LIBRARY

__all__ = ["BASE", "Part", "Printer", "PrintingUnavailable", "TooLongToPrint"]

_WORKER = "web_ui.printing_worker"


class PrintingUnavailable(TemporarilyUnavailable):
    """A library that prints is not on this machine."""

    code = "printing-unavailable"
    title = "Reports cannot be printed here"
    default_detail = "This server has not all that it needs to write a PDF."
    default_remedy = (
        "Print the page from the browser instead. For whoever runs this server: install Pango and"
        " HarfBuzz (on Debian libpango-1.0-0, libpangoft2-1.0-0 and libharfbuzz-subset0)."
    )


class TooLongToPrint(TemporarilyUnavailable):
    """It was not printed within its time."""

    code = "too-long-to-print"
    title = "The report took too long"
    default_detail = "The report was not finished in the time that is allowed for it."
    default_remedy = "Try again in a moment; the reading itself is not touched."


@dataclass(frozen=True)
class Part:
    """Something that a document shows or is set with."""

    media_type: str
    content: bytes


class Printer:
    """Prints documents, a few at once.

    Args:
        seconds: how long one may take, the wait for its turn included.
        at_once: how many processes may print at the same time.
    """

    def __init__(self, seconds: float, at_once: int = 2) -> None:
        self._seconds = seconds
        self._turns = asyncio.Semaphore(at_once)

    async def pdf(self, document: str, parts: Mapping[str, Part]) -> bytes:
        """A document as a tagged PDF (PDF/UA-1).

        Args:
            document: HTML; relative addresses in it are relative to `BASE`.
            parts: what it shows, by its whole address.

        Raises:
            Overloaded: others are printed at the moment.
            PrintingUnavailable: a library of the system is missing.
            TooLongToPrint: it was stopped.
            ServiceUnavailable: the process failed.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + self._seconds
        try:
            async with asyncio.timeout_at(end):
                await self._turns.acquire()
        except TimeoutError as error:
            raise Overloaded from error
        try:
            left = max(0.0, end - loop.time())
            return await asyncio.to_thread(_printed, _packed(document, parts), left)
        finally:
            self._turns.release()


def _printed(packed: bytes, seconds: float) -> bytes:
    """What the process makes of it; it is ended with its time, whatever it does."""
    try:
        done = subprocess.run(  # noqa: S603 - our own program, without anything that was sent
            [sys.executable, "-I", "-m", _WORKER],
            input=packed,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=seconds,
            # Nothing of this service's surroundings is any of its business.
            env={},
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise TooLongToPrint from error
    except OSError as error:
        raise ServiceUnavailable(cause=type(error).__name__) from error
    if done.returncode == NO_LIBRARY:
        raise PrintingUnavailable
    if done.returncode != 0 or not done.stdout.startswith(b"%PDF-"):
        raise ServiceUnavailable(cause=f"the printing process ended with {done.returncode}")
    return done.stdout


def _packed(document: str, parts: Mapping[str, Part]) -> bytes:
    """The document and its parts as `printing_worker` reads them."""
    contents = [document.encode(), *(part.content for part in parts.values())]
    head = {
        "parts": [[address, part.media_type] for address, part in parts.items()],
        "sizes": [len(one) for one in contents],
    }
    return json.dumps(head).encode() + b"\n" + b"".join(contents)
