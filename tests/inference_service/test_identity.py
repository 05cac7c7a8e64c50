"""Readings belong to a unit, models change hands by engineers, and nothing else is believed."""

import time
from typing import Any

import httpx
import pytest

from diagnosis.contracts import Problem
from diagnosis.errors import PromotionRefused
from diagnosis.identity import HEADER, Role
from diagnosis.results import MemoryResults
from tests.fixtures.identity import CSRF, Acting, signed
from tests.fixtures.live_service import DISEASE, Live, Start
from tests.inference_service.pictures import BRIGHT, DARK

READ = f"/api/v1/diseases/{DISEASE}/predictions"
VERSIONS = f"/api/v1/diseases/{DISEASE}/versions"
ROLL_BACK = f"/api/v1/diseases/{DISEASE}/rollback"


def refused(answer: httpx.Response, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert Problem.model_validate_json(answer.content).code == code


def acting(live: Live, *roles: Role, **changes: Any) -> httpx.AsyncClient:
    """Another client of the same service."""
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(live.app),
        base_url="http://inference",
        auth=Acting(*roles, **changes),
    )


async def test_without_an_identity_only_the_private_side_answers(live: Live) -> None:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(live.app), base_url="http://inference"
    ) as nobody:
        for path in ("/healthz", "/readyz", "/metrics"):
            assert (await nobody.get(path)).status_code == 200
        for path in ("/api/v1/diseases", "/api/v1/openapi.json", "/nowhere", "/docs", READ):
            answer = await nobody.get(path)
            refused(answer, 401, "not-signed-in")
            assert answer.headers["www-authenticate"].startswith("Bearer")
        refused(await nobody.post(READ, files={"image": BRIGHT}), 401, "not-signed-in")
        twice = [(HEADER, value) for value in signed(Role.CLINICIAN).values()] * 2
        refused(await nobody.get("/api/v1/predictions", headers=twice), 401, "not-signed-in")
        metrics = (await nobody.get("/metrics")).text
    assert 'sightline_refusals_total{code="not-signed-in"}' in metrics


async def test_a_reading_says_who_made_it_and_for_whom(live: Live) -> None:
    async with acting(live, Role.CLINICIAN, sub="u_ada", unit="cardiology") as ada:
        made = (await ada.post(READ, files={"image": BRIGHT})).json()
    assert (made["created_by"], made["unit"]) == ("u_ada", "cardiology")


async def test_a_reading_of_another_unit_is_as_if_it_did_not_exist(live: Live) -> None:
    async with (
        acting(live, Role.CLINICIAN, unit="cardiology") as ours,
        acting(live, *Role, unit="surgery") as theirs,
    ):
        made = (await ours.post(READ, files={"image": BRIGHT})).json()
        address = f"/api/v1/predictions/{made['id']}"
        for path in (address, f"{address}/image", f"{address}/heatmap"):
            refused(await theirs.get(path), 404, "unknown-prediction")
        refused(await theirs.delete(address), 404, "unknown-prediction")
        assert (await theirs.get("/api/v1/predictions")).json()["items"] == []
        cursor = "f" * 32
        paged = await theirs.get("/api/v1/predictions", params={"cursor": cursor})
        assert paged.json()["items"] == []

        # Their own reading of the same image goes without taking ours along.
        again = (await theirs.post(READ, files={"image": BRIGHT})).json()
        assert again["image"]["digest"] == made["image"]["digest"]
        assert (await theirs.delete(f"/api/v1/predictions/{again['id']}")).status_code == 204
        assert (await ours.get(f"{address}/image")).status_code == 200
        assert (await ours.delete(address)).status_code == 204
        assert live.service.images.get(made["image"]["digest"]) is None
    assert [*live.service.settings.image_dir.rglob("*")] != []
    assert not [one for one in live.service.settings.image_dir.rglob("*") if len(one.name) == 64]


async def test_nobody_but_clinicians_sees_readings(live: Live) -> None:
    made = (await live.read(BRIGHT)).json()
    address = f"/api/v1/predictions/{made['id']}"
    for role in set(Role) - {Role.CLINICIAN}:
        async with acting(live, role) as other:
            for path in ("/api/v1/predictions", address, f"{address}/image", f"{address}/heatmap"):
                answer = await other.get(path)
                refused(answer, 403, "forbidden")
                assert "clinician" in answer.json()["detail"]
            refused(await other.delete(address), 403, "forbidden")
            refused(await other.post(READ, files={"image": DARK}), 403, "forbidden")
    assert (await live.client.get(address)).status_code == 200


