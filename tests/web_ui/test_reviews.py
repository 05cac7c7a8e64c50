"""Agreeing, disagreeing, correcting, reading first, and going along the worklist."""

import html
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import httpx
import pytest

from diagnosis.contracts import NewReview, Prediction, Review, new_prediction_id, now
from diagnosis.identity import Role
from tests.fixtures.identity import Acting, somebody
from tests.web_ui.stand_in import StandIn
from tests.web_ui.stand_in_catalogue import BRIGHT, DARK, MIDDLE, coloured_picture
from tests.web_ui.stand_in_gateway import COOKIE, StandInGateway
from web_ui.app import create_app
from web_ui.caller import Caller
from web_ui.context import Context
from web_ui.read_first import for_list
from web_ui.settings import Settings

PNEUMONIA = "chest_xray_pneumonia"


def text_of(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def read(stand_in: StandIn, image: bytes, disease: str = PNEUMONIA) -> Prediction:
    return stand_in.read(stand_in.disease(disease), image)


@asynccontextmanager
async def pages_of(
    settings: Settings, stand_in: StandIn, *, mode: str = "choice", **identity: object
) -> AsyncIterator[httpx.AsyncClient]:
    """The pages with a mode of reading first, asked by somebody."""
    app = create_app(
        settings.model_copy(update={"read_first": mode}),
        transport=httpx.ASGITransport(stand_in.app),
        gateway=httpx.ASGITransport(StandInGateway().app),
    )
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app, raise_app_exceptions=False),
        base_url="http://sightline.test",
        auth=Acting(Role.CLINICIAN, **identity),
    ) as client:
        yield client


async def say(client: httpx.AsyncClient, one: Prediction, **fields: str) -> httpx.Response:
    return await client.post(f"/readings/{one.id}/reviews", data=fields)


async def test_a_review_stands_on_the_reading_with_author_time_and_note(
    client: httpx.AsyncClient, stand_in: StandIn
) -> None:
    one = read(stand_in, BRIGHT)
    assert "Nobody has reviewed this reading yet." in (await client.get(f"/readings/{one.id}")).text
    answer = await say(client, one, verdict="disagree", note="An old scar.\r\nSee <2019>.")
    assert (answer.status_code, answer.headers["location"]) == (
        303,
        f"/readings/{one.id}?said=disagree",
    )
    [kept] = stand_in.reviews[one.id]
    assert (kept.kind, kept.verdict, kept.class_id) == ("review", "disagree", None)
    assert kept.note == "An old scar.\nSee <2019>."
    page = (await client.get(answer.headers["location"])).text
    text = text_of(page)
    assert "Recorded: you disagree." in text
    assert "Disagreed An old scar. See <2019>. Test Person ," in text
    assert f'<time datetime="{kept.created_at.isoformat()}"' in page


async def test_a_later_review_stands_above_the_earlier_ones(
    client: httpx.AsyncClient, stand_in: StandIn
) -> None:
    one = read(stand_in, BRIGHT)
    await say(client, one, verdict="agree")
    await say(client, one, verdict="correct", class_id="normal")
    text = text_of((await client.get(f"/readings/{one.id}")).text)
    assert text.index("Corrected to Normal") < text.index("Agreed")
    assert [item.verdict for item in stand_in.reviews[one.id]] == ["agree", "correct"]


async def test_the_page_says_what_one_agrees_with(
    client: httpx.AsyncClient, stand_in: StandIn
) -> None:
    for image, counts_as in ((MIDDLE, "Pneumonia"), (DARK, "Normal")):
        page = (await client.get(f"/readings/{read(stand_in, image).id}")).text
        assert f"The model\N{RIGHT SINGLE QUOTATION MARK}s answer counts as: {counts_as}." in page


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"verdict": "correct"}, "Choose the class that it is."),
        ({"kind": "first_opinion"}, "Choose what you see"),
        ({"verdict": "agree", "note": "x" * 2001}, "The note is too long."),
        ({"verdict": "maybe"}, "The form arrived malformed."),
        ({}, "The form arrived malformed."),
        ({"kind": "first_opinion", "class_id": "../x"}, "The form arrived malformed."),
        ({"kind": "verdict", "verdict": "agree"}, "The form arrived malformed."),
    ],
    ids=lambda one: None,
)
async def test_what_is_no_review_is_refused_with_what_is_missing(
    client: httpx.AsyncClient, stand_in: StandIn, fields: dict[str, str], said: str
) -> None:
    one = read(stand_in, BRIGHT)
    answer = await say(client, one, **fields)
    assert answer.status_code == 422
    assert said in answer.text
    assert stand_in.reviews == {}


