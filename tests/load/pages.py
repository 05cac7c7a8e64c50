"""How heavy the pages are and how soon they show: `make bench` runs this after the readings.

It starts a Sightline of its own with the models that ship and opens each page in a browser that was
never there. Times are those of this machine with whatever else it does; the load is printed.
"""

import os
import shutil
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Page, Response, sync_playwright

from diagnosis.identity import Role
from tests.e2e.screenshots import a_stack
from tests.fixtures.chromium import FLAGS, NAMES
from tests.fixtures.stack import DISEASE, Stack

_ROUNDS = 7
#: Built files that only the viewer needs begin with this.
_VIEWER = "viewer"
_PAINT = """() => {
  const paint = performance.getEntriesByName("first-contentful-paint")[0];
  return paint === undefined ? null : [paint.startTime, performance.timeOrigin + paint.startTime];
}"""
#: When the text of an element changed, on the clock of the page, and when the answer had come.
_WATCH = """() => {
  window.said = new Promise((done) => {
    new MutationObserver(() => requestAnimationFrame(() => done(performance.now())))
      .observe(document.querySelector("main"), { childList: true, subtree: true });
  });
}"""
_ASKED = """() => performance.getEntriesByType("resource")
  .filter((one) => one.initiatorType === "xmlhttprequest").at(-1).responseEnd"""
#: The page that says an answer is left at once; what it saw is kept for the next one.
_WATCH_STATUS = f"""() => {{
  new MutationObserver(() => requestAnimationFrame(() =>
    sessionStorage.setItem("said", String(performance.now() - ({_ASKED})()))))
    .observe(document.querySelector("[data-status]"), {{ childList: true, characterData: true }});
}}"""
_CAME = f"async () => (await window.said) - ({_ASKED})()"

Found = TypeVar("Found")


@dataclass(frozen=True)
class Weight:
    """Bytes of a page as they are sent, without pictures, and what its viewer adds."""

    page: int
    viewer: int


def main() -> None:
    """Measure every page, print a table."""
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    with a_stack() as stack, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        reading = first_reading(browser, stack)
        pages = {
            "start": "/",
            "examination": f"/diseases/{DISEASE}",
            "reading": reading,
            "worklist": "/worklist",
            "card": f"/diseases/{DISEASE}/card",
            "batches": "/batches",
            "offline": "/offline",
        }
        say(f"{os.cpu_count()} cores at a load of {os.getloadavg()[0]:.0f}, {_ROUNDS} rounds")
        say("page          sent, KB  viewer, KB  first paint, ms: median  least")
        for name, address in pages.items():
            paints = [painted(browser, stack, address) for _ in range(_ROUNDS)]
            weight = weighed(browser, stack, address)
            say(
                f"{name:13} {weight.page / 1000:8.0f}  {weight.viewer / 1000:10.0f}"
                f"  {statistics.median(paints):23.0f}  {min(paints):5.0f}"
            )
        say("from the answer to what is shown, ms:     median  least")
        for name, timed in (
            ("a reading, said", answered),
            ("its page", opened),
            ("a review", reviewed),
        ):
            times = [timed(browser, stack, reading) for _ in range(_ROUNDS)]
            say(f"{name:40} {statistics.median(times):7.0f}  {min(times):5.0f}")
        browser.close()


def say(line: str) -> None:
    """One line of the table."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def fresh(browser: Browser, stack: Stack) -> BrowserContext:
    """A browser that was never here, signed in."""
    context = browser.new_context(base_url=stack.url, reduced_motion="reduce")
    value = stack.session(Role.CLINICIAN)
    context.add_cookies([{"name": "sightline_session", "value": value, "url": stack.url}])
    return context


def with_page(browser: Browser, stack: Stack, do: Callable[[Page], Found]) -> Found:
    """Do something on a page of a fresh browser."""
    context = fresh(browser, stack)
    try:
        return do(context.new_page())
    finally:
        context.close()


def first_reading(browser: Browser, stack: Stack) -> str:
    """The address of a reading of a synthetic image."""

    def press(page: Page) -> str:
        page.goto(f"/diseases/{DISEASE}")
        page.locator('button[name="demo"]').first.click()
        page.wait_for_url("**/readings/*")
        return urlsplit(page.url).path

    return with_page(browser, stack, press)


def painted(browser: Browser, stack: Stack, address: str) -> float:
    """Milliseconds from the start of the visit to the first paint with something on it."""

    def visit(page: Page) -> float:
        page.goto(address)
        return float(page.wait_for_function(_PAINT).json_value()[0])

    return with_page(browser, stack, visit)


def weighed(browser: Browser, stack: Stack, address: str) -> Weight:
    """What a first visit brings over the line, in bytes as they are sent."""

    def visit(page: Page) -> Weight:
        answers: list[Response] = []
        page.on("response", lambda answer: answers.append(answer))
        page.goto(address)
        page.wait_for_load_state("networkidle")
        sizes = {True: 0, False: 0}
        for answer in answers:
            if answer.request.resource_type in ("document", "script", "stylesheet", "font"):
                found = answer.request.sizes()
                name = urlsplit(answer.url).path.rsplit("/", 1)[-1]
                whole = found["responseBodySize"] + found["responseHeadersSize"]
                sizes[name.startswith(_VIEWER)] += whole
        return Weight(sizes[False], sizes[True])

    return with_page(browser, stack, visit)


def answered(browser: Browser, stack: Stack, _reading: str) -> float:
    """Milliseconds from the end of the service's answer to the frame that says it."""

    def press(page: Page) -> float:
        page.goto(f"/diseases/{DISEASE}")
        page.evaluate(_WATCH_STATUS)
        page.locator('button[name="demo"]').first.click()
        page.wait_for_url("**/readings/*")
        return float(page.evaluate("sessionStorage.getItem('said')"))

    return with_page(browser, stack, press)


def opened(browser: Browser, stack: Stack, _reading: str) -> float:
    """Milliseconds from the end of the service's answer to the first paint of its page."""

    def press(page: Page) -> float:
        page.goto(f"/diseases/{DISEASE}")
        with page.expect_response(lambda one: one.request.method == "POST") as held:
            page.locator('button[name="demo"]').first.click()
        page.wait_for_url("**/readings/*")
        shown = float(page.wait_for_function(_PAINT).json_value()[1])
        timing = held.value.request.timing
        return shown - (timing["startTime"] + timing["responseEnd"])

    return with_page(browser, stack, press)


def reviewed(browser: Browser, stack: Stack, reading: str) -> float:
    """Milliseconds from the answer of a review to the frame that shows it."""

    def press(page: Page) -> float:
        page.goto(reading)
        page.wait_for_load_state("networkidle")
        page.evaluate(_WATCH)
        page.keyboard.press("a")
        return float(page.evaluate(_CAME))

    return with_page(browser, stack, press)


if __name__ == "__main__":
    main()
