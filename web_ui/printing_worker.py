"""Prints one document and ends: `python -m web_ui.printing_worker`, HTML in and PDF out.

It imports nothing of the service beside it and holds none of its secrets, and has a limit of
memory, of processor time and of what it may write into a file (WeasyPrint puts the document's fonts
into a temporary folder, where fontconfig finds them). WeasyPrint asks its fetcher for every address
that a document names; this one knows the parts that came with the document and no other.
"""

import json
import resource
import sys
from contextlib import suppress
from typing import Any, BinaryIO

#: What relative addresses in a document are relative to. No such host exists (RFC 6761).
BASE = "https://parts.invalid/"
#: How it ends where a library of the system, or WeasyPrint itself, is missing.
NO_LIBRARY = 3

_MEMORY = 2 * 1024**3
_PROCESSOR_SECONDS = 60
_FILE = 64 * 1024**2
#: Tagged, with language and title: PDF/UA-1, which screen readers can walk.
_VARIANT = "pdf/ua-1"


def main() -> int:
    """Read a document from standard input and write it, printed, to standard output."""
    document, parts = unpacked(sys.stdin.buffer)
    try:
        import weasyprint  # noqa: F401 - to see whether it can be had
    except (ImportError, OSError):
        # An OSError is a library of the system that cannot be loaded.
        return NO_LIBRARY
    sys.stdout.buffer.write(printed(document, parts))
    return 0


def unpacked(source: BinaryIO) -> tuple[str, dict[str, tuple[str, bytes]]]:
    """The document and its parts (media type, content) by address."""
    head = json.loads(source.readline())
    contents = [source.read(size) for size in head["sizes"]]
    named = zip(head["parts"], contents[1:], strict=True)
    return contents[0].decode(), {address: (kind, content) for (address, kind), content in named}


def printed(document: str, parts: dict[str, tuple[str, bytes]]) -> bytes:
    """The document as PDF, after which this process can do little else."""
    import weasyprint
    from weasyprint.text.fonts import FontConfiguration
    from weasyprint.urls import URLFetcher, URLFetcherResponse

    class Parts(URLFetcher):  # type: ignore[misc]
        """Knows the parts and nothing else: no scheme, no host, no file."""

        def fetch(self, url: str, _: Any = None) -> Any:
            kind, content = parts[url]
            return URLFetcherResponse(url, content, {"Content-Type": kind})

    confine()
    html = weasyprint.HTML(string=document, base_url=BASE, url_fetcher=Parts())
    pdf: bytes = html.write_pdf(
        font_config=FontConfiguration(), pdf_variant=_VARIANT, pdf_tags=True, srgb=True
    )
    return pdf


def confine() -> None:
    """Give up what printing does not need, for good."""
    limits = {"AS": _MEMORY, "CPU": _PROCESSOR_SECONDS, "CORE": 0, "FSIZE": _FILE}
    for name, most in limits.items():
        with suppress(AttributeError, ValueError, OSError):
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (most, most))


if __name__ == "__main__":
    sys.exit(main())
