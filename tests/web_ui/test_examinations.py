"""Which examination is this? What is proposed for an image, without scripts and for htmx."""

import httpx
import pytest

from diagnosis.contracts import SuggestionList
from tests.web_ui.stand_in import StandIn
from tests.web_ui.stand_in_catalogue import BRIGHT, coloured_picture


async def ask(client: httpx.AsyncClient, image: bytes, **headers: str) -> httpx.Response:
    files = {"image": ("Jane Doe 1970.png", image, "image/png")}
    return await client.post("/examinations", files=files, headers=headers)


async def test_proposals_are_links_in_the_order_of_the_api(
    client: httpx.AsyncClient, stand_in: StandIn
) -> None:
    answer = await ask(client, BRIGHT)
    assert answer.status_code == 200
    proposals = answer.text.partition('id="proposals-view"')[2].partition("</ol>")[0]
    links = ["/diseases/chest_xray_pneumonia", "/diseases/chest_xray_pneumonia_type"]
    places = [proposals.index(f'href="{link}"') for link in links]
    assert places == sorted(places)
    assert "The image passed the checks of these models." in proposals
    assert "choose the image again there" in answer.text
    assert stand_in.received == [("image", {})]
    assert not stand_in.readings


async def test_it_says_so_where_nothing_fits(client: httpx.AsyncClient) -> None:
    page = (await ask(client, coloured_picture())).text
    assert "Nothing fits" in page
    assert "No live model takes an image like this one." in page
    assert "data-hand-over" not in page


@pytest.mark.parametrize(
    ("image", "status", "title"),
    [
        (b"hello", 415, "The file is not an image"),
        (b"1" * 400_000, 413, "The file is too large"),
    ],
)
async def test_a_refusal_stands_above_the_form(
    client: httpx.AsyncClient, image: bytes, status: int, title: str
) -> None:
    answer = await ask(client, image)
    assert answer.status_code == status
    assert title in answer.text
    assert 'action="/examinations#which"' in answer.text
    part = await ask(client, image, **{"hx-request": "true"})
    assert part.status_code == status
    assert part.headers["hx-retarget"] == "#problem"
    assert title in part.text
    assert "<html" not in part.text


async def test_an_empty_form_and_a_demo_are_no_image(client: httpx.AsyncClient) -> None:
    for files in ({"image": ("", b"")}, {"demo": (None, "pneumonia-1.png")}):
        answer = await client.post("/examinations", files=files)  # type: ignore[arg-type]
        assert answer.status_code == 422
        assert "No image was chosen" in answer.text


async def test_the_address_of_the_proposals_leads_back_to_the_form(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.get("/examinations")
    assert (answer.status_code, answer.headers["location"]) == (303, "/#which")


def test_the_list_is_the_one_of_the_wire() -> None:
    assert set(SuggestionList.model_fields) == {"items", "detail", "warning"}
