"""A peer of the gateway's identity service for the pages' tests: the same HTTP, in memory.

It knows sessions by their cookie and accounts by their name; passwords and codes are fixed.
"""

from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import JSONResponse

from diagnosis.contracts import Problem
from diagnosis.errors import (
    ForgedRequest,
    InputRefused,
    InvalidRequest,
    NoSuchResource,
    NotSignedIn,
    ReauthenticationNeeded,
    SightlineError,
)
from tests.fixtures.identity import CSRF

COOKIE = "sightline_session"
PASSWORD = "a long and good one"
CODE = "123456"
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
KEY_TEXT = "slk_shown-this-once"
LINK_TOKEN = "one-time"
END = "2026-12-24T10:00:00Z"


class SignInFailed(InputRefused):
    code = "sign-in-failed"
    status = 401
    title = "You could not be signed in"
    default_detail = "The name, the password or the code is not right."
    default_remedy = "Try again."


class LockedOut(InputRefused):
    code = "locked-out"
    status = 429
    title = "Too many failed tries"
    default_detail = "Signing in failed too often, so it is closed for a while."
    default_remedy = "Wait, then try again."


class CodeRefused(InputRefused):
    code = "code-refused"
    status = 422
    title = "This code is not right"
    default_detail = "The code is not the one that your device shows now."
    default_remedy = "Wait for the next code."


@dataclass
class StandInGateway:
    """The service's state, and what a test may look at or set."""

    next: str = "done"
    """What signing in leads to: `done`, `code` or `enrol`."""
    fresh: bool = True
    locked: bool = False
    with_audit: bool = True
    totp: bool = False
    password: bool = True
    read_first: bool = False
    users: dict[str, dict[str, Any]] = field(default_factory=dict)
    keys: dict[str, dict[str, Any]] = field(default_factory=dict)
    records: list[dict[str, Any]] = field(default_factory=list)
    calls: list[tuple[str, str, dict[str, str], Any]] = field(default_factory=list)
    """Each call: method, path, headers, body."""

    def __post_init__(self) -> None:
        self.app = _app(self)
        self.add_user("ada", "Ada Lovelace", ["admin", "clinician"])

    def add_user(self, name: str, shown: str, roles: list[str], unit: str = "default") -> str:
        user = f"u_{len(self.users) + 1}"
        self.users[user] = {
            "id": user,
            "name": name,
            "display_name": shown,
            "roles": roles,
            "unit": unit,
            "disabled": False,
            "service": False,
            "totp": False,
            "can_sign_in": True,
            "subject": None,
            "made_at": END,
            "signed_in_at": None,
        }
        return user

    def session(self, request: Request) -> str:
        """What the cookie stands for: `whole`, `code` or `enrol`. Raises NotSignedIn."""
        found = request.cookies.get(COOKIE)
        if found not in {"whole", "code", "enrol"}:
            raise NotSignedIn
        return found


def record(seq: int, action: str = "view", outcome: str = "allowed") -> dict[str, Any]:
    """A record of the audit trail."""
    return {
        "seq": seq,
        "at": END,
        "action": action,
        "actor": "u_tester",
        "roles": ["clinician"],
        "unit": "default",
        "outcome": outcome,
        "object": f"01980000-0000-7000-8000-{seq:012d}",
    }


