"""A search goes on where it stopped, asks only the training split and names its best settings."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from diagnosis.catalogue import disease
from tests.trainer.conftest import MakeImages
from trainer import search as searching
from trainer.cli import app
from trainer.data import Example
from trainer.recipes import load
from trainer.refusals import DataRefused, RecipeRefused, TrainerRefused
from trainer.run import Request, Run
from trainer.search import Plan, search
from trainer.settings import Settings
from trainer.space import Choices, Range, read_space
from trainer.splits import group_folds

CHEST = disease("chest_xray_pneumonia")
CNN5 = load("cnn5", CHEST, laptop=True)
SPACE = """
["from-scratch.learning_rate"]
low = 1e-4
high = 1e-2
log = true

[weighting]
choices = ["none", "class"]
"""


def space(folder: Path, text: str = SPACE) -> Path:
    (folder / "space.toml").write_text(text)
    return folder / "space.toml"


def test_a_space_names_settings_of_the_recipe_by_their_types(tmp_path: Path) -> None:
    found = read_space(space(tmp_path, SPACE + "[batch]\nlow = 4\nhigh = 16\n"), CNN5)
    assert [one.key.name for one in found] == ["batch", "from-scratch.learning_rate", "weighting"]
    assert found[0].extent == Range(4, 16, log=False, whole=True)
    assert found[2].extent == Choices(("none", "class"))
    assert [one.own() for one in found] == [8, 1e-3, "class"]
    clip = read_space(space(tmp_path, '["from-scratch.clip_norm"]\nchoices = ["none", 2.0]'), CNN5)
    assert [clip[0].value(word) for word in ("none", "2")] == [None, 2.0]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "names no setting"),
        ("[", "cannot be read as TOML"),
        ("[colour]\nlow = 1", "has no setting 'colour'"),
        ("[weighting]\nlow = 0\nhigh = 1", "list its `choices`"),
        ('[weighting]\nchoices = ["all", "class"]', "one of none, class, family"),
        ("[weighting]\nchoices = []", "at least two"),
        ("[batch]\nlow = 8\nhigh = 4", "less than"),
        ("[batch]\nlow = 1.5\nhigh = 4", "whole"),
        ("[strength]\nlow = 0\nhigh = 1\nlog = true", "above 0"),
        ("[strength]\nlow = 0\nhigh = 1\nstep = 2", "takes `choices`"),
    ],
)
def test_a_space_that_makes_no_sense_gets_a_sentence(
    text: str, sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(RecipeRefused) as refused:
        read_space(space(tmp_path, text), CNN5)
    assert sentence in str(refused.value)


def test_folds_hold_every_class_and_separate_no_group() -> None:
    examples = [
        Example(Path(f"{number}"), "normal" if number % 3 else "pneumonia", f"{number}", f"{group}")
        for number in range(36)
        for group in [f"patient {number // 4 * 3 + number % 3}"]
    ]
    folds = group_folds(examples, 3)
    assert sum(map(len, folds)) == 36
    for number, fold in enumerate(folds):
        assert {one.class_id for one in fold} == set(CHEST.class_ids)
        others = {one.group for other in folds[number + 1 :] for one in other}
        assert not others & {one.group for one in fold}
    with pytest.raises(DataRefused, match="too few for 13 folds"):
        group_folds(examples, 13)


@pytest.fixture
def request_(tmp_path: Path, make_images: MakeImages) -> Request:
    sizes = {"train": 6, "val": 2, "test": 2}
    counts = {f"{side}/{one}": n for side, n in sizes.items() for one in CHEST.class_ids}
    return Request(
        disease=CHEST.id,
        data=make_images(tmp_path / "films", counts),
        recipe="cnn5",
        out=tmp_path / "unused",
        licence="CC0 1.0",
        laptop=True,
    )


def test_a_search_goes_on_after_a_kill_and_never_sees_the_test_split(
    tmp_path: Path, request_: Request, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training is stood in for: the score is known, so the best is too."""
    seen: Counter[str | None] = Counter()
    die_at = 5
    tried: list[float] = []

    def score(run: Run, way: Any, _frozen: Any, _metric: str) -> float:
        seen.update(one.split for side in (way.train, way.held) for one in side)
        assert {one.split for one in way.val} == {"val"}
        assert not {one.digest for one in way.train} & {one.digest for one in way.held}
        rate: float = run.recipe.phases[0].learning_rate  # type: ignore[union-attr]
        tried.append(rate)
        if len(tried) == die_at:
            raise KeyboardInterrupt
        return 1 - abs(rate - 2e-3) - 0.1 * (run.recipe.weighting == "none")

    monkeypatch.setattr(searching, "_score", score)
    plan = Plan(space(tmp_path), tmp_path / "search.log", trials=6, folds=2)
    with pytest.raises(KeyboardInterrupt):
        search(request_, plan, settings)
    cut_short = tried[-1]
    best = search(request_, plan, settings)
    assert tried[die_at] == cut_short
    assert len(tried) == 1 + 2 * 6
    assert set(seen) == {"train"}
    assert tried[0] == pytest.approx(1e-3)
    assert best.own == pytest.approx(1 - 1e-3)
    assert best.value >= best.own
    assert best.words[1] in ("weighting=class", "weighting=none")
    # All trials are there: nothing more is tried, and another request is refused.
    assert search(request_, plan, settings) == best
    assert len(tried) == 1 + 2 * 6
    with pytest.raises(TrainerRefused, match="another request"):
        search(replace(request_, seed=1), plan, settings)
    plan.storage.write_text("a list of things to buy")
    with pytest.raises(TrainerRefused, match="no file of a search"):
        search(request_, plan, settings)


def test_a_combination_that_is_known_to_go_wrong_is_left_out_of_the_search(
    tmp_path: Path, request_: Request, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "_score", lambda *_: 0.5)
    text = '["from-scratch.best"]\nchoices = ["val_recall", "val_auc"]'
    plan = Plan(space(tmp_path, text), tmp_path / "search.log", trials=6)
    assert search(request_, plan, settings).words == ("from-scratch.best=val_auc",)
    text = '["from-scratch.best"]\nchoices = ["val_recall", "val_precision"]'
    plan = Plan(space(tmp_path, text), tmp_path / "other.log", trials=2)
    with pytest.raises(TrainerRefused, match="Every trial was left out"):
        search(request_, plan, settings)


def test_the_command_prints_the_best_settings_as_words(
    tmp_path: Path, request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "_score", lambda *_: 0.75)
    monkeypatch.setenv("SIGHTLINE_TRAINER_CACHE_DIR", str(tmp_path / "cache"))
    words = [
        "search", CHEST.id, "--data", request_.data, "--recipe", "cnn5", "--laptop", "--space",
        space(tmp_path), "--storage", tmp_path / "search.log", "--trials", 1,
        "--licence", "CC0 1.0",
    ]  # fmt: skip
    result = CliRunner().invoke(app, [str(one) for one in words])
    assert result.exit_code == 0, result.output
    assert result.stdout == "--set from-scratch.learning_rate=0.001 --set weighting=class\n"
    assert "held-out auc 0.750; the recipe's own settings reach 0.750" in result.stderr