async def test_a_review_needs_the_token_of_the_session(
    settings: Settings, stand_in: StandIn
) -> None:
    one = read(stand_in, BRIGHT)
    async with pages_of(settings, stand_in, page=False) as client:
        answer = await client.post(
            f"/readings/{one.id}/reviews",
            data={"verdict": "agree"},
            headers={"sec-fetch-site": "same-origin"},
        )
    assert answer.status_code == 403
    assert stand_in.reviews == {}


async def test_a_long_note_in_any_script_fits(client: httpx.AsyncClient, stand_in: StandIn) -> None:
    one = read(stand_in, BRIGHT)
    answer = await say(client, one, verdict="agree", note="\N{DEVANAGARI LETTER KA}" * 2000)
    assert answer.status_code == 303
    assert len(stand_in.reviews[one.id][0].note) == 2000


#: What only an answer has on a page of a reading.
ANSWER = (
    "answer-figure", "bar-percent", "bar-mark", "Likely", "Uncertain", "Most probable",
    "\N{NO-BREAK SPACE}%", "data-heatmap", "/heatmap", "points-table", "older than",
    "counts as", "reviews-list",
)  # fmt: skip


async def test_reading_first_nothing_of_the_answer_is_on_the_page_until_the_own_opinion(
    settings: Settings, stand_in: StandIn
) -> None:
    one = read(stand_in, MIDDLE)
    address = f"/readings/{one.id}"
    async with pages_of(settings, stand_in, mode="always") as client:
        page = (await client.get(address)).text
        assert [word for word in ANSWER if word in page] == []
        assert "What do you see?" in page
        assert "Image check passed" in page
        heatmap = await client.get(f"{address}/heatmap?class=pneumonia")
        assert heatmap.status_code == 409
        assert "Your own opinion comes first" in heatmap.text
        early = await say(client, one, verdict="agree")
        assert (early.status_code, stand_in.reviews) == (409, {})

        answer = await say(client, one, kind="first_opinion", class_id="normal", note="Clear.")
        assert answer.headers["location"] == f"{address}?said=opinion"
        page = (await client.get(answer.headers["location"])).text
        assert [word for word in ANSWER if word not in page] == ["Likely", "Most probable"]
        assert "Your opinion is recorded." in page
        assert "First opinion: Normal Clear. Test Person ," in text_of(page)
        assert (await client.get(f"{address}/heatmap?class=pneumonia")).status_code == 200
        assert (await say(client, one, verdict="agree")).status_code == 303
    assert [item.kind for item in stand_in.reviews[one.id]] == ["first_opinion", "review"]


async def test_a_first_opinion_may_be_that_one_cannot_tell_and_counts_once(
    settings: Settings, stand_in: StandIn
) -> None:
    one = read(stand_in, MIDDLE)
    async with pages_of(settings, stand_in, mode="always") as client:
        for _ in range(2):
            answer = await say(client, one, kind="first_opinion", class_id="-")
            assert answer.status_code == 303
        assert "First opinion: cannot tell" in (await client.get(f"/readings/{one.id}")).text
    [kept] = stand_in.reviews[one.id]
    assert (kept.kind, kept.class_id) == ("first_opinion", None)


def said_by(somebody: str, one: Prediction) -> Review:
    return Review(
        **dict(NewReview(verdict="agree")),
        id=new_prediction_id(),
        prediction_id=one.id,
        created_at=now(),
        created_by=somebody,
        author="Grace Hopper",
    )


@pytest.mark.parametrize(
    ("mode", "chosen", "shut"),
    [
        ("off", True, False),
        ("choice", False, False),
        ("choice", True, True),
        ("always", False, True),
    ],
)
async def test_whose_answers_are_kept_back(
    settings: Settings, stand_in: StandIn, mode: str, chosen: bool, shut: bool
) -> None:
    one = read(stand_in, BRIGHT)
    # What another says opens nothing, and is not shown, because it tells of the answer.
    stand_in.reviews[one.id] = [said_by("u_other", one)]
    async with pages_of(settings, stand_in, mode=mode, read_first=chosen) as client:
        page = (await client.get(f"/readings/{one.id}")).text
        assert ("What do you see?" in page) is shut
        assert ("Grace Hopper" in page) is not shut
        assert ("Likely positive" in page) is not shut


async def test_an_image_that_was_not_judged_has_nothing_to_keep_back(
    settings: Settings, stand_in: StandIn
) -> None:
    one = read(stand_in, coloured_picture())
    async with pages_of(settings, stand_in, mode="always") as client:
        assert "Not judged</h1>" in (await client.get(f"/readings/{one.id}")).text


