"""Signing in and out, accounts and the audit trail, as a browser without scripts sees them."""

import re
from html import unescape

import httpx
import pytest
from fastapi import FastAPI

from diagnosis.identity import Role
from tests.fixtures.identity import CSRF, Acting
from tests.web_ui.stand_in_gateway import (
    CODE,
    COOKIE,
    KEY_TEXT,
    LINK_TOKEN,
    PASSWORD,
    SECRET,
    StandInGateway,
    record,
)


def somebody(client: httpx.AsyncClient, *roles: Role, **changes: object) -> None:
    """From now on somebody else asks, whose session the gateway knows."""
    client.auth = Acting(*roles, **changes)
    client.cookies.set(COOKIE, "whole", domain="sightline.test")


def stranger(client: httpx.AsyncClient, kept: str | None = None) -> None:
    """From now on nobody is signed in; the cookie may stand for a first step."""

    def of_our_pages(request: httpx.Request) -> httpx.Request:
        request.headers.setdefault("origin", "http://sightline.test")
        return request

    client.auth = of_our_pages  # type: ignore[assignment]
    client.cookies.clear()
    if kept:
        client.cookies.set(COOKIE, kept, domain="sightline.test")


def hidden(page: str, name: str) -> str:
    """The value of a hidden field."""
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found, name
    return unescape(found[1])


async def test_signing_in_sets_the_gateways_cookie_and_leads_on(
    client: httpx.AsyncClient, gateway: StandInGateway
) -> None:
    stranger(client)
    form = await client.get("/sign-in", params={"next": "/worklist?disease=mole"})
    assert form.status_code == 200
    assert 'autocomplete="current-password"' in form.text
    assert 'autocomplete="username"' in form.text
    assert "onpaste" not in form.text
    given = {"name": " ada ", "password": PASSWORD, "next": hidden(form.text, "next")}
    done = await client.post("/sign-in", data=given)
    assert (done.status_code, done.headers["location"]) == (303, "/worklist?disease=mole")
    assert "HttpOnly" in done.headers["set-cookie"]
    assert client.cookies[COOKIE] == "whole"
    [call] = [one for one in gateway.calls if one[1] == "/auth/sign-in"]
    assert call[3] == {"name": "ada", "password": PASSWORD}
    assert call[2]["origin"] == "http://sightline.test"
    assert call[2]["host"] == "sightline.test"


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://elsewhere.example/",
        "//elsewhere.example",
        "/\\elsewhere.example",
        "javascript:1",
        "",
    ],
)
async def test_signing_in_leads_to_no_other_site(client: httpx.AsyncClient, elsewhere: str) -> None:
    stranger(client)
    form = await client.get("/sign-in", params={"next": elsewhere})
    assert hidden(form.text, "next") == "/"
    given = {"name": "ada", "password": PASSWORD, "next": elsewhere}
    assert (await client.post("/sign-in", data=given)).headers["location"] == "/"


async def test_a_wrong_password_is_said_on_the_form_and_stands_nowhere(
    client: httpx.AsyncClient, gateway: StandInGateway
) -> None:
    stranger(client)
    answer = await client.post("/sign-in", data={"name": "ada", "password": "wrong-secret"})
    assert answer.status_code == 401
    assert "You could not be signed in" in answer.text
    assert 'value="ada"' in answer.text
    assert "wrong-secret" not in answer.text
    gateway.locked = True
    locked = await client.post("/sign-in", data={"name": "ada", "password": PASSWORD})
    assert (locked.status_code, locked.headers["retry-after"]) == (429, "90")


async def test_what_failed_at_the_provider_is_said_on_the_form(client: httpx.AsyncClient) -> None:
    stranger(client)
    told = {"provider-unavailable": "does not answer", "sign-in-failed": "did not confirm"}
    for code, sentence in told.items():
        assert sentence in (await client.get("/sign-in", params={"problem": code})).text


