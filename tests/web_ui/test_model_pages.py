"""The versions of a model, their history, and two of them side by side."""

from typing import Any

import httpx
import pytest

from diagnosis.contracts import VersionList
from diagnosis.errors import AlreadyAgreed, ReauthenticationNeeded
from diagnosis.identity import Role
from tests.fixtures.identity import CSRF, Acting
from tests.web_ui.stand_in import StandIn
from tests.web_ui.stand_in_catalogue import card
from tests.web_ui.test_readings import text_of
from web_ui.card_compare import Comparison, Pair
from web_ui.card_parts import Figure

MOLE = "/diseases/mole"


def figure(value: float, low: float, high: float, name: str = "auc") -> Figure:
    return Figure(name, name, value, low, high)


async def test_every_version_is_listed_with_its_figures_and_its_part(
    client: httpx.AsyncClient,
) -> None:
    text = text_of((await client.get(f"{MOLE}/versions")).text)
    assert text.index("Version 2 Published, waits") < text.index("Version 1 Live")
    for words in (
        "Version 1 is live: it reads the images.",
        "AUC 0.988 0.981 to 0.993",
        "AUC 0.983 0.973 to 0.993",
        "21 Nov 2026, 09:30 UTC Version 1 was made live",
        "Grace Hopper",
        "which auditors see",
    ):
        assert words in text, words


async def test_an_auditor_is_led_to_who_changed_it(client: httpx.AsyncClient) -> None:
    client.auth = Acting(Role.ENGINEER, Role.AUDITOR)
    assert "/audit?action=model-change" in (await client.get(f"{MOLE}/versions")).text


def stopped() -> VersionList:
    """Version 1 of mole was stopped, and an engineer has agreed."""
    return VersionList.model_validate(
        {
            "disease": "mole",
            "live": None,
            "items": [{"version": "1", "role": "shadow"}],
            "under_review": [
                {
                    "version": "1",
                    "since": "2026-11-26T09:30:00Z",
                    "past": ["input", "agreement", "posted_score"],
                    "wanted": ["clinician"],
                    "agreed": 1,
                    "agreed_until": "2026-12-03T10:15:00Z",
                }
            ],
            "history": [
                {"at": "2026-11-26T09:30:00Z", "action": action, "version": "1", "previous": None}
                for action in ("stop", "lift")
            ],
        }
    )


async def test_a_version_under_review_says_why_and_who_has_still_to_agree(
    client: httpx.AsyncClient, stand_in: StandIn
) -> None:
    stand_in.stopped["mole"] = stopped()
    text = text_of((await client.get(f"{MOLE}/versions")).text)
    for words in (
        "No version is live.",
        "Version 1 is under review",
        "The images look otherwise: brightness, contrast or sharpness.",
        "Clinicians disagree too often.",
        "In batches that were posted: The answers are spread otherwise.",
        "A clinician is still wanted.",
        "Somebody has agreed. That stands until 3 Dec 2026, 10:15 UTC",
        "Version 1 was stopped: it drifted",
        "The stop of version 1 was lifted",
    ):
        assert words in text, words


async def test_a_stop_is_lifted_on_the_page(client: httpx.AsyncClient, stand_in: StandIn) -> None:
    stand_in.stopped["mole"] = stopped()
    stand_in.lifting = ReauthenticationNeeded()
    again = await client.post(f"{MOLE}/versions/1/lift", data={"csrf_token": CSRF})
    assert again.status_code == 303
    assert again.headers["location"] == f"/confirm?next={MOLE}/versions"
    stand_in.lifting = AlreadyAgreed()
    refused = await client.post(f"{MOLE}/versions/1/lift", data={"csrf_token": CSRF})
    assert refused.status_code == 409
    assert "it takes a second person" in text_of(refused.text)
    stand_in.lifting = None
    done = await client.post(f"{MOLE}/versions/1/lift", data={"csrf_token": CSRF})
    assert (done.status_code, done.headers["location"]) == (303, f"{MOLE}/versions")
    assert "is under review" not in text_of((await client.get(f"{MOLE}/versions")).text)


async def test_a_disease_without_a_model_has_no_version(client: httpx.AsyncClient) -> None:
    text = text_of((await client.get("/diseases/skin_lesion/versions")).text)
    assert "There is no version of this model yet." in text
    compared = await client.get("/diseases/skin_lesion/compare")
    assert "There are not two versions to compare yet." in text_of(compared.text)


async def test_the_card_of_a_version_is_its_own(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"{MOLE}/versions/2")
    text = text_of(answer.text)
    assert "version 2" in text
    assert "Published, waits" in text
    assert "resnet50" in text
    assert "Read an image" not in text
    live = await client.get(f"{MOLE}/card")
    assert f"{MOLE}/versions" in live.text
    assert "Read an image" in text_of(live.text)


@pytest.mark.parametrize("version", ["3", "0", "x", "1234567", "%2e%2e"])
async def test_a_version_that_is_not_there_is_refused(
    version: str, client: httpx.AsyncClient
) -> None:
    assert (await client.get(f"{MOLE}/versions/{version}")).status_code in (404, 422)
    assert (await client.get(f"{MOLE}/compare?a=1&b={version}")).status_code in (404, 422)


