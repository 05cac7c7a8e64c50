"""The reference that a card gets: of images that its gate lets through, and of enough of them."""

from functools import partial

import numpy as np
import pytest

from diagnosis.artifacts import Registry
from diagnosis.drift import COMPARED, Images, make_reference
from tests.fixtures import images
from tests.fixtures.gates import blot, film, open_film_gate
from trainer.data import Example
from trainer.drift import FEWEST_IMAGES, images_of, reference_of
from trainer.settings import PROJECT

pytestmark = pytest.mark.xdist_group("film-gate")

SHIPPED = Registry(PROJECT / "models")
CHEST = "chest_xray_pneumonia"
FILMS, BLOTS = 64, 3


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Images:
    """What is seen of 64 made films and three blots, which the gate refuses."""
    folder = tmp_path_factory.mktemp("films")
    pictures = [film(seed) for seed in range(5000, 5000 + FILMS)]
    pictures += [blot(seed) for seed in range(BLOTS)]
    examples = []
    for number, picture in enumerate(pictures):
        path = folder / f"{number}.png"
        path.write_bytes(images.encode(picture, "PNG"))
        name = "pneumonia" if number % 2 else "normal"
        examples.append(Example(path, name, f"{number:064x}", str(number // 2)))
    second = np.random.default_rng(1).random(len(examples))
    return images_of(
        SHIPPED.card(CHEST, "2"),
        open_film_gate(),
        examples,
        np.stack([1 - second, second], axis=1),
        np.arange(len(examples)) // 2,
        workers=2,
    )


def test_images_that_the_gate_refuses_are_no_part_of_it(found: Images) -> None:
    assert FEWEST_IMAGES <= len(found.kept) <= FILMS
    assert len(found.kept) == len(found.probabilities) == len(found.labels) == len(found.groups)
    # Label and answer of an image stay together.
    second = np.random.default_rng(1).random(FILMS + BLOTS)
    assert set(found.probabilities[:, 1]) <= set(second)
    assert found.classes[1] == found.finding == "pneumonia"


def test_enough_images_make_a_reference(found: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.drift.make_reference", partial(make_reference, draws=20))
    said: list[str] = []
    made = reference_of(found, "made films", said.append)
    assert made is not None
    assert (made.images, made.measured_on) == (len(found.kept), "made films")
    assert said == []


@pytest.mark.parametrize("kept", [FEWEST_IMAGES - 1, 0])
def test_too_few_make_none_and_it_is_said(found: Images, kept: int) -> None:
    said: list[str] = []
    assert reference_of(found.of(np.arange(kept)), "made films", said.append) is None
    assert "too few images" in said[0]


def test_a_class_without_an_image_makes_none(found: Images) -> None:
    said: list[str] = []
    one = found.of(found.labels == 0)
    many = one.of(np.resize(np.arange(len(one.kept)), 2 * FEWEST_IMAGES))
    assert reference_of(many, "made films", said.append) is None
    assert len(said) == 1


@pytest.mark.parametrize("disease", SHIPPED.diseases())
def test_every_artifact_that_ships_has_one(disease: str) -> None:
    card = SHIPPED.card(disease, SHIPPED.versions(disease)[-1])
    assert card.reference is not None
    assert tuple(card.reference.limits) == COMPARED
    assert 0.9 * card.evaluation.images <= card.reference.images <= card.evaluation.images
    assert len(card.reference.model_dump_json()) < 9000
