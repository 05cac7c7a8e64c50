"""What a review may say, and what is counted of first opinions."""

import pytest
from pydantic import ValidationError

from diagnosis.contracts import (
    NewReview,
    OpinionCounts,
    Prediction,
    Review,
    answer_class,
    listed_band,
    new_prediction_id,
    now,
)
from diagnosis.opinions import Opined, summary
from tests.fixtures.predictions import make_prediction


def said(
    reading: Prediction, verdict: str | None = None, class_id: str | None = None, by: str = "u_ada"
) -> Review:
    """A review, or a first opinion where there is no verdict."""
    return Review.model_validate(
        {
            "id": new_prediction_id(),
            "prediction_id": reading.id,
            "created_at": now(),
            "created_by": by,
            "kind": "review" if verdict else "first_opinion",
            "verdict": verdict,
            "class_id": class_id,
            "answer_class": answer_class(reading),
        }
    )


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"verdict": "agree", "class_id": "normal"},
        {"verdict": "correct"},
        {"verdict": "perhaps"},
        {"verdict": "agree", "note": "x" * 2001},
        {"verdict": "correct", "class_id": "not a slug"},
        {"kind": "first_opinion", "verdict": "agree"},
        {"verdict": "agree", "author": "somebody else"},
    ],
    ids=repr,
)
def test_a_review_that_does_not_say_what_it_holds_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        NewReview.model_validate(fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"verdict": "agree"},
        {"verdict": "disagree", "note": "x" * 2000},
        {"verdict": "correct", "class_id": "normal"},
        {"kind": "first_opinion"},
        {"kind": "first_opinion", "class_id": "normal"},
    ],
    ids=repr,
)
def test_a_review_that_says_it_is_taken(fields: dict[str, object]) -> None:
    assert NewReview.model_validate(fields).note == fields.get("note", "")


def test_the_answer_is_the_finding_where_it_counts_as_positive_else_the_likeliest() -> None:
    reading = make_prediction(top="pneumonia")
    assert answer_class(reading) == "pneumonia"
    point = reading.operating_point
    assert point is not None
    about = point.model_copy(update={"class_id": "melanoma"})
    assert answer_class(reading.model_copy(update={"operating_point": about})) == "melanoma"
    cleared = about.model_copy(update={"positive": False})
    assert answer_class(reading.model_copy(update={"operating_point": cleared})) == "pneumonia"
    assert answer_class(make_prediction(top=None)) is None


def test_a_reading_is_listed_under_its_band_or_why_it_has_none() -> None:
    assert listed_band(make_prediction()) == "likely_positive"
    assert listed_band(make_prediction(top=None)) == "not_judged"
    assert listed_band(make_prediction().model_copy(update={"band": None})) == "none"


ANSWER, OTHER, THIRD = "pneumonia", "normal", "effusion"


@pytest.mark.parametrize(
    ("first", "later", "counted"),
    [
        # Nobody changed: the same class, or no review after the opinion.
        (ANSWER, [("agree", None)], {"readings": 1}),
        (OTHER, [("correct", OTHER)], {"readings": 1}),
        (OTHER, [("disagree", None)], {"readings": 1}),
        (OTHER, [], {}),
        # To the answer, and who could not tell before.
        (OTHER, [("agree", None)], {"readings": 1, "changed": 1, "to_model": 1, "unknown": 1}),
        (None, [("agree", None)], {"readings": 1, "changed": 1, "to_model": 1, "unknown": 1}),
        # Away from it.
        (
            ANSWER,
            [("disagree", None)],
            {"readings": 1, "changed": 1, "away_from_model": 1, "unknown": 1},
        ),
        (
            ANSWER,
            [("correct", THIRD)],
            {"readings": 1, "changed": 1, "away_from_model": 1, "unknown": 1},
        ),
        # To neither.
        (OTHER, [("correct", THIRD)], {"readings": 1, "changed": 1, "unknown": 1}),
        # The newest review counts, and a second correction tells what was right.
        (OTHER, [("agree", None), ("correct", OTHER)], {"readings": 1}),
        (
            OTHER,
            [("agree", None), ("correct", ANSWER)],
            {"readings": 1, "changed": 1, "to_model": 1, "rightly": 1},
        ),
    ],
)
def test_what_a_first_opinion_became(
    first: str | None, later: list[tuple[str, str | None]], counted: dict[str, int]
) -> None:
    reading = make_prediction(top=ANSWER)
    reviews = [said(reading, None, first), *(said(reading, *one) for one in later)]
    found = summary([Opined(reading, reviews)])
    assert found.total == OpinionCounts(**counted)
    assert [one.disease for one in found.diseases] == ([reading.disease] if counted else [])


@pytest.mark.parametrize(
    ("known", "other", "outcome"),
    [
        (ANSWER, None, "rightly"),
        (OTHER, None, "wrongly"),
        (THIRD, None, "unknown"),
        (None, ("agree", None), "rightly"),
        (None, ("correct", OTHER), "wrongly"),
        (None, ("correct", THIRD), "unknown"),
        (None, ("disagree", None), "unknown"),
        # What is known goes before what somebody holds.
        (OTHER, ("agree", None), "wrongly"),
    ],
)
def test_whether_a_mind_was_changed_rightly(
    known: str | None, other: tuple[str, str | None] | None, outcome: str
) -> None:
    reading = make_prediction(top=ANSWER)
    reviews = [said(reading, None, OTHER), said(reading, "agree")]
    if other is not None:
        reviews.append(said(reading, *other, by="u_grace"))
    total = summary([Opined(reading, reviews, known)]).total
    assert {name: getattr(total, name) for name in ("rightly", "wrongly", "unknown")} == {
        "rightly": 0,
        "wrongly": 0,
        "unknown": 0,
    } | {outcome: 1}


def test_opinions_are_counted_by_disease_and_somebody_elses_review_is_not_ones_own() -> None:
    chest = make_prediction(disease="chest_xray_pneumonia", top=ANSWER)
    skin = make_prediction(disease="skin_lesion", top=ANSWER)
    found = summary(
        [
            Opined(chest, [said(chest, None, OTHER), said(chest, "agree", by="u_grace")]),
            *[Opined(skin, [said(skin, None, OTHER), said(skin, "agree")])] * 2,
        ]
    )
    assert (found.total.readings, found.total.to_model) == (2, 2)
    assert [(one.disease, one.readings) for one in found.diseases] == [("skin_lesion", 2)]
