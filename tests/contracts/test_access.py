"""Every route, called as every role: it answers as the tables of docs/security.md say, or 403."""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI

import web_ui.access
from diagnosis.access import EVERYBODY, OPEN, SAFE_METHODS
from diagnosis.contracts import NewBatch
from diagnosis.identity import HEADER, Role
from tests.contracts import doors
from tests.contracts.doors import PRIVATE, TABLES, filled, location_of, locations, may, routes_of
from tests.fixtures.identity import CSRF, PUBLIC_KEY_FILE, somebody
from tests.fixtures.identity import signed as signed_header
from tests.fixtures.live_service import DISEASE, Live
from tests.fixtures.stack import need_pages
from tests.gateway.identity.conftest import (
    PASSWORD,
    Door,
    clock,
    door,
    identity_redis,
    open_door,
)
from tests.inference_service.pictures import BRIGHT as FILM
from tests.web_ui.stand_in import StandIn
from tests.web_ui.stand_in_catalogue import BRIGHT
from tests.web_ui.stand_in_gateway import COOKIE, LINK_TOKEN, StandInGateway
from web_ui.app import create_app
from web_ui.settings import Settings

__all__ = ["clock", "door", "identity_redis", "open_door"]

ORIGIN = "http://sightline.test"

#: Nobody; somebody without a role; and each role.
ASKING: tuple[tuple[Role, ...] | None, ...] = (None, (), *((role,) for role in Role))

#: Headers that no page of ours sends with the session's cookie.
FORGED: tuple[dict[str, str], ...] = (
    {},
    {"origin": ORIGIN},
    {"origin": ORIGIN, "x-csrf-token": "another"},
    {"origin": "http://elsewhere.example", "x-csrf-token": CSRF},
    {"origin": ORIGIN, "sec-fetch-site": "cross-site", "x-csrf-token": CSRF},
)


@dataclass
class Tried:
    """What the calls of one service came to."""

    calls: int = 0
    unexpected: tuple[str, ...] = ()

    def note(self, wrong: bool, text: str) -> None:
        self.calls += 1
        if wrong:
            self.unexpected = (*self.unexpected, text)

    def tell(self, what: str) -> None:
        """Print the figure."""
        sys.stdout.write(f"{what}: {self.calls} calls, {len(self.unexpected)} unexpected\n")


Send = Callable[..., Awaitable[httpx.Response]]


def judge(tried: Tried, service: str, asking: Any, key: tuple[str, str], status: int) -> None:
    """Compare an answer with the table: what may is done or led on, what may not is 401 or 403."""
    allowed = TABLES[service][key]
    roles = (None,) if asking is None else asking
    permitted = any(may(allowed, role) for role in roles)
    if asking is not None:
        permitted = permitted or allowed in (EVERYBODY, OPEN)
    expected = (
        {*range(200, 400), *ELSEWISE.get((service, *key), ())}
        if permitted
        else {401}
        if asking is None
        else {403}
    )
    tried.note(status not in expected, f"{key} as {asking}: {status}, not {expected}")


#: Other answers to who may: what the test's own state allows no more of, never 401 or 403.
ELSEWISE: dict[tuple[str, str, str], tuple[int, ...]] = {
    ("inference_service", "POST", "/api/v1/diseases/{disease}/rollback"): (409,),
    ("inference_service", "POST", "/api/v1/diseases/{disease}/versions/{version}/lift"): (409,),
    ("web_ui", "POST", "/diseases/{disease}/versions/{version}/lift"): (409,),
    ("inference_service", "GET", "/api/v1/predictions/{prediction_id}/heatmap"): (404,),
    ("inference_service", "GET", "/api/v1/predictions/{prediction_id}/dicom"): (404,),
    ("web_ui", "GET", "/readings/{prediction}/dicom"): (404,),
    # A machine without Pango, or one that has too much to do.
    ("web_ui", "GET", "/readings/{prediction}/report.pdf"): (503,),
    # By then another version is live, or the one that is cannot be written as ONNX.
    ("inference_service", "GET", "/api/v1/diseases/{disease}/portable/{version}/{name}"): (422,),
    ("web_ui", "GET", "/offline/models/{disease}"): (409,),
    ("web_ui", "GET", "/offline/models/{disease}/{version}/{file}"): (409,),
}