async def test_a_second_step_asks_for_the_code(
    client: httpx.AsyncClient, gateway: StandInGateway
) -> None:
    stranger(client)
    gateway.next = "code"
    given = {"name": "ada", "password": PASSWORD, "next": "/about"}
    first = await client.post("/sign-in", data=given)
    assert first.headers["location"] == "/sign-in/code?next=%2Fabout"
    form = await client.get(first.headers["location"])
    assert 'autocomplete="one-time-code"' in form.text
    wrong = await client.post("/sign-in/code", data={"code": "000000", "next": "/about"})
    assert wrong.status_code == 401
    right = await client.post("/sign-in/code", data={"code": "123 456", "next": "/about"})
    assert (right.status_code, right.headers["location"]) == (303, "/about")
    assert client.cookies[COOKIE] == "whole"


async def test_who_must_set_up_codes_does_so_before_anything_else(
    client: httpx.AsyncClient, gateway: StandInGateway
) -> None:
    stranger(client)
    gateway.next = "enrol"
    first = await client.post("/sign-in", data={"name": "ada", "password": PASSWORD})
    form = await client.get(first.headers["location"])
    assert SECRET in form.text
    assert "<svg" in form.text
    fields = {name: hidden(form.text, name) for name in ("csrf_token", "uri", "secret", "next")}
    wrong = await client.post("/sign-in/code", data=fields | {"code": "000000"})
    assert wrong.status_code == 422
    assert SECRET in wrong.text
    forged = await client.post("/sign-in/code", data=fields | {"code": CODE, "csrf_token": "x"})
    assert forged.status_code == 403
    right = await client.post("/sign-in/code", data=fields | {"code": CODE})
    assert (right.status_code, right.headers["location"]) == (303, "/")
    assert client.cookies[COOKIE] == "whole"


async def test_a_link_sets_the_password_once(client: httpx.AsyncClient) -> None:
    stranger(client)
    address = f"/welcome/{LINK_TOKEN}"
    form = await client.get(address)
    assert "Grace Hopper" in form.text
    assert form.text.count('autocomplete="new-password"') == 2
    assert LINK_TOKEN not in form.headers.get("location", "")
    unlike = await client.post(address, data={"new": PASSWORD, "again": "another"})
    assert unlike.status_code == 422
    assert "not alike" in unlike.text
    short = await client.post(address, data={"new": "short", "again": "short"})
    assert "too easily guessed" in short.text
    done = await client.post(address, data={"new": PASSWORD, "again": PASSWORD})
    assert (done.status_code, done.headers["location"]) == (303, "/sign-in/code")
    assert (await client.get("/sign-in/code")).headers["location"] == "/"
    for wrong in ("used", "a b", "a%2fb", "..%2f..%2fapi"):
        assert (await client.get(f"/welcome/{wrong}")).status_code in (401, 404)


async def test_signing_out_takes_the_cookie_back(client: httpx.AsyncClient) -> None:
    somebody(client, Role.OPS)
    done = await client.post("/sign-out", data={"csrf_token": CSRF})
    assert done.headers["location"] == "/sign-in?signed_out=true"
    assert 'sightline_session=""' in done.headers["set-cookie"]
    stranger(client)
    assert "You are signed out" in (await client.get(done.headers["location"])).text


async def test_the_account_says_who_one_is(client: httpx.AsyncClient) -> None:
    somebody(client, Role.ENGINEER, Role.OPS, unit="cardiology", name="Ada <Lovelace>")
    page = (await client.get("/account")).text
    for told in ("Ada &lt;Lovelace&gt;", "cardiology", "engineer", "ops", "Sign out"):
        assert told in page
    assert ">Users</a>" not in page
    assert ">Worklist</a>" not in page


