"""Which request something is done for: one id from Nginx to Redis.

Nginx gives each request an id. Every line of a log that is written for it, every audit event and
every file of a batch that it hands in carries that id, in each service that it comes through.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

import structlog

from diagnosis.telemetry.traces import REQUEST, Attribute, carried, is_request_id, span

_current: ContextVar[str | None] = ContextVar("sightline_request", default=None)


def request_id() -> str | None:
    """The id of the request that is answered now, as Nginx made it; None outside of one."""
    return _current.get()


def handed_on() -> dict[str, str]:
    """What goes with work that another process does later, so that its logs and its spans belong
    to the request that asked for it; see `taken_up`."""
    here = request_id()
    return carried() if here is None else {REQUEST: here} | carried()


@contextmanager
def taken_up(name: str, handed: Mapping[str, str], **attributes: Attribute) -> Iterator[None]:
    """Do inside what another process handed on, as a span of that name.

    Args:
        name: of a closed list.
        handed: what `handed_on` was where it was asked for; it may be empty.
        attributes: see `span`.
    """
    with request(handed.get(REQUEST, "")), span(name, handed, **attributes):
        yield


@contextmanager
def request(given: str) -> Iterator[None]:
    """What is done inside is done for a request.

    Args:
        given: the id that came with it. One that is not of Nginx's form stands in the lines of
            the log, and nowhere else: it is whatever somebody sent.
    """
    token = _current.set(given if is_request_id(given) else None)
    try:
        with structlog.contextvars.bound_contextvars(request_id=given):
            yield
    finally:
        _current.reset(token)
