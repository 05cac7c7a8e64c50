"""The wire models keep their word: nothing unknown, nothing changed, nothing lost on the way."""

from datetime import UTC, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from diagnosis import WARNING, contracts
from diagnosis.contracts import (
    ClassProbability,
    Digest,
    ImageReference,
    Prediction,
    PredictionPage,
    Problem,
    Slug,
    Wire,
    new_prediction_id,
    now,
)
from tests.fixtures.predictions import make_prediction

#: What a prediction carries from its first day; an older reader relies on each.
PROMISED = {
    "schema_version", "id", "created_at", "disease", "artifact", "image", "outcome", "reason",
    "probabilities", "band", "operating_point", "timings_ms", "created_by", "unit",
    "patient_reference",
}  # fmt: skip

MODELS = [
    one
    for one in vars(contracts).values()
    if isinstance(one, type)
    and issubclass(one, BaseModel)
    and one.__module__.startswith("diagnosis.contracts.")
]


def plain(**changes: object) -> dict[str, Any]:
    """A prediction as it comes from JSON, with some fields changed."""
    return make_prediction().model_dump(mode="json") | changes


def test_there_are_models_to_look_at() -> None:
    assert {Prediction, PredictionPage, contracts.Review} <= set(MODELS)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_model_is_frozen_and_refuses_what_it_does_not_know(model: type[Wire]) -> None:
    assert issubclass(model, Wire)
    assert model.model_config.get("frozen") is True
    assert model.model_config.get("extra") == "forbid"


def test_a_prediction_carries_what_was_promised() -> None:
    assert set(Prediction.model_fields) >= PROMISED


@pytest.mark.parametrize("top", ["pneumonia", None], ids=["judged", "not judged"])
def test_a_prediction_is_the_same_after_the_wire(top: str | None) -> None:
    prediction = make_prediction(top=top)
    assert Prediction.model_validate_json(prediction.model_dump_json()) == prediction


@given(
    probability=st.floats(0, 1),
    times=st.dictionaries(st.sampled_from(["queue", "decode"]), st.floats(0, 1e6)),
    who=st.text(max_size=30),
)
def test_figures_and_texts_survive_the_wire_exactly(
    probability: float, times: dict[str, float], who: str
) -> None:
    prediction = make_prediction().model_copy(
        update={
            "probabilities": (ClassProbability(id="a", name="A", probability=probability),),
            "timings_ms": times,
            "created_by": who,
        }
    )
    assert Prediction.model_validate_json(prediction.model_dump_json()) == prediction


def test_a_prediction_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        make_prediction().outcome = "not_judged"  # type: ignore[misc]


@pytest.mark.parametrize(
    "changes",
    [
        {"patient_name": "somebody"},
        {"schema_version": 2},
        {"outcome": "perhaps"},
        {"band": "likely"},
        {"warning": "Safe to use."},
        {"disease": "Chest X-ray"},
        {"unit": "ward}7"},
        {"id": "1"},
        {"probabilities": [{"id": "normal", "name": "Normal", "probability": 1.01}]},
        {"probabilities": [{"id": "normal", "name": "Normal", "probability": -0.01}]},
        {"probabilities": [{"id": "normal", "name": "Normal", "probability": "nan"}]},
    ],
    ids=lambda changes: str(changes)[:50],
)
def test_a_prediction_that_breaks_its_word_is_refused(changes: dict[str, object]) -> None:
    assert Prediction.model_validate(plain())
    with pytest.raises(ValidationError):
        Prediction.model_validate(plain(**changes))


@pytest.mark.parametrize("side", ["width", "height"])
def test_an_image_has_pixels(side: str) -> None:
    image = plain()["image"]
    assert ImageReference.model_validate(image)
    with pytest.raises(ValidationError):
        ImageReference.model_validate(image | {side: 0})


