"""Settings of a recipe from the command line, and the combinations that are known to go wrong."""

from dataclasses import replace
from pathlib import Path

import pytest

from diagnosis.catalogue import disease
from trainer.data import Example
from trainer.overrides import as_word, keys, overridden, read_value
from trainer.recipes import Descent, Recipe, load
from trainer.refusals import RecipeRefused
from trainer.soundness import refuse_unsound, refuse_unsound_split

CHEST = disease("chest_xray_pneumonia")
CNN5 = load("cnn5", CHEST)


def changed(*words: str, recipe: Recipe = CNN5) -> Recipe:
    """The recipe with the words, checked as `trainer train` does."""
    made = overridden(recipe, words)
    refuse_unsound(made, CHEST, [word.partition("=")[0] for word in words])
    return made


def test_words_change_the_recipe_and_its_phases_by_type() -> None:
    made = changed(
        "weighting=none",
        "batch=16",
        "strength=0.5",
        "augmentations=rotate,zoom",
        "from-scratch.optimiser=sgd",
        "from-scratch.learning_rate=1e-2",
        "from-scratch.best=val_auc",
        "from-scratch.clip_norm=none",
        "from-scratch.loss=focal",
        "from-scratch.gamma=1.5",
    )
    phase = made.phases[0]
    assert isinstance(phase, Descent)
    assert (made.weighting, made.batch, made.strength) == ("none", 16, 0.5)
    assert made.augmentations == ("rotate", "zoom")
    assert (phase.optimiser, phase.learning_rate, phase.best) == ("sgd", 0.01, "val_auc")
    assert (phase.clip_norm, phase.loss, phase.gamma) == (None, "focal", 1.5)
    assert made.for_card()["from-scratch.optimiser"] == "sgd"
    assert CNN5.phases[0] == load("cnn5", CHEST).phases[0]


def test_every_setting_reads_back_the_word_it_is_written_as() -> None:
    for name in ("cnn5", "squeezenet_transfer"):
        recipe = load(name, CHEST)
        for key in keys(recipe).values():
            word = as_word(key.name, key.value)
            assert read_value(key, word.partition("=")[2]) == key.value, word


def test_a_policy_that_is_not_set_is_not_the_policy_none() -> None:
    assert overridden(CNN5, ["policy="]).policy is None
    assert overridden(CNN5, ["policy=none"]).policy == "none"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("weighting", "takes key=value"),
        ("colour=blue", "It has: augmentations, strength, policy, weighting, batch,"),
        ("from-scratch.colour=blue", "from-scratch.learning_rate"),
        ("name=other", "has no setting 'name'"),
        ("batch=many", "batch takes a whole number, not 'many'"),
        ("batch=1.5", "a whole number"),
        ("from-scratch.optimiser=lion", "one of adam, adamw, nadam, sgd, adadelta"),
        ("from-scratch.clip_norm=much", "a number or none"),
        ("augmentations=spin", "words with commas between them"),
        ("augmentations=rotate,flip_horizontal", "heart on the wrong side"),
        ("from-scratch.best=val_sensitivity", "alone cannot pick the best epoch"),
        ("from-scratch.best=recall", "alone cannot pick the best epoch"),
        ("from-scratch.best=val_kappa", "These can: val_loss"),
        ("from-scratch.loss=focal from-scratch.gamma=3", "lean on the rare class twice"),
        ("from-scratch.epochs=0", "makes no sense"),
        ("from-scratch.patience=0", "makes no sense"),
        ("from-scratch.epochs=5 from-scratch.patience=5", "never stops early"),
        ("from-scratch.learning_rate=nan", "makes no sense"),
        ("from-scratch.optimiser=adadelta", "Add --set from-scratch.learning_rate=1."),
        ("batch=0", "cannot be trained on"),
        ("strength=-1", "no strength"),
    ],
)
def test_a_word_that_makes_no_sense_gets_a_sentence(words: str, sentence: str) -> None:
    with pytest.raises(RecipeRefused) as refused:
        changed(*words.split())
    assert sentence in str(refused.value)


def test_focal_loss_goes_with_weighting_up_to_its_usual_gamma_and_beyond_without() -> None:
    changed("from-scratch.loss=focal", "from-scratch.gamma=2")
    changed("from-scratch.loss=focal", "from-scratch.gamma=3", "weighting=none")


def side(count: int, class_id: str) -> list[Example]:
    return [Example(Path(f"{class_id}{n}"), class_id, str(n), str(n)) for n in range(count)]


def test_accuracy_picks_the_best_epoch_only_where_classes_are_balanced() -> None:
    by_accuracy = changed("from-scratch.best=val_accuracy")
    even = [*side(20, "normal"), *side(22, "pneumonia")]
    uneven = [*side(20, "normal"), *side(80, "pneumonia")]
    refuse_unsound_split(by_accuracy, even, even)
    refuse_unsound_split(CNN5, uneven, uneven)
    with pytest.raises(RecipeRefused, match="Take val_balanced_accuracy"):
        refuse_unsound_split(by_accuracy, uneven, even)


def test_a_validation_split_of_a_few_images_is_refused_but_for_a_try() -> None:
    train, few = [*side(50, "normal"), *side(50, "pneumonia")], side(8, "normal")
    val = [*few, *side(16, "pneumonia")]
    with pytest.raises(RecipeRefused, match=r"8 image\(s\) of normal.*at least 10"):
        refuse_unsound_split(CNN5, train, val)
    refuse_unsound_split(CNN5, train, val, laptop=True)
    closed_form = replace(load("squeezenet_transfer", CHEST))
    refuse_unsound_split(replace(closed_form, phases=closed_form.phases[:1]), train, val)
