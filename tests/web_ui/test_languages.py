"""The language that a page answers in."""

import pytest

from web_ui.languages import COOKIE, LANGUAGES, preferred


@pytest.mark.parametrize(
    ("cookie", "accepted", "expected"),
    [
        (None, "", "en"),
        ("en", "xx", "en"),
        ("xx", "en", "en"),
        (None, "xx;q=0.9, en;q=0.1", "en"),
        (None, "en-GB,en;q=0.5", "en"),
        (None, ";;q=1,en;q=high,*", "en"),
    ],
)
def test_the_browser_s_choice_goes_before_what_it_accepts(
    cookie: str | None, accepted: str, expected: str
) -> None:
    assert preferred(cookie, accepted) == expected


def test_each_language_names_itself() -> None:
    assert LANGUAGES["en"] == "English"
    assert COOKIE.isidentifier()
