"""The worklist without scripts: what it lists, how it is narrowed, sorted and paged."""

import re
from html import unescape
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from diagnosis.contracts import (
    OpinionCounts,
    OpinionSummary,
    Review,
    answer_class,
    new_prediction_id,
    now,
)
from diagnosis.identity import Role
from tests.fixtures.identity import Acting
from tests.web_ui.stand_in import StandIn
from tests.web_ui.stand_in_catalogue import BRIGHT, DARK, MIDDLE, coloured_picture
from web_ui.opinions_view import opinion_rows

PNEUMONIA = "chest_xray_pneumonia"


def made(stand_in: StandIn, image: bytes, disease: str = PNEUMONIA, patient: str = "") -> str:
    """The id of a new reading."""
    return str(stand_in.read(stand_in.disease(disease), image, patient or None).id)


def say(stand_in: StandIn, reading: str, **said: object) -> None:
    """Something said of a reading, by the tester unless it says otherwise."""
    found = next(one for one in stand_in.readings.values() if str(one.id) == reading)
    fields = {
        "kind": "review",
        "id": new_prediction_id(),
        "prediction_id": found.id,
        "created_at": now(),
        "created_by": "u_tester",
        "answer_class": answer_class(found),
    }
    review = Review.model_validate(fields | said)
    stand_in.reviews.setdefault(found.id, []).append(review)


async def listed(client: httpx.AsyncClient, query: str = "") -> list[str]:
    """The ids of a page's rows, in their order."""
    page = (await client.get(f"/worklist{query}")).text
    return re.findall(r'data-reading="([^"]+)"', page)


async def test_a_row_says_what_was_found_when_and_what_was_said(
    client: httpx.AsyncClient, stand_in: StandIn
) -> None:
    reading = made(stand_in, BRIGHT)
    say(stand_in, reading, verdict="disagree")
    page = (await client.get("/worklist")).text
    assert f'src="/readings/{reading}/thumbnail"' in page
    assert "tone-positive" in page
    assert "Likely positive: Pneumonia" in page
    assert "Disagreed" in page
    assert "data-local" in page
    thumbnail = await client.get(f"/readings/{reading}/thumbnail")
    assert thumbnail.headers["content-type"] == "image/jpeg"


async def test_a_row_of_a_model_under_review_says_so(
    client: httpx.AsyncClient, stand_in: StandIn
) -> None:
    other, reading = made(stand_in, DARK), made(stand_in, BRIGHT)
    stand_in.under_review(stand_in.readings[UUID(reading)])
    marked = {
        one
        for one in (reading, other)
        if "Model under review" in (await client.get(f"/worklist?q={one}")).text
    }
    assert marked == {reading}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", "432"),
        ("?sort=urgent", "324"),
        ("?band=uncertain", "2"),
        ("?band=not_judged", "4"),
        ("?band=nonsense", "432"),
        ("?review=agreed", "1"),
        ("?review=open", "432"),
        ("?q=bright", ""),
        ("?q=PNEUMONIA", "432"),
        (f"?disease={PNEUMONIA}&class_id=normal", "1"),
        (f"?disease={PNEUMONIA}&class_id=glioma", "432"),
        ("?disease=skin_lesion", ""),
    ],
)
async def test_the_list_is_narrowed_and_sorted(
    client: httpx.AsyncClient, stand_in: StandIn, query: str, expected: str
) -> None:
    images = {"1": DARK, "2": MIDDLE, "3": BRIGHT, "4": coloured_picture()}
    readings = {made(stand_in, image): name for name, image in images.items()}
    say(stand_in, next(iter(readings)), verdict="agree")
    assert "".join(readings[one] for one in await listed(client, query)) == expected


async def test_readings_of_one_patient_are_a_link(
    client: httpx.AsyncClient, stand_in: StandIn
) -> None:
    first = made(stand_in, DARK, patient="7")
    made(stand_in, MIDDLE, patient="8")
    second = made(stand_in, BRIGHT, patient="7")
    page = (await client.get("/worklist")).text
    link = re.search(r'href="(/worklist\?same_patient_as=[^"]+)">2 readings of this patient', page)
    assert link
    only = await client.get(link[1])
    assert re.findall(r'data-reading="([^"]+)"', only.text) == [second, first]
    assert "Readings of one patient" in only.text
    assert '<input type="hidden" name="same_patient_as"' in only.text


async def test_rows_lead_on_with_the_list_they_stand_in(
    client: httpx.AsyncClient, stand_in: StandIn
) -> None:
    reading = made(stand_in, BRIGHT)
    page = (await client.get("/worklist?band=likely_positive&sort=urgent&q=")).text
    narrowed = "?band=likely_positive&amp;sort=urgent"
    assert f'href="/readings/{reading}{narrowed}"' in page
    assert f'href="/worklist.csv{narrowed}"' in page


