"""Waits until the stack can be used: every service ready, and the start page there."""

import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from gateway.settings import Settings
from gateway.stack import Places

_POLL_SECONDS = 0.05
_ANSWER_SECONDS = 5.0


class NotReady(Exception):
    """The stack did not become ready in time. The text says what was missing last."""


def wait_until_ready(
    settings: Settings,
    places: Places,
    given_up: Callable[[], bool] = lambda: False,
) -> bool:
    """Return True as soon as a page can be opened and a reading can be made.

    Asks each service on its socket whether it is ready (models loaded, Redis there), then goes to
    the start page as a browser would, which sends whoever is not signed in to sign in.

    Args:
        given_up: asked between polls; where it is True, this returns False at once.

    Raises:
        NotReady: `start_timeout_seconds` have passed.
    """
    deadline = time.monotonic() + settings.start_timeout_seconds
    steps = (
        ("the identity service", "http://identity/readyz", places.identity_socket),
        ("inference_service", "http://inference/readyz", places.inference_socket),
        ("web_ui", "http://web/readyz", places.web_socket),
        ("the start page", f"{settings.url}/", None),
    )
    # As a browser would, that was told to trust this authority and no other.
    trust = ssl.create_default_context(cafile=places.tls.authority) if settings.tls else False
    for name, url, unix_socket in steps:
        transport = httpx.HTTPTransport(uds=str(unix_socket) if unix_socket else None, verify=trust)
        with httpx.Client(transport=transport, timeout=_ANSWER_SECONDS, trust_env=False) as client:
            while (missing := _what_is_missing(client, url, unix_socket)) is not None:
                if given_up():
                    return False
                if time.monotonic() > deadline:
                    raise NotReady(
                        f"Not ready after {settings.start_timeout_seconds:.0f} s:"
                        f" {name} says: {missing}"
                    )
                time.sleep(_POLL_SECONDS)
    return True


def _what_is_missing(client: httpx.Client, url: str, unix_socket: Path | None) -> str | None:
    # Tried by hand first: httpx leaves a socket open when it cannot connect.
    if unix_socket is not None and not _listens(unix_socket):
        return "nothing yet"
    try:
        answer = client.get(url)
    except httpx.TransportError:
        return "nothing yet"
    if answer.status_code in (httpx.codes.OK, httpx.codes.SEE_OTHER):
        return None
    return f"{answer.status_code} {answer.text[:500]}"


def _listens(unix_socket: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(unix_socket)) == 0
