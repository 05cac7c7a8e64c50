"""Every error has a stable code, a fitting status, and sentences for the person who reads it."""

import re
from itertools import pairwise

import pytest

from diagnosis import errors
from diagnosis.errors import (
    ArtifactRefused,
    ImageRefused,
    InputRefused,
    ModelUnavailable,
    ReadingUnderWay,
    SightlineError,
    StoreUnavailable,
    TemporarilyUnavailable,
)


def family(parent: type[SightlineError]) -> list[type[SightlineError]]:
    """The class and all below it, those of other modules left out, in the order of the tree."""
    below = [
        one for child in parent.__subclasses__() if _belongs(child, parent) for one in family(child)
    ]
    return [parent, *below]


def _belongs(child: type[SightlineError], parent: type[SightlineError]) -> bool:
    """Whether the tree has it there: a class of two parents stands below its first."""
    return child.__module__.startswith(f"{errors.__name__}.") and child.__bases__[0] is parent


EVERY = family(SightlineError)


def test_codes_are_stable_names_and_no_two_errors_share_one() -> None:
    codes = [one.code for one in EVERY]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", code) for code in codes)


def test_every_error_defines_a_code_of_its_own() -> None:
    assert [one.__name__ for one in EVERY if "code" not in vars(one)] == []


@pytest.mark.parametrize("one", EVERY, ids=lambda one: one.__name__)
def test_the_texts_are_sentences(one: type[SightlineError]) -> None:
    error = one()
    for sentence in (error.detail, error.remedy):
        assert sentence[0].isupper() or sentence.startswith(("GET ", "`"))
        assert sentence.endswith(".")
    assert error.title
    assert not error.title.endswith(".")


def test_the_status_says_whose_turn_it_is() -> None:
    assert {one.status // 100 for one in family(InputRefused)} == {4}
    assert {one.status for one in family(ImageRefused)} <= {413, 415, 422}
    assert {one.status for one in family(ModelUnavailable)} == {409}
    assert {one.status for one in family(TemporarilyUnavailable)} == {503}
    assert {one.status for one in family(ArtifactRefused)} == {500}


def test_only_what_can_succeed_later_says_when() -> None:
    later = {*family(TemporarilyUnavailable), ReadingUnderWay}
    for one in EVERY:
        if one in later:
            assert one.retry_after is not None
            assert one.retry_after > 0
        else:
            assert one.retry_after is None


def test_the_cause_is_for_the_log_and_never_for_the_sender() -> None:
    error = StoreUnavailable(cause="redis: ConnectionError")
    assert "redis" in str(error)
    assert "redis" not in error.detail + error.remedy + error.title


def test_a_sentence_that_fits_better_replaces_the_default() -> None:
    error = InputRefused("The limit is too high.", remedy="Ask for less.")
    assert (error.detail, error.remedy) == ("The limit is too high.", "Ask for less.")
    assert str(error) == "The limit is too high."
    assert InputRefused().detail == InputRefused.default_detail


def drawn() -> list[tuple[int, str]]:
    """(depth, class name) of each line of the tree in the module's docstring."""
    lines = []
    for line in (errors.__doc__ or "").splitlines():
        if match := re.match(r"^((?:│   |    )*(?:├── |└── )?)([A-Z]\w+)(?:\s{2,}|$)", line):
            lines.append((len(match[1]) // 4, match[2]))
    return lines


def test_the_tree_at_the_top_of_the_file_is_the_tree() -> None:
    def walk(one: type[SightlineError], depth: int) -> list[tuple[int, str]]:
        children = [child for child in one.__subclasses__() if _belongs(child, one)]
        return [(depth, one.__name__)] + [
            line for child in children for line in walk(child, depth + 1)
        ]

    assert sorted(drawn()) == sorted(walk(SightlineError, 0))
    assert parents(drawn()) == parents(walk(SightlineError, 0))


def parents(tree: list[tuple[int, str]]) -> dict[str, str]:
    """The name above each name of a drawn tree."""
    found: dict[str, str] = {}
    path: list[str] = []
    for depth, name in tree:
        path[depth:] = [name]
        found |= {below: above for above, below in pairwise(path)}
    return found


def test_the_tree_names_the_codes() -> None:
    text = errors.__doc__ or ""
    for one in EVERY:
        if not one.__subclasses__():
            line = next(line for line in text.splitlines() if f" {one.__name__} " in line + " ")
            assert f" {one.code}" in line
