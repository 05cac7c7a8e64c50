"""Sightline's API as the trainer asks it: with a key, over TLS or to this machine alone."""

import ssl
import stat
import time
from collections.abc import Callable, Mapping
from http.client import HTTPResponse
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, HTTPSHandler, ProxyHandler, Request, build_opener

from trainer.refusals import TrainerRefused
from trainer.reviews import Fetch, problem_in

SECONDS = 30.0
MOST_TRIES = 6
MOST_BYTES = 64 * 1024 * 1024
_HERE = {"127.0.0.1", "::1", "localhost"}


def read_key(file: Path) -> str:
    """The API key in a file that nobody but its owner may read.

    Raises:
        TrainerRefused: it cannot be read, others may read it, or it holds no key.
    """
    try:
        if file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise TrainerRefused(f"Others may read {file}; `chmod 600` it first.")
        key = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise TrainerRefused(f"{file} cannot be read: {type(error).__name__}.") from error
    if not key.startswith("slk_") or not key.isprintable() or " " in key:
        raise TrainerRefused(f"{file} holds no API key (slk_…).")
    return key


class _NoRedirects(HTTPRedirectHandler):
    """A key is sent where it was meant to go, and nowhere else."""

    def redirect_request(self, *_: object) -> None:
        return None


def fetcher(
    url: str,
    key: str,
    *,
    ca_file: Path | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> Fetch:
    """What asks the API at `url`.

    Args:
        url: `https://…`, or `http://` to this machine.
        key: of a clinician's account.
        ca_file: the authority (PEM) that signed the server's certificate, where it is an own one.
        pause: waits so many seconds, where the service asks to come again later.

    Raises:
        TrainerRefused: the key would go over the network in the clear.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _HERE):
        raise TrainerRefused("The address begins with https://; http:// is for this machine alone.")
    context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    # Proxies of the environment would see the key where there is no TLS.
    opener = build_opener(ProxyHandler({}), HTTPSHandler(context=context), _NoRedirects())

    def ask(path: str, params: Mapping[str, str]) -> bytes | None:
        address = f"{url.rstrip('/')}{path}" + (f"?{urlencode(params)}" if params else "")
        request = Request(address, headers={"Authorization": f"Bearer {key}"})  # noqa: S310
        for turn in range(1, MOST_TRIES + 1):
            try:
                with opener.open(request, timeout=SECONDS) as answer:
                    return _body(answer)
            except HTTPError as error:
                if error.code == 404:
                    return None
                if error.code not in (429, 503) or turn == MOST_TRIES:
                    said = problem_in(error.read(MOST_BYTES))
                    raise TrainerRefused(f"The API refused: {error.code} {said}".strip()) from None
                after = error.headers.get("Retry-After", "")
                pause(float(after) if after.isdecimal() else 2.0 * turn)
            except URLError as error:
                raise TrainerRefused(
                    f"{parts.hostname} does not answer: {error.reason}."
                ) from error
        raise AssertionError

    return ask


def _body(answer: HTTPResponse) -> bytes:
    data = answer.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise TrainerRefused("An answer of the API is larger than any.")
    return data
