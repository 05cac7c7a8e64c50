"""Reviews over HTTP: said, kept, listed, written down, and gone with their reading."""

from typing import Any
from uuid import uuid4

import pytest

from diagnosis import WARNING
from diagnosis.audit import Action, AuditOutcome
from diagnosis.contracts import OpinionSummary, Review, ReviewList
from diagnosis.identity import Role
from tests.fixtures.identity import Acting
from tests.fixtures.live_service import DISEASE, Live
from tests.inference_service.pictures import BRIGHT, DARK


async def reading(live: Live, data: bytes = BRIGHT) -> str:
    return str((await live.read(data)).json()["id"])


async def test_a_review_is_kept_with_who_said_it_and_what_the_answer_was(live: Live) -> None:
    path = f"/api/v1/predictions/{await reading(live)}/reviews"
    ada = Acting(Role.CLINICIAN, sub="u_ada", name="Ada")
    first = await live.client.post(path, json={"kind": "first_opinion"}, auth=ada)
    note = "Schatten links, धन्यवाद. " * 80
    second = await live.client.post(
        path, json={"verdict": "correct", "class_id": "normal", "note": note}, auth=ada
    )
    assert (first.status_code, second.status_code) == (201, 201)
    found = ReviewList.model_validate_json((await live.client.get(path)).content)
    assert found.warning == WARNING
    assert found.items == tuple(Review.model_validate_json(one.content) for one in (first, second))
    opinion, review = found.items
    assert (opinion.kind, opinion.verdict, opinion.class_id) == ("first_opinion", None, None)
    assert (review.created_by, review.author) == ("u_ada", "Ada")
    assert (review.class_id, review.note) == ("normal", note.strip())
    assert review.answer_class == "pneumonia"
    written = [one for one in live.events if one.action is Action.REVIEW]
    assert [(one.actor, one.outcome, one.object) for one in written] == [
        ("u_ada", AuditOutcome.ALLOWED, str(review.prediction_id))
    ] * 2


async def test_a_first_opinion_comes_first_or_not_at_all(live: Live) -> None:
    path = f"/api/v1/predictions/{await reading(live)}/reviews"
    assert (await live.client.post(path, json={"verdict": "agree"})).status_code == 201
    late = await live.client.post(path, json={"kind": "first_opinion"})
    assert (late.status_code, late.json()["code"]) == (409, "already-reviewed")
    assert live.events[-1].outcome is AuditOutcome.FAILED
    assert len((await live.client.get(path)).json()["items"]) == 1


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"verdict": "correct"},
        {"verdict": "correct", "class_id": "melanoma"},
        {"verdict": "agree", "class_id": "normal"},
        {"verdict": "agree", "note": "x" * 2001},
        {"verdict": "agree", "created_by": "u_grace"},
        {"kind": "first_opinion", "class_id": "melanoma"},
        ["agree"],
    ],
    ids=repr,
)
async def test_what_is_no_review_is_refused_and_not_sent_back(live: Live, body: Any) -> None:
    path = f"/api/v1/predictions/{await reading(live)}/reviews"
    answer = await live.client.post(path, json=body)
    assert answer.status_code == 422
    assert "melanoma" not in answer.text
    assert "xxx" not in answer.text
    assert (await live.client.get(path)).json()["items"] == []


async def test_reviews_are_of_the_own_unit_and_go_with_the_reading(live: Live) -> None:
    path = f"/api/v1/predictions/{await reading(live)}/reviews"
    await live.client.post(path, json={"verdict": "agree"})
    surgery = Acting(Role.CLINICIAN, unit="surgery")
    assert (await live.client.get(path, auth=surgery)).status_code == 404
    said = await live.client.post(path, json={"verdict": "agree"}, auth=surgery)
    assert said.status_code == 404
    assert (live.events[-1].action, live.events[-1].outcome) == (
        Action.REVIEW,
        AuditOutcome.REFUSED,
    )
    assert (await live.client.delete(path.removesuffix("/reviews"))).status_code == 204
    assert (await live.client.get(path)).status_code == 404
    gone = await live.client.post(
        f"/api/v1/predictions/{uuid4()}/reviews", json={"verdict": "agree"}
    )
    assert gone.status_code == 404


async def test_how_often_an_answer_changed_a_mind(live: Live) -> None:
    for data, opinion in ((BRIGHT, "normal"), (BRIGHT, "pneumonia"), (DARK, "pneumonia")):
        path = f"/api/v1/predictions/{await reading(live, data)}/reviews"
        await live.client.post(path, json={"kind": "first_opinion", "class_id": opinion})
        await live.client.post(path, json={"verdict": "agree"})
    found = OpinionSummary.model_validate_json((await live.client.get("/api/v1/opinions")).content)
    assert (found.total.readings, found.total.changed, found.total.to_model) == (3, 2, 2)
    assert found.complete
    assert [one.disease for one in found.diseases] == [DISEASE]
    assert live.events[-1].action is Action.EXPORT
    elsewhere = await live.client.get(
        "/api/v1/opinions", auth=Acting(Role.CLINICIAN, unit="surgery")
    )
    assert elsewhere.json()["total"]["readings"] == 0


async def test_a_demo_image_tells_whether_a_mind_was_changed_rightly(live: Live) -> None:
    demo = await live.client.get(f"/api/v1/diseases/{DISEASE}/demo-images/demo-dark.png")
    path = f"/api/v1/predictions/{await reading(live, demo.content)}/reviews"
    await live.client.post(path, json={"kind": "first_opinion", "class_id": "pneumonia"})
    await live.client.post(path, json={"verdict": "agree"})
    total = (await live.client.get("/api/v1/opinions")).json()["total"]
    assert (total["changed"], total["rightly"], total["unknown"]) == (1, 1, 0)


# ---- versions for who reads with them ----------------------------------------------------------


async def test_a_clinician_sees_versions_their_history_and_their_cards(live: Live) -> None:
    listed = (await live.client.get(f"/api/v1/diseases/{DISEASE}/versions")).json()
    assert [one["version"] for one in listed["items"]] == ["1", "2"]
    assert listed["history"][-1]["version"] == listed["live"] == "2"
    assert listed["history"][-1]["action"] == "promote"
    for version in ("1", "2"):
        card = await live.client.get(f"/api/v1/diseases/{DISEASE}/versions/{version}/card")
        assert (card.status_code, card.json()["version"]) == (200, version)
    assert card.json() == (await live.client.get(f"/api/v1/diseases/{DISEASE}/card")).json()
    for path in (
        f"{DISEASE}/versions/9/card",
        f"{DISEASE}/versions/..%2F/card",
        "no/versions/1/card",
    ):
        assert (await live.client.get(f"/api/v1/diseases/{path}")).status_code == 404