# ---- the document --------------------------------------------------------------------------


def test_the_document_has_the_tables_as_they_are() -> None:
    hint = "`python -m tests.contracts.doors` writes them"
    assert doors.written() == doors.document().strip(), hint


def test_the_proxy_asks_for_whoever_the_tables_ask_for() -> None:
    """For each route, the location that Nginx takes; and every location is known."""
    found = locations()
    assert {one.goes_to for one in found} >= {"inference_service", "web_ui", "identity_service"}
    assert not [one for one in found if one.goes_to == "?"]
    for service, table in TABLES.items():
        for (method, template), allowed in table.items():
            one = location_of(doors.path_of(template), found)
            told = f"{service}: {method} {template} is taken by {one}"
            if template in PRIVATE:
                assert one.goes_to == "404", told
            elif template.startswith("/internal/"):
                # Only what Nginx asks by itself reaches it: to a client it is a page's address.
                assert one.goes_to == "web_ui", told
            elif template.startswith("/static/"):
                assert one.goes_to == "files", told
            else:
                assert one.goes_to == service, told
                # The gateway looks for itself at what is under /auth/.
                by_itself = service == "identity_service" and template.startswith("/auth/")
                assert bool(one.asks) == (allowed is not OPEN and not by_itself), told
    asked = [one for one in found if one.internal and one.goes_to == "identity_service"]
    assert [one.pattern for one in asked] == ["/__identity", "/__ops"]
    assert location_of("/grafana/d/x", found).asks == "ops"


# ---- inference_service ---------------------------------------------------------------------


def as_session(asking: tuple[Role, ...] | None, headers: Mapping[str, str]) -> dict[str, str]:
    signed = {} if asking is None else signed_header(*asking)
    return {**signed, **headers}


OURS = {"origin": ORIGIN, "x-csrf-token": CSRF}


class Api:
    """The API with a reading in it, asked anew for each call."""

    def __init__(self, live: Live) -> None:
        self.app = live.app
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(live.app), base_url=ORIGIN, trust_env=False
        )

    async def reading(self) -> str:
        path = f"/api/v1/diseases/{DISEASE}/predictions"
        headers = as_session((Role.CLINICIAN,), OURS)
        made = await self.client.post(path, files={"image": FILM}, headers=headers)
        return str(made.json()["id"])

    async def batch(self) -> str:
        headers = as_session((Role.CLINICIAN,), OURS)
        made = await self.client.post("/api/v1/batches", json={"disease": DISEASE}, headers=headers)
        return str(made.json()["id"])

    async def send(
        self, key: tuple[str, str], asking: tuple[Role, ...] | None, headers: Mapping[str, str]
    ) -> httpx.Response:
        method, template = key
        values = {
            "disease": DISEASE,
            "name": "demo-dark.png",
            "version": "2",
            "prediction_id": await self.reading() if "{prediction_id}" in template else "",
            "batch_id": await self.batch() if "{batch_id}" in template else "",
            "number": "0",
        }
        body: dict[str, Any] = {}
        if template.endswith(("/predictions", "/suggestions")) and method == "POST":
            body["files"] = {"image": FILM}
        if method == "PUT":
            body["files"] = {"file": FILM}
        if template.endswith("/archive"):
            # The smallest archive that there is.
            body["content"] = b"PK\x05\x06" + bytes(18)
        if template.endswith("/batches") and method == "POST":
            body["json"] = {"disease": DISEASE}
        if template.endswith("/reviews"):
            body["json"] = {"verdict": "agree"}
        if template.endswith("/patients/deletion"):
            body["json"] = {"patient_reference": "nobody"}
        return await self.client.request(
            method, filled(template, values), headers=as_session(asking, headers), **body
        )


