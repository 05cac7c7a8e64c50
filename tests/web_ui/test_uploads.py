"""Receiving the form: the bytes stay in memory, and the limit holds."""

import tempfile

import httpx
import pytest
from fastapi import Request

from diagnosis.errors import FileTooLarge
from web_ui.uploads import receive_form


def request_with(image: bytes, *, declared: bool = True) -> Request:
    """A POST of one image, arriving in pieces of 64 KB."""
    sent = httpx.Request("POST", "http://sightline.test/", files={"image": ("x.dcm", image)})
    body = sent.read()
    pieces = [body[start : start + 65536] for start in range(0, len(body), 65536)]
    headers = [
        (name.lower(), value)
        for name, value in sent.headers.raw
        if declared or name.lower() != b"content-length"
    ]

    async def receive() -> dict[str, object]:
        piece = pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


async def test_an_image_of_several_megabytes_never_touches_the_disk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a temporary file was opened on the disk")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    image = b"\x07" * 5_000_000
    form = await receive_form(request_with(image), 5_000_000)
    assert form.image == image
    assert form.demo is None


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("extra", [1, 200_000])
async def test_one_byte_more_than_the_limit_is_refused(extra: int, declared: bool) -> None:
    with pytest.raises(FileTooLarge):
        await receive_form(request_with(b"\0" * (100_000 + extra), declared=declared), 100_000)


async def test_the_limit_itself_is_taken() -> None:
    form = await receive_form(request_with(b"\0" * 100_000), 100_000)
    assert form.image is not None
    assert len(form.image) == 100_000