async def test_a_key_is_shown_once_and_revoked(
    client: httpx.AsyncClient, gateway: StandInGateway
) -> None:
    somebody(client, Role.CLINICIAN, Role.ADMIN)
    given = {"name": "nightly", "roles": ["clinician"], "days": "7"}
    made = await client.post("/account/keys", data=given)
    assert made.text.count(KEY_TEXT) == 1
    assert made.headers["cache-control"] == "no-store"
    gateway.keys["k_2"] = gateway.keys["k_1"] | {"id": "k_2", "owner": "u_other", "name": "theirs"}
    page = (await client.get("/account")).text
    assert KEY_TEXT not in page
    assert "nightly" in page
    assert "theirs" not in page
    for wrong in ({"days": "3650"}, {"roles": []}):
        assert (await client.post("/account/keys", data=given | wrong)).status_code == 422
    done = await client.post("/account/keys/k_1/revoke")
    assert done.headers["location"] == "/account?done=revoked"
    assert (await client.post("/account/keys/k_1/revoke")).status_code == 404
    assert (await client.post("/account/keys/..%2fusers/revoke")).status_code == 404


async def test_codes_are_switched_on_and_off(
    client: httpx.AsyncClient, gateway: StandInGateway
) -> None:
    somebody(client, Role.OPS)
    shown = await client.post("/account/codes")
    assert SECRET in shown.text
    drawn = shown.text.partition("<svg")[2] if "qr" in shown.text else ""
    assert "style=" not in drawn
    fields = {name: hidden(shown.text, name) for name in ("uri", "secret")}
    wrong = await client.post("/account/codes/confirm", data=fields | {"code": "1"})
    assert wrong.status_code == 422
    right = await client.post("/account/codes/confirm", data=fields | {"code": CODE})
    assert right.headers["location"] == "/account?done=codes-on"
    assert "each sign-in asks for one" in (await client.get("/account")).text
    kept = await client.post("/account/codes/off", data={"password": "wrong", "code": CODE})
    assert kept.status_code == 401
    assert gateway.totp
    off = await client.post("/account/codes/off", data={"password": PASSWORD, "code": CODE})
    assert off.headers["location"] == "/account?done=codes-off"
    made_up = {"uri": "https://elsewhere.example", "secret": "<svg>", "code": CODE}
    assert (await client.post("/account/codes/confirm", data=made_up)).status_code == 422


async def test_a_password_is_changed(client: httpx.AsyncClient) -> None:
    somebody(client, Role.OPS)
    given = {"old": PASSWORD, "new": "another long one", "again": "another long one"}
    done = await client.post("/account/password", data=given)
    assert done.headers["location"] == "/account?done=password"
    assert "was changed" in (await client.get(done.headers["location"])).text
    unlike = await client.post("/account/password", data=given | {"again": "x"})
    assert unlike.status_code == 422
    wrong = await client.post("/account/password", data=given | {"old": "x"})
    assert wrong.status_code == 401
    assert "another long one" not in wrong.text


async def test_a_password_is_changed_with_a_code_where_there_are_codes(
    client: httpx.AsyncClient, gateway: StandInGateway
) -> None:
    somebody(client, Role.OPS)
    form = (await client.get("/account")).text.partition('action="/account/password"')[2]
    assert "one-time-code" not in form
    gateway.totp = True
    form = (await client.get("/account")).text.partition('action="/account/password"')[2]
    assert "one-time-code" in form
    given = {"old": PASSWORD, "new": "another long one", "again": "another long one"}
    without = await client.post("/account/password", data=given)
    assert (without.status_code, "takes one beside" in without.text) == (422, True)
    done = await client.post("/account/password", data=given | {"code": "123 456"})
    assert done.headers["location"] == "/account?done=password"


