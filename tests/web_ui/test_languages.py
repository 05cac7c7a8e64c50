"""The language that a page answers in, and the form that chooses it."""

import re

import httpx
import pytest
from babel.messages.catalog import Message

from diagnosis.errors import ModelRefused, ModelUnavailable, ModelUnderReview
from tests.web_ui import catalogues
from web_ui import languages
from web_ui.languages import COOKIE, LANGUAGES, preferred


@pytest.mark.parametrize(
    ("cookie", "accepted", "expected"),
    [
        (None, "", "en"),
        ("fr", "es", "fr"),
        ("xx", "es", "es"),
        (None, "xx;q=0.9, hi;q=0.1", "hi"),
        (None, "es;q=0.2,fr-CA;q=0.5", "fr"),
        (None, "es;q=0", "en"),
        (None, ";;q=1,es;q=high,*", "en"),
    ],
)
def test_the_browser_s_choice_goes_before_what_it_accepts(
    cookie: str | None, accepted: str, expected: str
) -> None:
    assert preferred(cookie, accepted) == expected


async def test_a_page_says_its_language_and_a_choice_lasts(client: httpx.AsyncClient) -> None:
    page = await client.get("/about", headers={"accept-language": "fr"})
    assert '<html lang="fr" dir="ltr">' in page.text
    chosen = await client.post(
        "/language",
        data={"language": "es"},
        headers={"referer": "http://sightline.test/history?disease=x"},
    )
    assert (chosen.status_code, chosen.headers["location"]) == (303, "/history?disease=x")
    assert chosen.cookies[COOKIE] == "es"
    page = await client.get("/about", headers={"accept-language": "fr"})
    assert '<html lang="es" dir="ltr">' in page.text


@pytest.mark.parametrize(
    ("referer", "expected"),
    [
        ("", "/"),
        ("http://elsewhere.example/about", "/"),
        ("http://sightline.test//elsewhere.example/", "/elsewhere.example/"),
        ("http://sightline.test/\\\\elsewhere.example/", "/"),
    ],
)
async def test_a_choice_leads_to_no_other_host(
    client: httpx.AsyncClient, referer: str, expected: str
) -> None:
    answer = await client.post("/language", data={"language": "hi"}, headers={"referer": referer})
    assert answer.headers["location"] == expected


async def test_a_language_that_is_not_there_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post("/language", data={"language": "xx"})
    assert answer.status_code == 422
    assert COOKIE not in answer.cookies


async def test_a_choice_from_another_site_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post(
        "/language", data={"language": "es"}, headers={"origin": "http://elsewhere.example"}
    )
    assert answer.status_code == 403


def test_each_language_is_named_in_itself() -> None:
    assert set(LANGUAGES) == {"en", "es", "fr", "hi"}
    assert languages.direction() == "ltr"


@pytest.mark.parametrize("code", catalogues.TRANSLATED)
def test_what_stands_in_for_values_and_marks_is_the_same_in_each_language(code: str) -> None:
    for message in catalogues.read(code):
        if not message.id:
            continue
        ids = (message.id,) if isinstance(message.id, str) else message.id
        told = (message.string,) if isinstance(message.string, str) else message.string
        for text in filter(None, told):
            # "One day" needs no number where "two days" does.
            assert _fixed(text) in [_fixed(one) for one in ids], text


def _fixed(text: str) -> list[str]:
    """What a translation may not change: placeholders, tags, addresses."""
    return sorted(re.findall(r"%\(\w+\)s|%%|%d|<[^>]+>|`[^`]+`|\{\w+\}", text))


async def test_a_page_is_in_the_reader_s_language(client: httpx.AsyncClient) -> None:
    french = (await client.get("/about", headers={"accept-language": "fr"})).text
    assert "C&#39;est un clinicien qui décide." in french
    assert "A clinician decides." in (await client.get("/about")).text


@pytest.mark.parametrize("code", catalogues.TRANSLATED)
def test_every_text_of_the_pages_has_a_translation_and_no_other_is_kept(code: str) -> None:
    """`make translations` brings a catalogue up to the texts."""
    kept = {
        _key(message)
        for message in catalogues.read(code)
        if message.id and catalogues.is_translated(message.string)
    }
    wanted = {_key(one) for one in catalogues.texts() if one.id}
    assert kept ^ wanted == set()


def _key(message: Message) -> tuple[str, str]:
    """What a text means here, where that is said, and the text."""
    text = message.id if isinstance(message.id, str) else message.id[0]
    return message.context or "", text


def test_a_sentence_that_came_with_values_in_it_is_found_again() -> None:
    told = (
        "The image does not look like a chest X-ray; of the kinds that are known here it is most"
        " like a skin photograph."
    )
    assert languages.translated(told) == told
    with languages.speaking("fr"):
        french = languages.translated(told)
        assert french.startswith("L'image ne ressemble pas à : ")
        assert languages.translated("A sentence of nobody's.") == "A sentence of nobody's."
        limit = "The image of this reading is not kept any more; images are kept for 30 days."
        assert "30 jours" in languages.translated(limit)


@pytest.mark.parametrize("error", [ModelUnavailable, ModelRefused, ModelUnderReview])
@pytest.mark.parametrize("code", ["es", "fr", "hi"])
def test_what_a_disease_without_a_model_says_is_translated(
    error: type[ModelUnavailable], code: str
) -> None:
    """The service says what is wrong and what to do about it in one text."""
    told = f"{error.default_detail} {error.default_remedy}"
    assert languages.translated(told) == told
    with languages.speaking(code):
        found = languages.translated(told)
        parts = [languages.translated(one) for one in (error.default_detail, error.default_remedy)]
    assert found == " ".join(parts)
    assert error.default_detail not in found
    assert error.default_remedy not in found
