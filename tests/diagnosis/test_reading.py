"""What a reading says beside its figures."""

import numpy as np
import pytest

from diagnosis.artifacts import Card
from diagnosis.artifacts.card import CardClass, Conformal, ReliabilityBin
from diagnosis.catalogue import DICOM_MODALITIES, Modality, catalogue
from diagnosis.contracts import ClassProbability, Interval, Prediction
from diagnosis.images import CheckedImage
from diagnosis.preprocess import Greyscale, Preprocessing, Resize
from diagnosis.reading import compose, notices, observed, seen_side
from tests.diagnosis.test_judgement import card as plain_card

DISEASE = catalogue()["chest_xray_pneumonia"]


def image(modality: str | None = None, age: float | None = None, side: int = 12) -> CheckedImage:
    return CheckedImage(
        pixels=np.zeros((side, side + 8), np.uint8),
        width=side + 8,
        height=side,
        source_format="dicom",
        clean=b"x",
        media_type="image/png",
        digest="sha256:" + "0" * 64,
        modality=modality,
        patient_age_years=age,
    )


def card(low: float | None, high: float | None) -> Card:
    found = plain_card()
    population = found.population.model_copy(update={"age_years_min": low, "age_years_max": high})
    return found.model_copy(update={"population": population})


@pytest.mark.parametrize("age", [None, 1.0, 3.5, 5.0, 5.9])
def test_a_patient_of_the_population_gets_no_notice(age: float | None) -> None:
    assert notices(DISEASE, card(1, 5), image(age=age)) == ()


@pytest.mark.parametrize("age", [0.25, 0.99, 6.0, 63.0])
def test_a_patient_outside_it_gets_one_that_does_not_tell_the_age(age: float) -> None:
    [notice] = notices(DISEASE, card(1, 5), image(age=age))
    assert notice.code == "age-outside-population"
    assert "1 to 5 years" in notice.detail
    assert f"{age:g}" not in notice.detail.replace("1 to 5", "")


def test_a_population_open_to_one_side() -> None:
    assert notices(DISEASE, card(18, None), image(age=90)) == ()
    assert "from 18 years" in notices(DISEASE, card(18, None), image(age=17.9))[0].detail
    assert "up to 18 years" in notices(DISEASE, card(None, 18), image(age=19))[0].detail
    assert notices(DISEASE, card(None, None), image(age=19)) == ()


@pytest.mark.parametrize("modality", [None, "CR", "DX", "OT"])
def test_a_fitting_modality_gets_no_notice(modality: str | None) -> None:
    assert notices(DISEASE, card(None, None), image(modality)) == ()


def test_a_modality_that_contradicts_the_disease_gets_one() -> None:
    [notice] = notices(DISEASE, card(None, None), image("MR"))
    assert notice.code == "modality-mismatch"
    assert "MR" in notice.detail
    assert notices(catalogue()["brain_mri_tumour"], card(None, None), image("MR")) == ()


def test_every_modality_of_the_catalogue_has_its_dicom_modalities() -> None:
    assert set(DICOM_MODALITIES) == set(Modality.__args__)  # type: ignore[attr-defined]


def seeing(*sides: int) -> Card:
    """A card of a model whose images are made these sizes, one after the other."""
    steps = tuple(Resize(width=side + 4, height=side) for side in sides)
    preprocessing = Preprocessing(name="made", steps=(Greyscale(), *steps))
    size = {"width": sides[-1] + 4, "height": sides[-1]}
    found = plain_card()
    return found.model_copy(
        update={
            "input": found.input.model_copy(update=size),
            "preprocessing": preprocessing,
        }
    )


@pytest.mark.parametrize(("sides", "seen"), [((28,), 28), ((28, 224), 28), ((224, 64), 64)])
def test_a_model_of_few_pixels_says_so_when_a_larger_image_comes(
    sides: tuple[int, ...], seen: int
) -> None:
    card = seeing(*sides)
    assert seen_side(card) == seen
    [notice] = notices(DISEASE, card, image(side=2 * seen))
    assert notice.code == "low-resolution-model"
    assert f"sees {seen} pixels a side" in notice.detail
    assert notice.remedy
    assert notices(DISEASE, card, image(side=2 * seen - 1)) == ()


def test_a_model_that_sees_enough_says_nothing() -> None:
    assert notices(DISEASE, seeing(128, 224), image(side=3000)) == ()


def many_classes(count: int, quantile: float, finding: str | None = None) -> Prediction:
    """A reading by a model of so many classes; the later a class, the more probable."""
    ids = [f"class_{number}" for number in range(count)]
    found = plain_card().model_copy(
        update={
            "classes": tuple(CardClass(id=one, name=one.upper()) for one in ids),
            "finding": finding,
            "operating_points": (),
            "conformal": Conformal(
                coverage=0.9, quantiles=dict.fromkeys(ids, quantile), fitted_on="nothing"
            ),
        }
    )
    disease = catalogue()["everyday_object"]
    return compose(
        disease,
        found,
        image(),
        np.linspace(0, 5, count, dtype=np.float32),
        point=None,
        timings_ms={},
        unit="default",
        created_by="test",
        patient_reference=None,
    )


def test_of_more_than_twenty_classes_the_ten_most_probable_are_stored() -> None:
    reading = many_classes(1000, quantile=1.0)
    assert [one.id for one in reading.probabilities] == [f"class_{n}" for n in range(990, 1000)]
    assert [one.id for one in reading.top] == [f"class_{n}" for n in range(999, 994, -1)]
    assert sum(one.probability for one in reading.probabilities) < 0.5
    # The set of all thousand is not stored, so no coverage is stated for what is.
    assert (reading.conformal_set, reading.conformal_coverage) == ((), None)
    assert len(many_classes(20, quantile=1.0).probabilities) == 20
    assert len(many_classes(20, quantile=1.0).conformal_set) == 20


def test_a_set_that_is_stored_whole_keeps_its_coverage_and_the_finding_is_always_stored() -> None:
    reading = many_classes(21, quantile=0.86, finding="class_0")
    assert reading.conformal_coverage == 0.9
    assert reading.conformal_set
    assert {*reading.conformal_set} <= {one.id for one in reading.probabilities}
    assert len(reading.probabilities) == 10
    assert reading.probabilities[0].id == "class_0"


def test_what_became_of_validation_images_stands_beside_the_probability() -> None:
    share = Interval(value=0.9, low=0.8, high=0.95)
    bins = tuple(
        ReliabilityBin(low=low, high=high, images=40, share=share)
        for low, high in ((0.0, 0.3), (0.3, 1.0))
    )
    found = plain_card()
    measured = found.evaluation.model_copy(update={"reliability": {"pneumonia": bins}})
    answers = tuple(
        ClassProbability(id=name, name=name, probability=value)
        for name, value in (("normal", 0.7), ("pneumonia", 0.3))
    )
    # Of the finding, also where another class is more probable; 0.3 is still in the first bin.
    told = {"evaluation": measured, "finding": "pneumonia"}
    said = observed(found.model_copy(update=told), answers)
    assert said is not None
    assert (said.class_id, said.low, said.high, said.images) == ("pneumonia", 0.0, 0.3, 40)
    assert said.share == share
    assert observed(found, answers) is None