async def test_changes_ask_for_the_password_once_more(
    client: httpx.AsyncClient, gateway: StandInGateway
) -> None:
    gateway.fresh = False
    somebody(client, Role.ADMIN, auth_time=1)
    page = (await client.get("/users")).text
    assert 'href="/confirm?next=/users"' in page
    assert 'action="/users"' not in page
    was = {"shown_roles": "admin clinician", "shown_unit": "default", "shown_disabled": "false"}
    sent = await client.post("/users/u_1", data=was | {"roles": "admin", "unit": "default"})
    assert sent.headers["location"] == "/confirm?next=/users"
    sent = await client.post("/account/codes")
    assert sent.headers["location"] == "/confirm?next=/account"
    form = (await client.get("/confirm", params={"next": "/users"})).text
    assert hidden(form, "next") == "/users"
    wrong = await client.post("/confirm", data={"password": "x", "next": "/users"})
    assert wrong.status_code == 401
    gateway.totp = True
    assert "one-time-code" in (await client.get("/confirm")).text
    given = {"password": PASSWORD, "code": CODE, "next": "/users"}
    assert (await client.post("/confirm", data=given)).headers["location"] == "/users"


async def test_an_admin_invites_and_changes_people(
    client: httpx.AsyncClient, gateway: StandInGateway
) -> None:
    somebody(client, Role.ADMIN)
    given = {
        "name": "grace",
        "display_name": "Grace",
        "roles": ["clinician", "auditor"],
        "unit": "",
    }
    made = await client.post("/users", data=given)
    assert "http://sightline.test/welcome/u_2-secret" in made.text
    assert "A link for Grace" in made.text
    assert gateway.users["u_2"]["roles"] == ["clinician", "auditor"]
    assert gateway.users["u_2"]["unit"] == "default"
    page = (await client.get("/users")).text
    assert "u_2-secret" not in page
    assert "Grace" in page
    form = page.partition('action="/users/u_2"')[2]
    shown = {name: hidden(form, f"shown_{name}") for name in ("roles", "unit", "disabled")}
    assert shown == {"roles": "clinician auditor", "unit": "default", "disabled": "false"}
    was = {f"shown_{name}": value for name, value in shown.items()}
    changed = await client.post(
        "/users/u_2", data=was | {"roles": ["ops"], "unit": "surgery", "disabled": "true"}
    )
    assert changed.headers["location"] == "/users?done=changed"
    two = gateway.users["u_2"]
    assert (two["roles"], two["unit"], two["disabled"]) == (["ops"], "surgery", True)
    # The form that was opened before: what nobody touched on it stays as it is by now.
    stale = await client.post(
        "/users/u_2", data=was | {"roles": ["clinician", "auditor"], "unit": "ward"}
    )
    assert stale.headers["location"] == "/users?done=changed"
    two = gateway.users["u_2"]
    assert (two["roles"], two["unit"], two["disabled"]) == (["ops"], "ward", True)
    nothing_said = await client.post("/users/u_2", data={"roles": ["ops"], "unit": "ward"})
    assert nothing_said.status_code == 422
    assert gateway.users["u_2"] == two
    again = await client.post("/users/u_1/invitation")
    assert "A link for Ada Lovelace" in again.text
    assert "API keys from before end" in again.text
    twice = await client.post("/users", data=given)
    assert (twice.status_code, "already" in twice.text) == (422, True)
    assert (await client.post("/users", data=given | {"unit": "No Unit"})).status_code == 422
    assert (await client.post("/users/..%2fkeys", data=was | given)).status_code == 404


def ticked(page: str, prefix: str) -> list[str]:
    """The roles that are ticked in a form."""
    return re.findall(
        rf'id="{prefix}-(\w+)" name="roles" type="checkbox" value="\w+" checked', page
    )