async def try_all(send: Send, service: str) -> Tried:
    tried = Tried()
    for key in TABLES[service]:
        for asking in ASKING:
            answer = await send(key, asking, OURS)
            judge(tried, service, asking, key, answer.status_code)
    return tried


async def test_the_api_answers_each_role_as_its_table_says(live: Live) -> None:
    assert routes_of(live.app) == set(TABLES["inference_service"])
    api = Api(live)
    tried = await try_all(api.send, "inference_service")
    await api.client.aclose()
    tried.tell("inference_service, as each role")
    assert tried.unexpected == ()


async def test_the_api_does_nothing_that_no_page_of_ours_sent(live: Live) -> None:
    api, tried = Api(live), Tried()
    for key in TABLES["inference_service"]:
        if key[0] in SAFE_METHODS:
            continue
        for headers in FORGED:
            answer = await api.send(key, tuple(Role), headers)
            told = answer.json().get("code")
            tried.note((answer.status_code, told) != (403, "forged-request"), f"{key} {headers}")
    await api.client.aclose()
    tried.tell("inference_service, forged")
    assert tried.unexpected == ()


# ---- web_ui --------------------------------------------------------------------------------

PASSWORDS = {"old": "a long and good one", "new": "another good one", "again": "another good one"}
ADDRESS = {"uri": "otpauth://totp/x?secret=JBSWY3DPEHPK3PXP", "secret": "JBSWY3DPEHPK3PXP"}

#: What each form sends.
FORMS: dict[str, dict[str, Any]] = {
    "/language": {"language": "es"},
    "/sign-in": {"name": "ada", "password": "a long and good one"},
    "/sign-in/code": {"code": "123456"},
    "/welcome/{token}": {"new": "another good one", "again": "another good one"},
    "/account/password": PASSWORDS,
    "/account/codes/confirm": {"code": "123456", **ADDRESS},
    "/account/codes/off": {"password": "a long and good one"},
    "/account/keys": {"name": "x", "roles": "clinician", "days": "7"},
    "/account/read-first": {"read_first": "on"},
    "/readings/{prediction}/reviews": {"verdict": "agree"},
    "/confirm": {"password": "a long and good one"},
    "/users": {"name": "grace", "roles": "ops", "unit": "default"},
    "/users/{user}": {
        "roles": "ops",
        "unit": "default",
        "shown_roles": "clinician",
        "shown_unit": "default",
        "shown_disabled": "false",
    },
}


TAKE_IMAGES = (
    "/examinations",
    "/diseases/{disease}/readings",
    "/offline/readings/{disease}",
)


#: An archive without a member.
ZIP = b"PK\5\6" + bytes(18)
#: Which files a form of batches brings, by the name of its field.
TAKE_FILES = {"/batches": "files", "/batches/{batch}/files/{number}": "file"}