FORGED: list[dict[str, str]] = [
    {},
    {"x-csrf-token": CSRF},
    {"sec-fetch-site": "same-origin"},
    {"sec-fetch-site": "same-origin", "x-csrf-token": "another"},
    {"sec-fetch-site": "same-origin", "x-csrf-token": ""},
    {"sec-fetch-site": "cross-site", "x-csrf-token": CSRF},
    {"sec-fetch-site": "same-site", "x-csrf-token": CSRF},
    {"origin": "http://elsewhere.example", "x-csrf-token": CSRF},
    {"origin": "null", "x-csrf-token": CSRF},
    {"origin": "http://[", "x-csrf-token": CSRF},
    {"sec-fetch-site": "same-origin", "origin": "http://inference.x", "x-csrf-token": CSRF},
]


async def test_what_no_page_of_ours_sent_is_refused(live: Live) -> None:
    made = (await live.read(BRIGHT)).json()
    address = f"/api/v1/predictions/{made['id']}"
    async with acting(live, Role.CLINICIAN, page=False) as session:
        for headers in FORGED:
            answer = await session.post(READ, files={"image": BRIGHT}, headers=headers)
            refused(answer, 403, "forged-request")
            refused(await session.delete(address, headers=headers), 403, "forged-request")
        # Reading on changes nothing and is not asked for a token.
        assert len((await session.get("/api/v1/predictions")).json()["items"]) == 1


async def test_a_page_of_ours_and_a_key_may_post(live: Live) -> None:
    async with acting(live, Role.CLINICIAN, page=False) as session:
        ours = {"origin": "http://inference", "x-csrf-token": CSRF}
        answer = await session.post(READ, files={"image": BRIGHT}, headers=ours)
        assert answer.status_code == 201
    async with acting(live, Role.CLINICIAN, via="key") as program:
        assert (await program.post(READ, files={"image": BRIGHT})).status_code == 201


async def test_an_engineer_rolls_back_and_promotes(live: Live) -> None:
    async with acting(live, Role.ENGINEER) as engineer:
        listed = (await engineer.get(VERSIONS)).json()
        assert listed["live"] == "2"
        assert [one["role"] for one in listed["items"]] == ["published", "live"]
        refused(await engineer.post(ROLL_BACK), 409, "no-earlier-version")
        done = await engineer.post(f"{VERSIONS}/1/promotion", json={"acknowledged_by": "Dr. Who"})
        assert done.status_code == 200, done.text
        assert done.json()["live"] == "1"
        assert (await engineer.post(f"{VERSIONS}/1/promotion")).json()["live"] == "1"
        back = await engineer.post(ROLL_BACK)
        assert back.json()["live"] == "2"
        refused(await engineer.post(f"{VERSIONS}/7/promotion"), 404, "unknown-version")
        refused(await engineer.post(f"{VERSIONS}/..%2f1/promotion"), 404, "not-found")
        for path in ("versions/1/promotion", "rollback"):
            answer = await engineer.post(f"/api/v1/diseases/gout/{path}")
            refused(answer, 404, "unknown-disease")
        wrong = await engineer.post(f"{VERSIONS}/1/promotion", json={"acknowledged_by": ""})
        refused(wrong, 422, "invalid-request")


async def test_a_version_that_does_not_pass_its_checks_is_not_promoted(live: Live) -> None:
    folder = live.service.registry.folder(DISEASE, "1")
    (folder / "card.json").write_text("{}")
    async with acting(live, Role.ENGINEER) as engineer:
        refused(await engineer.post(f"{VERSIONS}/1/promotion"), 409, "model-refused")
        assert (await engineer.get(VERSIONS)).json()["live"] == "2"


async def test_a_promotion_asks_for_a_password_of_the_last_two_minutes(live: Live) -> None:
    old = int(time.time()) - 121
    for path in (f"{VERSIONS}/1/promotion", ROLL_BACK):
        async with acting(live, Role.ENGINEER, auth_time=old) as engineer:
            refused(await engineer.post(path), 403, "reauthentication-needed")
            assert (await engineer.get(VERSIONS)).status_code == 200
        async with acting(live, Role.ENGINEER, via="key") as program:
            refused(await program.post(path), 403, "reauthentication-needed")
        async with acting(live, Role.CLINICIAN, Role.ADMIN) as other:
            refused(await other.post(path), 403, "forbidden")


async def test_a_promotion_that_lowers_sensitivity_wants_a_name(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = await start(MemoryResults())

    def check(card: object, before: object, acknowledged_by: str | None) -> bool:
        if acknowledged_by is None:
            raise PromotionRefused("The sensitivity would be lower.")
        return True

    monkeypatch.setattr("diagnosis.artifacts.registry.check_promotion", check)
    async with acting(live, Role.ENGINEER) as engineer:
        answer = await engineer.post(f"{VERSIONS}/1/promotion")
        refused(answer, 409, "promotion-refused")
        assert "acknowledged_by" in answer.json()["remedy"]
        named = await engineer.post(f"{VERSIONS}/1/promotion", json={"acknowledged_by": "A. B."})
        assert named.json()["live"] == "1"
    [*_, last] = live.service.registry.state(DISEASE).history
    assert last.acknowledged_by == "A. B."