async def test_a_refused_form_keeps_what_was_typed(
    client: httpx.AsyncClient, gateway: StandInGateway
) -> None:
    somebody(client, Role.ADMIN)
    given = {
        "name": "grace.hopper",
        "display_name": 'Grace "Amazing" <Hopper>',
        "roles": ["ops", "auditor"],
        "unit": "No Unit",
    }
    answer = await client.post("/users", data=given)
    assert answer.status_code == 422
    form = answer.text.partition('action="/users"')[2]
    typed = re.findall(r'id="new-(?:name|shown|unit)"[^>]* value="([^"]*)"', form)
    assert [unescape(one) for one in typed] == [
        "grace.hopper",
        'Grace "Amazing" <Hopper>',
        "No Unit",
    ]
    assert ticked(form, "new") == ["ops", "auditor"]
    was = {"shown_roles": "admin clinician", "shown_unit": "default", "shown_disabled": "false"}
    answer = await client.post(
        "/users/u_1", data=was | {"roles": ["engineer"], "unit": "No Unit", "disabled": "true"}
    )
    assert answer.status_code == 422
    form = answer.text.partition('action="/users/u_1"')[2].partition("</form>")[0]
    assert ticked(form, "u_1") == ["engineer"]
    assert 'value="No Unit"' in form
    assert 'name="disabled" type="checkbox" value="true" checked' in form
    assert '<details class="person-change" open>' in answer.text
    assert hidden(form, "shown_roles") == "admin clinician"
    # A form of its own is as it was.
    assert ticked(answer.text.partition('action="/users"')[2], "new") == ["clinician"]
    assert gateway.users["u_1"]["unit"] == "default"


async def test_an_auditor_searches_and_carries_away(
    client: httpx.AsyncClient, gateway: StandInGateway
) -> None:
    somebody(client, Role.AUDITOR)
    gateway.records = [record(one) for one in range(1, 5)] + [record(5, "denied", "refused")]
    page = (await client.get("/audit")).text
    assert "<strong>refused</strong>" in page
    older = re.search(r'href="(/audit\?cursor=\d+)"', page)
    assert older
    assert "000000000003" in (await client.get(older[1])).text
    found = (await client.get("/audit", params={"action": "denied"})).text
    assert "000000000005" in found
    assert "000000000004" not in found
    assert "/audit/export?action=denied&amp;format=csv" in found
    file = await client.get("/audit/export", params={"format": "csv"})
    assert file.headers["content-disposition"] == 'attachment; filename="audit.csv"'
    assert file.text.startswith("seq,action")
    assert (await client.get("/audit/export", params={"format": "exe"})).status_code == 422
    gateway.records.append(record(6) | {"actor": "u_1", "object": "u_1"})
    by_name = (await client.get("/audit", params={"actor": "ada"})).text
    assert by_name.count("<bdi>ada</bdi><br><code>u_1</code>") == 2
    wrong = await client.get("/audit", params={"actor": "Ada Lovelace"})
    assert (wrong.status_code, "cannot be looked for" in wrong.text) == (422, True)
    gateway.with_audit = False
    assert "does not show its audit trail" in (await client.get("/audit")).text


async def test_a_refusal_says_which_role_is_needed_and_who_one_is(
    client: httpx.AsyncClient,
) -> None:
    somebody(client, Role.OPS, name="Olive")
    for path, role in (("/users", "admin"), ("/audit", "auditor"), ("/worklist", "clinician")):
        answer = await client.get(path)
        assert answer.status_code == 403
        assert f"This needs the role {role}." in answer.text
        assert "signed in as Olive. Your roles: ops." in answer.text
    assert "clinician or engineer" in (await client.get("/diseases/mole")).text
    start = (await client.get("/")).text
    assert 'href="/diseases/' not in start
    assert "Which examination is this?" not in start


async def test_the_session_of_one_browser_never_goes_along_with_another(
    pages: FastAPI, gateway: StandInGateway
) -> None:
    def browser() -> httpx.AsyncClient:
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(pages),
            base_url="http://sightline.test",
            headers={"origin": "http://sightline.test"},
        )

    async with browser() as one, browser() as other:
        await one.post("/sign-in", data={"name": "ada", "password": PASSWORD})
        await other.get("/sign-in/code")
    assert one.cookies[COOKIE] == "whole"
    assert COOKIE not in other.cookies
    assert [call[2].get("cookie") for call in gateway.calls] == [None, None]