class Pages:
    """The pages in front of fresh stand-ins for each call, so that none spoils another's."""

    def __init__(self) -> None:
        self.stand_in = StandIn()
        self.gateway = StandInGateway()
        settings = Settings(
            api_url="http://inference_service",
            identity_key_file=PUBLIC_KEY_FILE,
            identity_socket=Path("/nonexistent/identity.sock"),
        )
        self.app: FastAPI = create_app(
            settings,
            transport=httpx.ASGITransport(self.stand_in.app),
            gateway=httpx.ASGITransport(self.gateway.app),
        )
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app), base_url=ORIGIN, trust_env=False
        )

    def renew(self) -> str:
        """State for one call; the id of a reading."""
        self.gateway.totp, self.gateway.fresh = False, True
        for user in [one for one in self.gateway.users if one != "u_1"]:
            del self.gateway.users[user]
        self.gateway.keys["k_1"] = {"id": "k_1", "name": "x", "owner": "u_tester"}
        return str(self.stand_in.read(self.stand_in.disease("mole"), BRIGHT).id)

    async def send(
        self, key: tuple[str, str], asking: tuple[Role, ...] | None, headers: Mapping[str, str]
    ) -> httpx.Response:
        method, template = key
        values = {
            "disease": "mole",
            "name": "pneumonia-1.png",
            "path": "manifest.json",
            "version": "2",
            "file": "model.onnx",
            "prediction": self.renew(),
            "batch": str(self.stand_in.batches.begin(NewBatch(disease="mole")).id),
            "number": "7",
            "token": LINK_TOKEN,
            "user": "u_1",
            "key": "k_1",
        }
        body: dict[str, Any] = {}
        if template in TAKE_IMAGES and method == "POST":
            body["files"] = {"image": ("x.png", BRIGHT, "image/png")}
        elif template in TAKE_FILES and method == "POST":
            body["files"] = {TAKE_FILES[template]: ("x.png", BRIGHT, "image/png")}
            body["data"] = {"disease": "mole"}
        elif template.endswith("/archive"):
            body["content"] = ZIP
            headers = {**headers, "content-type": "application/zip"}
        elif method == "POST":
            body["data"] = FORMS.get(template, {"nothing": ""})
        # Whose cookie it is makes no difference to the pages: they believe the signed identity.
        cookie = "code" if template == "/sign-in/code" else "whole"
        query = {"class": "melanoma"} if template.endswith("/heatmap") else None
        return await self.client.request(
            method,
            filled(template, values),
            params=query,
            headers=as_session(asking, headers)
            | {"cookie": f"{COOKIE}={cookie}", "idempotency-key": str(uuid4())},
            **body,
        )


@pytest.fixture
async def pages() -> AsyncIterator[Pages]:
    need_pages()
    one = Pages()
    yield one
    await one.client.aclose()
    await one.app.state.context.api.close()
    await one.app.state.context.batches.close()
    await one.app.state.context.gateway.close()


async def test_the_pages_answer_each_role_as_their_table_says(pages: Pages) -> None:
    assert routes_of(pages.app) == set(TABLES["web_ui"])
    tried = await try_all(pages.send, "web_ui")
    tried.tell("web_ui, as each role")
    assert tried.unexpected == ()


async def test_the_pages_do_nothing_that_no_page_of_ours_sent(pages: Pages) -> None:
    tried = Tried()
    for key, allowed in TABLES["web_ui"].items():
        if key[0] in SAFE_METHODS:
            continue
        for headers in FORGED:
            # Before somebody has signed in there is no token, and the origin has to do.
            if allowed is OPEN and headers.get("origin") == ORIGIN and len(headers) < 3:
                continue
            answer = await pages.send(key, None if allowed is OPEN else tuple(Role), headers)
            refused = answer.status_code == 403 and "not sent from one of our pages" in answer.text
            tried.note(not refused, f"{key} {headers}: {answer.status_code}")
    tried.tell("web_ui, forged")
    assert tried.unexpected == ()


async def test_a_route_without_a_row_is_open_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    need_pages()
    rest = {key: one for key, one in web_ui.access.TABLE.items() if key != ("GET", "/about")}
    monkeypatch.setattr("web_ui.app.TABLE", rest)
    pages = Pages()
    assert routes_of(pages.app) - set(rest) == {("GET", "/about")}
    assert (await pages.send(("GET", "/about"), tuple(Role), OURS)).status_code == 403
    assert (await pages.send(("GET", "/api"), tuple(Role), OURS)).status_code == 200


async def test_what_a_client_says_of_itself_is_not_believed(pages: Pages) -> None:
    for name in ("X-Forwarded-User", "X-Remote-User", "X-Original-URI", "Authorization"):
        answer = await pages.client.get("/history", headers={name: "admin"})
        assert answer.status_code == 401
    twice = [*signed_header(Role.CLINICIAN).items()] * 2
    assert (await pages.client.get("/history", headers=twice)).status_code == 401
    assert (await pages.client.get("/history", headers={HEADER: "admin"})).status_code == 401
    assert somebody(Role.CLINICIAN).granted == {Role.CLINICIAN}