def test_the_warning_stands_on_every_answer_that_holds_readings() -> None:
    assert make_prediction().model_dump()["warning"] == WARNING
    assert PredictionPage(items=()).model_dump()["warning"] == WARNING
    assert contracts.DiseaseList(items=()).model_dump()["warning"] == WARNING
    batch = make_batch()
    for answer in (
        batch,
        contracts.BatchList(items=(batch,)),
        contracts.BatchItemList(items=()),
        contracts.BatchSummary(batch=batch, rows=()),
    ):
        assert answer.model_dump()["warning"] == WARNING


def make_batch(**changes: object) -> contracts.Batch:
    fields = {
        "id": new_prediction_id(),
        "disease": "chest_xray_pneumonia",
        "disease_name": "Pneumonia on a chest X-ray",
        "state": "open",
        "created_at": now(),
        "created_by": "u_ada",
    }
    return contracts.Batch.model_validate(fields | changes)


@pytest.mark.parametrize(
    ("state", "over"), [("open", False), ("running", False), ("done", True), ("cancelled", True)]
)
def test_a_batch_says_whether_it_is_over(state: str, over: bool) -> None:
    batch = make_batch(state=state, counts={"items": 3, "waiting": 1, "done": 2})
    assert batch.over is over
    assert contracts.Batch.model_validate_json(batch.model_dump_json()) == batch


@pytest.mark.parametrize("name", ["a\nb", "\x00", "a" * 101, "\x7f"])
def test_these_are_no_names_of_a_batch(name: str) -> None:
    with pytest.raises(ValidationError):
        contracts.NewBatch(disease="malaria_cell", name=name)


@pytest.mark.parametrize("number", [-1, contracts.MOST_NUMBERS])
def test_a_file_of_a_batch_has_a_number_among_as_many_as_there_may_be(number: int) -> None:
    assert contracts.BatchItem(number=contracts.MOST_NUMBERS - 1, state="waiting")
    with pytest.raises(ValidationError):
        contracts.BatchItem(number=number, state="waiting")


@pytest.mark.parametrize("text", ["", "A", "1a", "_a", "a-b", "a b", "a\n", "é", "a" * 65, "a:b"])
def test_these_are_no_slugs(text: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Slug).validate_python(text)


@pytest.mark.parametrize("text", ["a", "grade_4", "n01440764", "a" * 64])
def test_these_are_slugs(text: str) -> None:
    assert TypeAdapter(Slug).validate_python(text) == text


@pytest.mark.parametrize(
    "text", ["", "ab" * 32, f"sha256:{'AB' * 32}", f"sha256:{'ab' * 31}", f"sha256:{'ab' * 32}\n"]
)
def test_these_are_no_digests(text: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Digest).validate_python(text)


def test_ids_sort_by_the_time_they_were_made() -> None:
    made = [new_prediction_id() for _ in range(1000)]
    assert sorted(made, key=lambda one: one.hex) == made
    assert len(set(made)) == len(made)
    assert {one.version for one in made} == {7}


def test_the_time_has_its_zone_and_whole_milliseconds() -> None:
    time = now()
    assert time.tzinfo is UTC
    assert time.microsecond % 1000 == 0
    assert make_prediction().created_at < now() + timedelta(seconds=1)


def test_a_problem_is_what_the_rfc_says() -> None:
    problem = Problem(
        type="/problems/empty-file",
        title="The file is empty",
        status=422,
        detail="The file has no content.",
        code="empty-file",
        remedy="Choose the image again.",
    )
    assert set(problem.model_dump()) >= {"type", "title", "status", "detail"}


def test_what_an_older_service_says_of_a_version_under_review_is_understood() -> None:
    """While a release is brought in, new pages ask old services."""
    said = {
        "version": "1", "since": "2026-11-26T10:00:00Z", "past": ["input"],
        "wanted": ["engineer", "clinician"], "agreed": 0,
    }  # fmt: skip
    assert contracts.VersionUnderReview.model_validate(said).agreed_until is None