@pytest.mark.parametrize("sort", ["", "sort=urgent"])
async def test_the_pages_lead_to_the_last_reading_and_back(
    client: httpx.AsyncClient, stand_in: StandIn, sort: str
) -> None:
    every = {made(stand_in, image) for image in (BRIGHT, DARK, MIDDLE, BRIGHT, DARK, MIDDLE, DARK)}
    seen: list[list[str]] = []
    address: str | None = f"/worklist?{sort}"
    while address:
        page = (await client.get(address)).text
        seen.append(re.findall(r'data-reading="([^"]+)"', page))
        following = re.search(r'rel="next" href="([^"]+)"', page)
        address = unescape(following[1]) if following else None
    assert [len(rows) for rows in seen] == [3, 3, 1]
    assert {one for rows in seen for one in rows} == every
    before = re.search(r'rel="prev" href="([^"]+)"', page)
    assert before
    page = (await client.get(unescape(before[1]))).text
    assert re.findall(r'data-reading="([^"]+)"', page) == seen[1]


async def test_an_empty_list_tells_the_first_step_and_one_without_a_hit_how_to_see_all(
    client: httpx.AsyncClient, stand_in: StandIn
) -> None:
    empty = (await client.get("/worklist")).text
    assert "Choose the examination that your image shows." in empty
    # The quickest first step is on the page itself: one press, and there is a reading.
    form = re.search(
        r'action="(/diseases/\w+/readings)" method="post" enctype="multipart/form-data">'
        r'.*?name="demo" value="([^"]+)"',
        empty,
        re.DOTALL,
    )
    assert form
    begun = await client.post(form[1], files={"demo": (None, form[2])})
    assert begun.status_code == 303
    assert "There is no reading yet" not in (await client.get("/worklist")).text
    made(stand_in, BRIGHT)
    page = (await client.get("/worklist?review=corrected")).text
    assert "No reading fits this choice." in page


async def test_who_reads_first_sees_no_hint_of_an_answer(pages: FastAPI, stand_in: StandIn) -> None:
    mine, open_one = made(stand_in, BRIGHT), made(stand_in, BRIGHT)
    say(stand_in, mine, kind="first_opinion")
    dark = made(stand_in, DARK)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(pages),
        base_url="http://sightline.test",
        auth=Acting(Role.CLINICIAN, read_first=True),
    ) as client:
        page = (await client.get("/worklist?band=likely_positive&sort=urgent")).text
        rows = dict(re.findall(r'data-reading="([^"]+)">(.*?)</li>', page, re.DOTALL))
        assert list(rows) == [dark, open_one, mine]
        assert "Likely positive" in rows[mine]
        for shut in (rows[open_one], rows[dark]):
            assert "Your opinion comes first" in shut
            assert not re.search("Likely|Pneumonia:|tone-positive|tone-negative|%", shut)
        assert 'name="band"' not in page
        assert 'name="sort"' not in page


async def test_the_old_address_leads_to_the_worklist(client: httpx.AsyncClient) -> None:
    answer = await client.get("/history?disease=mole")
    assert (answer.status_code, answer.headers["location"]) == (308, "/worklist?disease=mole")


async def test_a_page_is_told_of_what_came_in_since_it_was_made(
    client: httpx.AsyncClient, stand_in: StandIn
) -> None:
    made(stand_in, DARK)
    page = (await client.get("/worklist")).text
    address = re.search(r'data-events="([^"]+)"', page)
    assert address
    fresh = made(stand_in, BRIGHT)
    stream = await client.get(address[1])
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert stream.headers["cache-control"] == "no-store"
    assert re.findall(r"^id: (.*)$", stream.text, re.MULTILINE) == [fresh]
    # A browser that comes again says itself what it has heard.
    again = await client.get(address[1], headers={"last-event-id": fresh})
    assert "event: prediction" not in again.text


async def test_minds_that_were_changed_are_drawn_and_counted(
    client: httpx.AsyncClient, stand_in: StandIn
) -> None:
    empty = (await client.get("/opinions")).text
    assert "No first opinion yet" in empty
    for first, known in (("normal", "pneumonia"), ("normal", "normal"), ("pneumonia", "pneumonia")):
        reading = made(stand_in, BRIGHT)
        say(stand_in, reading, kind="first_opinion", class_id=first)
        say(stand_in, reading, verdict="agree")
        say(stand_in, reading, verdict="correct", class_id=known, created_by="u_2")
    page = (await client.get("/opinions")).text
    assert 'aria-label="Kept: 1; Changed, rightly: 1; Changed, wrongly: 1"' in page
    cells = re.findall(r'<th scope="row">All diseases</th>(.*?)</tr>', page, re.DOTALL)[0]
    assert re.findall(r"<td>(\d+)</td>", cells) == ["3", "2", "2", "0", "1", "1", "0"]


def test_the_parts_of_a_bar_fill_it(stand_in: StandIn) -> None:
    counts = OpinionCounts(readings=7, changed=4, rightly=2, wrongly=1, unknown=1)
    (row,) = opinion_rows(OpinionSummary(total=counts))
    assert [part.count for part in row.parts] == [3, 2, 1, 1]
    assert sum(part.width for part in row.parts) == pytest.approx(100, abs=0.1)
    assert opinion_rows(OpinionSummary(total=OpinionCounts())) == ()
