"""Making, showing and deleting a reading without scripts, and what bad input gets."""

import html
import re
from dataclasses import replace

import httpx
import pytest
from fastapi import FastAPI

from tests.fixtures.predictions import make_prediction
from tests.web_ui.stand_in import StandIn
from tests.web_ui.stand_in_catalogue import BRIGHT, DARK, MIDDLE, coloured_picture

FORM = "/diseases/chest_xray_pneumonia/readings"


def text_of(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


async def post(client: httpx.AsyncClient, image: bytes, **headers: str) -> httpx.Response:
    files = {"image": ("Jane Doe 1970.png", image, "image/png")}
    return await client.post(FORM, files=files, headers=headers)


async def shown(client: httpx.AsyncClient, image: bytes, form: str = FORM) -> str:
    answer = await client.post(form, files={"image": ("scan.png", image, "image/png")})
    assert answer.status_code == 303
    page = await client.get(answer.headers["location"])
    assert page.status_code == 200
    assert page.headers["cache-control"] == "no-store"
    return page.text


@pytest.mark.parametrize(
    ("image", "answer", "shape", "sentence"),
    [
        (
            BRIGHT,
            "Likely positive: Pneumonia",
            "tone-positive",
            "counts as positive for Pneumonia.",
        ),
        (MIDDLE, "Uncertain: Pneumonia", "tone-uncertain", "Normal , Pneumonia ."),
        (DARK, "Likely negative: Pneumonia", "tone-negative", "counts as negative for Pneumonia."),
    ],
    ids=["bright", "middle", "dark"],
)
async def test_each_band_has_its_words_and_its_shape(
    client: httpx.AsyncClient, image: bytes, answer: str, shape: str, sentence: str
) -> None:
    page = await shown(client, image)
    heading = re.search(r"<h1[^>]*>(.*?)</h1>", page)
    assert heading
    assert heading[1] == answer
    assert shape in page
    text = text_of(page)
    assert sentence in text
    assert "Threshold 41.0 % at the balanced operating point" in text
    assert "Balanced 41.0 %, in use" in text
    assert "95.3 % 93.1 to 97.0" in text
    assert "version 1, 5e5e5e5e5e5e" in text


async def test_the_bars_are_ranked_and_the_thresholds_are_on_the_finding_alone(
    client: httpx.AsyncClient,
) -> None:
    page = await shown(client, DARK)
    assert re.findall(r'<span class="bar-name">(.*?)</span>', page) == ["Normal", "Pneumonia"]
    assert page.count('<line class="bar-mark') == 3
    assert page.count("bar-mark-other") == 2
    # On the bar of the answer, above those that compare the classes.
    assert page.rindex('<line class="bar-mark') < page.index('<span class="bar-name">')


async def test_a_disease_without_a_finding_leads_with_the_most_probable_class(
    client: httpx.AsyncClient,
) -> None:
    page = await shown(client, BRIGHT, "/diseases/brain_mri_tumour/readings")
    assert "Most probable: Glioma</h1>" in page
    assert "The other 4 classes" in page


async def test_of_several_diseases_the_most_probable_leads_where_the_finding_is_excluded(
    client: httpx.AsyncClient, stand_in: StandIn
) -> None:
    """No mark of a clear image may hide another disease."""
    reading = make_prediction(classes=4)
    first, *others = reading.probabilities
    point = reading.operating_point
    assert point is not None
    negative = reading.model_copy(
        update={
            "band": "likely_negative",
            "operating_point": point.model_copy(update={"class_id": others[0].id}),
        }
    )
    stand_in.readings[negative.id] = negative
    page = (await client.get(f"/readings/{negative.id}")).text
    assert f"Most probable: {first.name}</h1>" in page
    assert f"Likely negative for {others[0].name}" in page
    assert "tone-negative" not in page
    listed = (await client.get("/worklist")).text
    assert f"Most probable: {first.name}" in listed


async def test_an_image_that_was_not_judged_says_why_and_what_to_do(
    client: httpx.AsyncClient,
) -> None:
    page = await shown(client, coloured_picture())
    assert "Not judged</h1>" in page
    assert "does not look like one this model was made for" in page
    assert "Send the original greyscale image." in page
    assert "bar-fill" not in page


async def test_what_was_not_judged_has_no_figures_and_stays_in_the_history(
    client: httpx.AsyncClient,
) -> None:
    page = await shown(client, coloured_picture())
    assert "likeness 0.31, needed 0.62" in page
    assert "bar-percent" not in page
    assert "points-table" not in page
    assert "data-heatmap" not in page
    history = (await client.get("/worklist")).text
    assert "tone-not-judged" in history
    assert "Not judged</a>" in history
    assert "does not look like one this model was made for" in history


async def test_the_image_check_comes_first(client: httpx.AsyncClient) -> None:
    page = await shown(client, BRIGHT)
    assert page.index("Image check passed") < page.index("<h1")
    without = await shown(client, BRIGHT, "/diseases/brain_mri_tumour/readings")
    assert without.index("No image check") < without.index("<h1")


async def test_every_operating_point_is_told_by_rising_threshold(
    client: httpx.AsyncClient,
) -> None:
    text = text_of(await shown(client, MIDDLE))
    rows = (
        "Rule out 18.0 % Positive 98.8 % 97.5 to 99.6 81.2 % 76.6 to 85.5",
        "Balanced 41.0 %, in use Positive 95.3 % 93.1 to 97.0 92.8 % 88.9 to 95.7",
        "Rule in 83.0 % Negative 87.1 % 83.9 to 90.2 98.9 % 97.1 to 100.0",
    )
    places = [text.index(row) for row in rows]
    assert places == sorted(places)


async def test_a_heatmap_is_a_plain_link_for_each_class_that_has_one(
    client: httpx.AsyncClient, stand_in: StandIn
) -> None:
    page = await shown(client, BRIGHT)
    [address] = set(re.findall(r'<a href="(/readings/[^"]*/heatmap[^"]*)"', page))
    assert address.endswith("?class=pneumonia")
    picture = await client.get(address)
    assert picture.headers["content-type"] == "image/png"
    assert picture.headers["cache-control"] == "private, no-cache"
    assert picture.content.startswith(b"\x89PNG")
    assert "Normal: its heatmaps did not pass their checks." in page
    refused = await client.get(address.replace("pneumonia", "normal"))
    assert refused.status_code == 404
    for wrong in ("?class=../x", "", "?class="):
        answer = await client.get(address.partition("?")[0] + wrong)
        assert answer.status_code == 422


async def test_a_model_without_heatmaps_says_so(client: httpx.AsyncClient) -> None:
    page = await shown(client, BRIGHT, "/diseases/brain_mri_tumour/readings")
    assert "No heatmap:" in page
    assert "data-heatmap" not in page


async def test_a_model_of_very_many_classes_claims_nothing_of_those_left_out(
    client: httpx.AsyncClient, stand_in: StandIn
) -> None:
    whole = await shown(client, BRIGHT, "/diseases/brain_mri_tumour/readings")
    assert "they add up to 100 %" in whole
    [(key, made)] = stand_in.readings.items()
    some = {"probabilities": made.probabilities[:3], "conformal_set": ()}
    stand_in.readings[key] = made.model_copy(update=some)
    page = (await client.get(f"/readings/{key}")).text
    assert "add up to 100 %" not in page
    assert "spread over classes that are not shown" in page
    assert "No class fits" not in page
    stand_in.readings[key] = made.model_copy(update=some | {"conformal_coverage": 0.95})
    assert (
        "No class fits this image well at 95 % coverage"
        in (await client.get(f"/readings/{key}")).text
    )


async def test_notices_stand_on_the_reading(client: httpx.AsyncClient) -> None:
    page = await shown(client, MIDDLE)
    assert "older than those the model was trained on" in page


async def test_a_reading_of_a_model_under_review_says_so_before_all_else(
    client: httpx.AsyncClient, stand_in: StandIn, pages: FastAPI
) -> None:
    reading = stand_in.read(stand_in.disease("chest_xray_pneumonia"), MIDDLE)
    stand_in.under_review(reading)
    text = text_of((await client.get(f"/readings/{reading.id}")).text)
    says = "The model that made this reading is under review: it was stopped, because"
    assert text.count(says) == 1
    assert text.index(says) < text.index("probability of Pneumonia")
    assert text.index(says) < text.index("older than those the model was trained on")
    assert "The answer may be wrong: judge the image without it." in text
    context = pages.state.context
    always = context.settings.model_copy(update={"read_first": "always"})
    pages.state.context = replace(context, settings=always)
    first = text_of((await client.get(f"/readings/{reading.id}")).text)
    assert first.index(says) < first.index("What do you see?")
    # The other notice is told with the answer.
    assert "older than those the model was trained on" not in first


async def test_the_file_name_never_leaves_the_form(
    client: httpx.AsyncClient, stand_in: StandIn
) -> None:
    answer = await post(client, BRIGHT, **{"x-request-id": "f00d"})
    page = (await client.get(answer.headers["location"])).text
    assert "Jane" not in page
    name, headers = stand_in.received[0]
    assert name == "image"
    assert headers["x-request-id"] == "f00d"
    assert not any("Jane" in value for value in headers.values())


async def test_a_demo_image_is_read_and_marked_synthetic(client: httpx.AsyncClient) -> None:
    answer = await client.post(FORM, files={"demo": (None, "pneumonia-1.png")})
    assert answer.status_code == 303
    page = (await client.get(answer.headers["location"])).text
    assert "Synthetic: shows no patient" in page


async def test_a_photo_of_the_camera_field_is_read_where_the_first_field_is_empty(
    client: httpx.AsyncClient,
) -> None:
    files = [
        ("image", ("", b"", "application/octet-stream")),
        ("image", ("photo.png", BRIGHT, "image/png")),
    ]
    assert (await client.post(FORM, files=files)).status_code == 303


@pytest.mark.parametrize(
    ("files", "status", "title", "remedy"),
    [
        ({"image": ("x.jpg", b"hello", "image/jpeg")}, 415, "not an image", "Send a JPEG, PNG"),
        ({"image": ("x.png", b"", "image/png")}, 422, "The file is empty", "Choose the image"),
        ({"image": ("", b"", "image/png")}, 422, "No image was chosen", "Choose an image first"),
        ({"other": (None, "1")}, 422, "No image was chosen", "Choose an image first"),
        ({"demo": (None, "../secret")}, 404, "nothing at this address", "start page"),
        ({"demo": (None, "no-such.png")}, 404, "nothing at this address", "start page"),
        ({"image": ("x.png", b"1" * 400_000, "i/p")}, 413, "too large", "Export the image"),
    ],
)
async def test_a_refusal_stands_above_the_form_with_what_to_do(
    client: httpx.AsyncClient,
    stand_in: StandIn,
    files: dict[str, tuple[str | None, bytes]],
    status: int,
    title: str,
    remedy: str,
) -> None:
    answer = await client.post(FORM, files=files)
    assert answer.status_code == status
    assert title in answer.text
    assert remedy in answer.text
    assert 'type="file"' in answer.text
    assert not stand_in.readings

    part = await client.post(FORM, files=files, headers={"hx-request": "true"})
    assert part.status_code == status
    assert title in part.text
    assert "<html" not in part.text


async def test_an_undeclared_length_is_limited_as_well(client: httpx.AsyncClient) -> None:
    async def endless() -> object:
        yield b'--b\r\nContent-Disposition: form-data; name="image"; filename="x"\r\n\r\n'
        for _ in range(1000):
            yield b"1" * 10_000

    answer = await client.post(
        FORM,
        content=endless(),  # type: ignore[arg-type]
        headers={"content-type": "multipart/form-data; boundary=b"},
    )
    assert answer.status_code == 413


@pytest.mark.parametrize("body", [b"", b"--b\r\ngarbage", b"image=1"])
@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=b", "multipart/form-data", "a/b"])
async def test_a_malformed_form_is_a_refusal_and_no_failure(
    client: httpx.AsyncClient, body: bytes, kind: str
) -> None:
    answer = await client.post(FORM, content=body, headers={"content-type": kind})
    assert answer.status_code == 422


async def test_no_model_is_a_conflict_on_the_page(client: httpx.AsyncClient) -> None:
    answer = await client.post(
        "/diseases/skin_lesion/readings", files={"image": ("x.png", BRIGHT, "image/png")}
    )
    assert answer.status_code == 409
    assert "No model is live for this disease" in answer.text


async def test_a_store_that_is_down_says_to_try_again(
    client: httpx.AsyncClient, stand_in: StandIn
) -> None:
    address = (await post(client, BRIGHT)).headers["location"]
    stand_in.store_down = True
    for answer in (
        await post(client, BRIGHT),
        await client.get(address),
        await client.get("/worklist"),
    ):
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "5"
        assert "try again in a few seconds" in answer.text
    stand_in.store_down = False
    assert (await client.get(address)).status_code == 200


async def test_with_htmx_the_browser_is_sent_to_the_reading(client: httpx.AsyncClient) -> None:
    answer = await post(client, BRIGHT, **{"hx-request": "true"})
    assert answer.status_code == 201
    assert (answer.json()["tone"], answer.json()["class"]) == ("positive", "Pneumonia")
    assert re.fullmatch(r"/readings/[0-9a-f-]{36}", answer.headers["hx-redirect"])


async def test_the_image_is_passed_through_and_kept_by_nobody(
    client: httpx.AsyncClient, stand_in: StandIn
) -> None:
    address = (await post(client, BRIGHT)).headers["location"]
    image = await client.get(f"{address}/image")
    assert image.content == BRIGHT
    assert image.headers["content-type"] == "image/png"
    assert image.headers["cache-control"] == "no-store"
    stand_in.images.clear()
    gone = await client.get(f"{address}/image")
    assert gone.status_code == 404
    assert "not kept any more" in gone.text
    assert "send it again" in gone.text


async def test_the_address_of_a_refusal_leads_back_to_the_form(client: httpx.AsyncClient) -> None:
    answer = await client.get(FORM)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/diseases/chest_xray_pneumonia"


async def test_a_page_of_the_history_that_is_none_says_where_to_begin(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.get("/worklist?cursor=nonsense")
    assert answer.status_code == 422
    assert "There is no such page of the worklist." in answer.text
    assert "Open the worklist from its first page." in answer.text
    assert "API" not in text_of(answer.text[answer.text.index("problem-view") :])


async def test_deleting_asks_first_and_is_gone_afterwards(
    client: httpx.AsyncClient, stand_in: StandIn
) -> None:
    address = (await post(client, BRIGHT)).headers["location"]
    assert "Delete this reading?" in (await client.get(f"{address}/delete")).text
    assert stand_in.readings
    answer = await client.post(f"{address}/delete")
    assert answer.status_code == 303
    assert "were deleted" in (await client.get(answer.headers["location"])).text
    gone = await client.get(address)
    assert gone.status_code == 404
    assert "The history lists the readings that are kept." in gone.text


@pytest.mark.parametrize("address", ["/readings/1", "/readings/..%2F..", "/readings/x/image"])
async def test_an_address_that_is_no_reading_is_not_asked_for(
    client: httpx.AsyncClient, address: str
) -> None:
    assert (await client.get(address)).status_code == 404
