"""A real browser for the end-to-end tests."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request

from diagnosis.identity import Role
from tests.fixtures.chromium import chromium
from tests.fixtures.stack import READER, Stack

__all__ = ["chromium"]


@pytest.fixture
def open_page(chromium: Browser, stack: Stack) -> Iterator[Callable[..., Page]]:
    """Open pages whose addresses begin at the stack, as somebody who reads images.

    `roles` names others; none at all is a stranger. No script may fail, no host be asked.
    """
    complaints: list[str] = []
    contexts = []

    def heard(message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text or "Permissions policy" in message.text:
            complaints.append(message.text)

    def asked(request: Request) -> None:
        if not request.url.startswith((stack.url, "data:", "blob:")):
            complaints.append(f"asked {request.url}")

    def begin(*, scripts: bool = True, roles: tuple[Role, ...] = READER) -> Page:
        context = chromium.new_context(base_url=stack.url, java_script_enabled=scripts)
        contexts.append(context)
        if roles:
            value = stack.session(*roles)
            context.add_cookies([{"name": "sightline_session", "value": value, "url": stack.url}])
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", heard)
        page.on("request", asked)
        return page

    yield begin
    for context in contexts:
        context.close()
    assert complaints == []