async def test_a_list_has_no_answer_that_is_kept_back(
    settings: Settings, stand_in: StandIn
) -> None:
    first, second = read(stand_in, BRIGHT), read(stand_in, BRIGHT)
    stand_in.reviews[second.id] = [said_by("u_tester", second)]
    app = create_app(
        settings.model_copy(update={"read_first": "always"}),
        transport=httpx.ASGITransport(stand_in.app),
    )
    context = app.state.context
    assert isinstance(context, Context)
    caller = Caller(request_id="", identity=somebody(Role.CLINICIAN), signed="", browser={})
    shown = await for_list(context, caller, (first, second))
    assert [shut for _, shut in shown] == [True, False]
    assert shown[0][0].band is None
    assert shown[0][0].probabilities == ()
    assert shown[1][0] == second


async def test_one_chooses_to_read_first_on_the_page_of_the_account(
    settings: Settings, client: httpx.AsyncClient, gateway: StandInGateway
) -> None:
    client.cookies.set(COOKIE, "whole")
    page = (await client.get("/account")).text
    assert "Read first from now on" in page
    answer = await client.post("/account/read-first", data={"read_first": "on"})
    assert answer.headers["location"] == "/account?done=read-first"
    assert gateway.read_first is True
    page = (await client.get("/account?done=read-first")).text
    assert "Your choice is kept." in page
    assert "Show the answer at once" in page
    await client.post("/account/read-first", data={"read_first": "off"})
    assert gateway.read_first is False


async def step(client: httpx.AsyncClient, one: Prediction, where: str, query: str = "") -> str:
    answer = await client.get(f"/readings/{one.id}/{where}{query}")
    assert answer.status_code == 303
    return answer.headers["location"]


async def test_one_goes_along_the_worklist_newest_first(
    client: httpx.AsyncClient, stand_in: StandIn
) -> None:
    oldest, middle, newest = (read(stand_in, image) for image in (BRIGHT, DARK, MIDDLE))
    assert await step(client, newest, "next") == f"/readings/{middle.id}"
    assert await step(client, middle, "next") == f"/readings/{oldest.id}"
    assert await step(client, middle, "previous") == f"/readings/{newest.id}"
    for one, where, said in ((oldest, "next", "last"), (newest, "previous", "first")):
        end = await step(client, one, where)
        assert end == f"/readings/{one.id}?said=no-{where}"
        assert f"This is the {said} reading of the list." in (await client.get(end)).text


async def test_the_filters_and_the_order_of_the_worklist_go_along(
    client: httpx.AsyncClient, stand_in: StandIn
) -> None:
    mole = read(stand_in, BRIGHT, "mole")
    clear, doubtful, found = (read(stand_in, image) for image in (DARK, MIDDLE, BRIGHT))
    urgent = f"?disease={PNEUMONIA}&sort=urgent"
    assert await step(client, found, "next", urgent) == f"/readings/{doubtful.id}{urgent}"
    assert await step(client, doubtful, "next", urgent) == f"/readings/{clear.id}{urgent}"
    assert await step(client, clear, "previous", urgent) == f"/readings/{doubtful.id}{urgent}"
    assert await step(client, clear, "next", urgent) == f"/readings/{clear.id}{urgent}&said=no-next"
    assert await step(client, clear, "next") == f"/readings/{mole.id}"
    page = (await client.get(f"/readings/{found.id}{urgent}&foreign=1")).text
    assert f'href="/readings/{found.id}/next{html.escape(urgent)}"' in page
    assert f'action="/readings/{found.id}/reviews{html.escape(urgent)}"' in page
    answer = await client.post(f"/readings/{found.id}/reviews{urgent}", data={"verdict": "agree"})
    assert answer.headers["location"] == f"/readings/{found.id}{urgent}&said=agree"


async def test_a_reading_that_fits_the_filter_no_more_still_has_its_place(
    client: httpx.AsyncClient, stand_in: StandIn
) -> None:
    oldest, middle, newest = (read(stand_in, image) for image in (BRIGHT, DARK, MIDDLE))
    await say(client, middle, verdict="agree")
    query = "?review=open"
    assert await step(client, middle, "next", query) == f"/readings/{oldest.id}{query}"
    assert await step(client, middle, "previous", query) == f"/readings/{newest.id}{query}"


