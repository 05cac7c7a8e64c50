"""People at the door: invited, signed in by password and code, out again; with scripts and without.

The pages talk to the real identity service here; what they look like is tested elsewhere.
"""

import secrets
import time
from collections.abc import Callable

import httpx
import pyotp
import pytest
from playwright.sync_api import Page, expect

from diagnosis.identity import Role
from tests.fixtures.stack import DISEASE, Stack

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("stack")]

PASSWORD = "a quiet meadow at noon"


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name).click()


def sign_in(page: Page, name: str, password: str = PASSWORD) -> None:
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Password").fill(password)
    press(page, "Sign in")


def next_code(secret: str) -> str:
    """The code that a device shows, one that was not used yet: each counts once."""
    return pyotp.TOTP(secret).at(int(time.time()) + 30)


@pytest.mark.parametrize("scripts", [True, False], ids=["with-scripts", "without-scripts"])
def test_from_the_invitation_to_a_key_and_out_again(
    stack: Stack, open_page: Callable[..., Page], scripts: bool
) -> None:
    name = f"ada-{secrets.token_hex(4)}"
    admin = open_page(scripts=scripts, roles=(Role.ADMIN,))
    admin.goto("/users")
    admin.get_by_label("Name to sign in with").fill(name)
    press(admin, "Make the account and a link")
    link = admin.locator(".made code").inner_text()
    assert link.startswith(f"{stack.url}/welcome/")

    page = open_page(scripts=scripts, roles=())
    page.goto("/worklist")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.goto(link)
    for typed in ("too short", PASSWORD):
        page.get_by_label("Password", exact=True).fill(typed)
        page.get_by_label("The same once more").fill(typed)
        press(page, "Set the password and sign in")
        if typed != PASSWORD:
            expect(page.get_by_role("alert")).to_contain_text("at least 12 characters")
    page.wait_for_url(stack.url + "/")
    page.goto(link)
    expect(page.locator("main")).to_contain_text("no longer valid")

    page.goto("/account")
    page.get_by_label("What it is for").fill("a script")
    page.get_by_label("clinician").check()
    press(page, "Make a key")
    key = page.locator(".made code").inner_text()
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=stack.url, headers=headers, trust_env=False) as script:
        assert script.get("/api/v1/predictions").status_code == 200
        page.goto("/account")
        press(page, "Revoke")
        expect(page.get_by_role("status")).to_contain_text("revoked")
        assert script.get("/api/v1/predictions").status_code == 401

    press(page, "Set up codes")
    secret = page.locator("code.secret").inner_text()
    page.get_by_label("Code of six digits").fill(pyotp.TOTP(secret).now())
    press(page, "Switch codes on")
    expect(page.get_by_role("status")).to_contain_text("Codes are on")
    press(page, "Sign out")
    expect(page.get_by_role("status")).to_contain_text("signed out")

    page.goto("/worklist")
    sign_in(page, name, "not the password")
    expect(page.get_by_role("alert")).to_contain_text("is not right")
    sign_in(page, name)
    page.get_by_label("Code of six digits").fill("000000")
    press(page, "Go on")
    expect(page.get_by_role("alert")).to_contain_text("is not right")
    page.get_by_label("Code of six digits").fill(next_code(secret))
    press(page, "Go on")
    page.wait_for_url(stack.url + "/worklist")
    assert page.goto("/users").status == 403  # type: ignore[union-attr]


def test_whose_session_has_ended_is_led_to_sign_in(
    open_page: Callable[..., Page], film: bytes
) -> None:
    """Where a script sends the image, too: it must not put that page into this one."""
    page = open_page()
    page.goto(f"/diseases/{DISEASE}")
    page.locator("#image").set_input_files(
        {"name": "film.jpeg", "mimeType": "image/jpeg", "buffer": film}
    )
    page.context.clear_cookies()
    press(page, "Read this image")
    page.wait_for_url("**/sign-in")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_closed_account_is_out_at_once(stack: Stack, open_page: Callable[..., Page]) -> None:
    page = open_page(roles=(Role.OPS,))
    page.goto("/account")
    expect(page.get_by_role("heading", name="Your account")).to_be_visible()
    admin = open_page(roles=(Role.ADMIN,))
    admin.goto("/users")
    person = admin.locator(".person", has_text="tester-ops,")
    person.locator("summary").click()
    person.get_by_label("Closed").check()
    person.get_by_role("button", name="Save").click()
    expect(admin.get_by_role("status")).to_contain_text("changed")
    page.goto("/account")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    person = admin.locator(".person", has_text="tester-ops,")
    person.locator("summary").click()
    person.get_by_label("Closed").uncheck()
    person.get_by_role("button", name="Save").click()
    expect(admin.locator(".person", has_text="tester-ops,")).not_to_contain_text("closed")