def _app(gateway: StandInGateway) -> FastAPI:
    app = FastAPI(title="Stand-in of the gateway", docs_url=None, openapi_url=None)

    @app.middleware("http")
    async def note(request: Request, call_next: Any) -> Any:
        body = await request.body()
        told = await request.json() if body else None
        gateway.calls.append((request.method, request.url.path, dict(request.headers), told))
        return await call_next(request)

    @app.exception_handler(SightlineError)
    async def refuse(request: Request, error: SightlineError) -> Response:
        headers = {"Retry-After": "90"} if isinstance(error, LockedOut) else None
        text = Problem.of(error).model_dump_json()
        return Response(text, error.status, headers, "application/problem+json")

    def changing(request: Request, *, fresh: bool = False) -> None:
        """What the gateway asks of a request that changes something."""
        gateway.session(request)
        if request.headers.get("x-csrf-token") != CSRF:
            raise ForgedRequest
        if fresh and not gateway.fresh:
            raise ReauthenticationNeeded

    def confirming(given: dict[str, str], password: str) -> None:
        """What is asked of who is signed in: the password, and a code where there are codes."""
        if gateway.totp and "code" not in given:
            raise CodeRefused("Your account has codes, so this takes one beside the password.")
        if given[password] != PASSWORD or (gateway.totp and given["code"] != CODE):
            raise SignInFailed

    def with_cookie(answer: Response, value: str) -> Response:
        answer.set_cookie(COOKIE, value, path="/", httponly=True, samesite="lax")
        return answer

    @app.post("/auth/sign-in")
    async def sign_in(request: Request) -> Response:
        given = await request.json()
        if gateway.locked:
            raise LockedOut
        if "name" in given:
            if given["password"] != PASSWORD:
                raise SignInFailed
            kept = {"done": "whole"}.get(gateway.next, gateway.next)
            return with_cookie(JSONResponse({"next": gateway.next}), kept)
        if request.cookies.get(COOKIE) != "code" or given["code"] != CODE:
            raise SignInFailed
        return with_cookie(JSONResponse({"next": "done"}), "whole")

    @app.post("/auth/sign-out")
    async def sign_out(request: Request) -> Response:
        changing(request)
        answer = Response(status_code=204)
        answer.delete_cookie(COOKIE, path="/")
        return answer

    @app.get("/auth/session")
    async def session(request: Request) -> dict[str, Any]:
        if (kind := gateway.session(request)) == "code":
            raise NotSignedIn
        return {
            "sub": "u_tester",
            "login": "tester",
            "name": "Test Person",
            "roles": [],
            "unit": "default",
            "csrf": CSRF,
            "auth_time": 0,
            "totp": gateway.totp,
            "password": gateway.password,
            "read_first": gateway.read_first,
            "next": "enrol" if kind == "enrol" else "done",
        }

    @app.post("/auth/reauthenticate", status_code=204)
    async def reauthenticate(request: Request) -> None:
        changing(request)
        confirming(await request.json(), "password")
        gateway.fresh = True

    @app.post("/auth/password", status_code=204)
    async def password(request: Request) -> None:
        changing(request)
        confirming(await request.json(), "old")

    @app.get("/auth/welcome/{token}")
    async def look(token: str) -> dict[str, str]:
        if token != LINK_TOKEN:
            raise NoSuchResource("The link was used already, or is too old.")
        return {"name": "grace", "display_name": "Grace Hopper"}

    @app.post("/auth/welcome/{token}")
    async def accept(token: str, request: Request) -> Response:
        if len((await request.json())["password"]) < 12:
            raise InputRefused("This password is too easily guessed.")
        return with_cookie(Response(status_code=204), "whole")

    @app.post("/auth/totp")
    async def propose(request: Request) -> dict[str, str]:
        changing(request, fresh=request.cookies[COOKIE] != "enrol")
        return {"uri": f"otpauth://totp/Sightline:tester?secret={SECRET}", "secret": SECRET}

    @app.post("/auth/totp/confirm")
    async def confirm(request: Request) -> Response:
        changing(request)
        if (await request.json())["code"] != CODE:
            raise CodeRefused
        gateway.totp = True
        return with_cookie(Response(status_code=204), "whole")

    @app.delete("/auth/totp", status_code=204)
    async def give_up(request: Request) -> None:
        changing(request)
        confirming(await request.json(), "password")
        gateway.totp = False

    @app.patch("/api/v1/account/preferences")
    async def prefer(request: Request) -> dict[str, bool]:
        changing(request)
        gateway.read_first = (await request.json()).get("read_first", gateway.read_first)
        return {"read_first": gateway.read_first}

    @app.get("/api/v1/users")
    async def users() -> dict[str, Any]:
        return {"items": list(gateway.users.values())}

    @app.post("/api/v1/users", status_code=201)
    async def add(request: Request) -> Any:
        changing(request, fresh=True)
        given = await request.json()
        if any(one["name"] == given["name"] for one in gateway.users.values()):
            raise InputRefused("There is an account of this name already.")
        shown = given.get("display_name", given["name"])
        user = gateway.add_user(given["name"], shown, given["roles"], given["unit"])
        return gateway.users[user]

    @app.patch("/api/v1/users/{user}")
    async def change(user: str, request: Request) -> Any:
        changing(request, fresh=True)
        gateway.users[user] |= await request.json()
        return gateway.users[user]

    @app.post("/api/v1/users/{user}/invitation")
    async def invite(user: str, request: Request) -> dict[str, str]:
        changing(request, fresh=True)
        if user not in gateway.users:
            raise NoSuchResource("There is no account under this address.")
        return {"link": f"http://sightline.test/welcome/{user}-secret", "expires_at": END}

    @app.get("/api/v1/keys")
    async def keys() -> dict[str, Any]:
        return {"items": list(gateway.keys.values())}

    @app.post("/api/v1/keys", status_code=201)
    async def make_key(request: Request) -> dict[str, str]:
        changing(request, fresh=True)
        given = await request.json()
        key = f"k_{len(gateway.keys) + 1}"
        gateway.keys[key] = given | {
            "id": key,
            "owner": "u_tester",
            "made_at": END,
            "used_at": None,
        }
        return {"id": key, "key": KEY_TEXT, "expires_at": given["expires_at"]}

    @app.delete("/api/v1/keys/{key}", status_code=204)
    async def delete_key(key: str, request: Request) -> None:
        changing(request)
        if gateway.keys.pop(key, None) is None:
            raise NoSuchResource("There is no API key of yours under this address.")

    @app.get("/api/v1/audit")
    async def audit(
        action: str | None = None, actor: str | None = None, cursor: int | None = None
    ) -> dict[str, Any]:
        if not gateway.with_audit:
            raise NoSuchResource
        names = {one["id"]: one["name"] for one in gateway.users.values()}
        if actor is not None and not actor.startswith("u_") and actor not in names.values():
            raise InvalidRequest
        fitting = [
            one
            for one in reversed(gateway.records)
            if action in (None, one["action"]) and (cursor is None or one["seq"] < cursor)
        ]
        more = fitting[1]["seq"] if len(fitting) > 2 else None
        return {"items": fitting[:2], "next_cursor": more, "names": names}

    @app.get("/api/v1/audit/export")
    async def export(kind: Annotated[str, Query(alias="format")]) -> Response:
        rows = [f"{one['seq']},{one['action']}" for one in gateway.records]
        return Response("\r\n".join(["seq,action", *rows]) if kind == "csv" else "{}")

    return app