async def test_reading_first_the_order_of_the_list_tells_nothing(
    settings: Settings, stand_in: StandIn
) -> None:
    clear, found, doubtful = (read(stand_in, image) for image in (DARK, BRIGHT, MIDDLE))
    query = "?band=uncertain&sort=urgent"
    async with pages_of(settings, stand_in, mode="always") as client:
        assert await step(client, doubtful, "next", query) == f"/readings/{found.id}{query}"
        assert await step(client, found, "next", query) == f"/readings/{clear.id}{query}"


def of_patient(stand_in: StandIn, one: Prediction, patient: str) -> Prediction:
    told = one.model_copy(update={"patient_reference": patient})
    stand_in.readings[one.id] = told
    return told


async def test_the_patients_images_stand_beside_the_reading(
    client: httpx.AsyncClient, stand_in: StandIn
) -> None:
    mine = [of_patient(stand_in, read(stand_in, image), "ab" * 32) for image in (DARK, BRIGHT)]
    other = of_patient(stand_in, read(stand_in, MIDDLE), "cd" * 32)
    page = (await client.get(f"/readings/{mine[1].id}")).text
    assert "2 readings of this patient" in page
    shown = re.findall(r'<img src="/readings/([0-9a-f-]{36})/thumbnail"', page)
    assert [UUID(one) for one in shown] == [mine[1].id, mine[0].id]
    assert page.count('aria-current="page"') == 2  # the navigation's, and this reading
    assert "ab" * 32 not in page
    alone = (await client.get(f"/readings/{other.id}")).text
    assert "The only reading of this patient" in alone
    unknown = (await client.get(f"/readings/{read(stand_in, DARK).id}")).text
    assert "No patient reference came with this image" in unknown


async def test_the_patients_other_readings_keep_their_answers_back_too(
    settings: Settings, stand_in: StandIn
) -> None:
    mine = [of_patient(stand_in, read(stand_in, image), "ab" * 32) for image in (DARK, BRIGHT)]
    async with pages_of(settings, stand_in, mode="always") as client:
        await say(client, mine[0], kind="first_opinion", class_id="normal")
        page = (await client.get(f"/readings/{mine[1].id}")).text
    assert "Likely negative: Pneumonia" in text_of(page)
    assert "Likely positive" not in page


async def test_a_thumbnail_that_the_browser_has_is_not_sent_again(
    client: httpx.AsyncClient, stand_in: StandIn
) -> None:
    address = f"/readings/{read(stand_in, BRIGHT).id}/thumbnail"
    first = await client.get(address)
    assert first.headers["content-type"] == "image/jpeg"
    assert first.headers["cache-control"] == "private, no-cache"
    again = await client.get(address, headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]


async def test_the_answer_says_what_became_of_images_with_this_probability(
    client: httpx.AsyncClient, stand_in: StandIn
) -> None:
    page = (await client.get(f"/readings/{read(stand_in, BRIGHT).id}")).text
    said = "Of 64 validation images that got 80.0 % to 90.0 %, 85.0 % (80.0 to 90.0) were labelled"
    assert said in text_of(page).replace("\N{NO-BREAK SPACE}", " ")
    assert 'class="bar-interval" x1="80.0%" x2="90.0%"' in page


async def test_how_good_the_model_is_comes_with_the_numbers_it_was_measured_on(
    client: httpx.AsyncClient, stand_in: StandIn
) -> None:
    one = read(stand_in, BRIGHT)
    text = text_of((await client.get(f"/readings/{one.id}")).text)
    assert "Sensitivity n = 80 with the finding 95.3 % 93.1 to 97.0" in text
    assert "Specificity n = 40 without it 92.8 % 88.9 to 95.7" in text
    assert "Sex: female n = 100 AUC 0.971" in text
    # A version that is gone leaves the figures that the reading itself has.
    gone = one.model_copy(update={"artifact": one.artifact.model_copy(update={"version": "9"})})
    stand_in.readings[one.id] = gone
    text = text_of((await client.get(f"/readings/{one.id}")).text)
    assert "Sensitivity 95.3 % 93.1 to 97.0" in text


async def test_the_card_of_a_version_is_asked_for_once(
    client: httpx.AsyncClient, stand_in: StandIn
) -> None:
    for image in (BRIGHT, DARK):
        page = (await client.get(f"/readings/{read(stand_in, image).id}")).text
        assert "n = 80 with the finding" in text_of(page)
        # Were it asked for again, it would have no counts.
        stand_in.cards[PNEUMONIA] = {"evaluation": {}}
    other = (await client.get(f"/readings/{read(stand_in, BRIGHT, 'mole').id}")).text
    assert "n = 200 with the finding" in text_of(other)