async def test_two_versions_stand_side_by_side(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"{MOLE}/compare?a=1&b=2")
    text = text_of(answer.text)
    for words in (
        "Version 1 beside version 2",
        "AUC 0.983 0.973 to 0.993 0.988 0.981 to 0.993 The intervals overlap",
        "Calibration error less is better",
        "Training, recipe small_residual resnet50",
        "Training, images 4,576 5,216",
    ):
        assert words in text, words
    assert "Measured on different images" not in text
    assert "Classes" not in text.partition("What is not the same")[2]
    # Without a choice: the live one beside the newest other.
    assert text_of((await client.get(f"{MOLE}/compare")).text) == text
    same = text_of((await client.get(f"{MOLE}/compare?a=1&b=1")).text)
    assert "Choose two versions that are not the same." in same


async def test_other_images_are_said_before_the_figures(
    client: httpx.AsyncClient, stand_in: StandIn
) -> None:
    first = card("mole")
    first["evaluation"] = first["evaluation"] | {"dataset": "Other films"}
    stand_in.cards["mole"] = first
    text = text_of((await client.get(f"{MOLE}/compare?a=1&b=2")).text)
    assert text.index("Measured on different images") < text.index("Figures")
    assert "Version 1: Other films" in text


@pytest.mark.parametrize(
    ("first", "second", "name", "standing", "better"),
    [
        (figure(0.9, 0.88, 0.92), figure(0.95, 0.93, 0.97), "auc", "higher", True),
        (figure(0.95, 0.93, 0.97), figure(0.9, 0.88, 0.92), "auc", "lower", False),
        (figure(0.02, 0.01, 0.03), figure(0.05, 0.04, 0.06), "ece", "higher", False),
        (figure(0.05, 0.04, 0.06), figure(0.02, 0.01, 0.03), "ece", "lower", True),
        (figure(0.9, 0.88, 0.92), figure(0.91, 0.89, 0.93), "auc", "overlap", None),
        (figure(0.9, 0.88, 0.92), figure(0.9, 0.88, 0.92), "auc", "same", None),
        (figure(0.9, 0.88, 0.92), None, "auc", "alone", None),
    ],
)
def test_a_figure_is_better_only_where_the_intervals_say_so(
    first: Figure, second: Figure | None, name: str, standing: str, better: bool | None
) -> None:
    pair = Pair(name, first, second, less_is_better=name == "ece")
    assert pair.standing == standing
    assert pair.better is better


def _changes(first: dict[str, Any], second: dict[str, Any]) -> dict[str, list[tuple[str, ...]]]:
    return {
        section.name: [(one.name, one.first, one.second) for one in section.changes]
        for section in Comparison.of(first, second).sections
    }


def test_only_what_differs_is_told() -> None:
    assert _changes(card("mole"), card("mole")) == {}


def test_a_class_more_a_threshold_and_another_population_are_told() -> None:
    first, second = card("mole"), card("mole")
    second["classes"] = [*second["classes"], {"id": "wart", "name": "Wart"}]
    second["operating_points"] = [
        point | {"threshold": 0.3} if point["name"] == "balanced" else point
        for point in second["operating_points"]
    ]
    second["population"] = second["population"] | {"age_years_max": 90}
    second["limitations"] = [*second["limitations"], "Not for children."]
    found = _changes(first, second)
    assert found["Classes"] == [("Classes, Wart, name", "\N{EN DASH}", "Wart")]
    (threshold,) = found["Thresholds and calibration"]
    assert threshold[1:] == ("0.22", "0.3")
    assert "alanced" in threshold[0]
    assert found["Training data and recipe"] == [("Population, oldest, in years", "5", "90")]
    assert found["Licence and limits"][0][2].endswith("Not for children.")


def test_figures_near_one_are_drawn_on_a_scale_that_tells_them_apart() -> None:
    groups = {one.name: one for one in Comparison.of(card("mole"), card("mole")).groups}
    point = groups["Balanced"]
    assert point.floor == 0.8
    assert point.place(0.8) == 0
    assert point.place(1.0) == 100
    assert point.place(0.2) == 0
    assert (groups["Calibration"].floor, groups["Calibration"].ceiling) == (0.0, 0.2)
    assert groups["Figures"].ceiling == 1.0


async def test_what_probabilities_were_worth_is_drawn_and_stands_in_figures(
    client: httpx.AsyncClient, stand_in: StandIn
) -> None:
    page = (await client.get(f"{MOLE}/card")).text
    section = page.partition('id="calibration"')[2].partition("</section>")[0]
    before, _, after = section.partition('<svg class="reliability"')
    first = after.partition("</svg>")[0]
    # The finding's curve stands first: four bins, each a dot with its interval.
    assert "How often it was Melanoma" in text_of(before)
    assert first.count("<circle") == first.count("reliability-interval") == 4
    assert 'cx="10.0" cy="186.0"' in first
    text = text_of(section).replace("\N{NO-BREAK SPACE}", " ")
    assert "0.0 % to 10.0 % 64 7.0 % (0.0 to 10.0)" in text
    assert section.count('<svg class="reliability"') == 7
    # A card of before has no such record, and one that is not of this form is passed over.
    for record in ({}, {"melanoma": [{"low": 0}]}, {"melanoma": "?"}, []):
        old = card("mole")
        old["evaluation"] = old["evaluation"] | {"reliability": record}
        stand_in.cards["mole"] = old
        answer = await client.get(f"{MOLE}/card")
        assert answer.status_code == 200
        assert "How often it was" not in answer.text