# ---- the gateway ---------------------------------------------------------------------------


async def test_the_gateway_answers_each_role_as_its_table_says(door: Door) -> None:
    service = "identity_service"
    assert routes_of(door.app) == set(TABLES[service])
    tried = Tried()
    for key in TABLES[service]:
        method, template = key
        if template == "/auth/sign-out":
            continue
        for asking in ASKING:
            # Somebody new each time, because signing in or out ends the session.
            name = f"person{tried.calls}"
            person = None if asking is None else await door.signed_in(name, *asking)
            victim = await door.person(f"v{tried.calls}", Role.OPS)
            values = {"user_id": victim.id, "token": "never-made", "key_id": "k_0"}
            body = BODIES.get(template) if method != "GET" else None
            if template == "/api/v1/users":
                body = {"name": f"new{tried.calls}", "roles": []}
            path = filled(template, values)
            if template == "/auth/sign-in":
                body = {"name": victim.name, "password": PASSWORD}
            if template == "/api/v1/keys" and body:
                body = body | {"roles": list(asking or ("ops",))}
            # From an address of its own each time, because failures of one place add up.
            browser = await door.browser(f"10.0.{tried.calls // 200}.{tried.calls % 200 + 1}")
            ours = {"origin": "http://127.0.0.1:8080"}
            if person is not None:
                browser.cookies.update(person.browser.cookies)
                ours["x-csrf-token"] = person.csrf
            answer = await browser.request(method, path, json=body, headers=ours)
            status = answer.status_code
            # What is refused for its content was let through by its role.
            reached = status in (404, 409, 422) or answer.headers.get("location") is not None
            if status == 403 and template == "/api/v1/keys" and not asking:
                reached = "only roles that you hold" in answer.json()["detail"]
            judge(tried, service, asking, key, 200 if reached else status)
    tried.tell("identity_service, as each role")
    assert tried.unexpected == ()


BODIES: dict[str, dict[str, Any]] = {
    "/auth/sign-in": {"name": "ada", "password": PASSWORD},
    "/auth/welcome/{token}": {"password": PASSWORD},
    "/auth/reauthenticate": {"password": PASSWORD},
    "/auth/password": {"old": PASSWORD, "new": PASSWORD},
    "/auth/totp": {"password": PASSWORD},
    "/auth/totp/confirm": {"code": "000000"},
    "/api/v1/keys": {"name": "x", "roles": ["ops"], "expires_at": "2027-02-01T00:00:00Z"},
    "/api/v1/users/{user_id}": {"unit": "surgery"},
    "/api/v1/account/preferences": {"read_first": True},
}


async def test_the_gateway_does_nothing_that_no_page_of_ours_sent(door: Door) -> None:
    person = await door.signed_in("ada", *Role)
    ours = "http://127.0.0.1:8080"
    forged: tuple[dict[str, str], ...] = (
        {},
        {"origin": ours, "x-csrf-token": "another"},
        {"origin": "http://elsewhere.example", "x-csrf-token": person.csrf},
        {"sec-fetch-site": "cross-site", "x-csrf-token": person.csrf},
    )
    tried = Tried()
    for method, template in routes_of(door.app):
        if method in SAFE_METHODS:
            continue
        allowed = TABLES["identity_service"][method, template]
        path = filled(template, {"user_id": person.account.id, "token": "x", "key_id": "k_0"})
        for headers in forged:
            # Before somebody has signed in there is no token, and the origin has to do.
            without_token = allowed is OPEN and template != "/auth/sign-out"
            if without_token and "elsewhere" not in str(headers) and "cross" not in str(headers):
                continue
            answer = await person.browser.request(
                method, path, json=BODIES.get(template, {}), headers=headers
            )
            told = answer.json().get("code") if answer.content else ""
            tried.note(
                (answer.status_code, told) != (403, "forged-request"),
                f"{method} {template} {headers}: {answer.status_code} {told}",
            )
    tried.tell("identity_service, forged")
    assert tried.unexpected == ()
