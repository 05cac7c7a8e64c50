"""Every disease has a data set, a recipe and a command, on the page and in the files of facts."""

import re
import shlex
import tomllib
from pathlib import Path

import click
import numpy as np
import pytest
from PIL import Image
from typer.main import get_command

from diagnosis.catalogue import catalogue
from tests.trainer.conftest import train_eagerly
from trainer.about import About, read_about
from trainer.batches import Images
from trainer.cli import app
from trainer.commands import training
from trainer.fitting import predict
from trainer.recipes import load, names
from trainer.run import Request
from trainer.settings import Settings
from trainer.train import fit_all, prepare
from trainer.workplace import workplace

# TensorFlow's variables and NumPy 2 disagree on a keyword; nothing of ours.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "data.md").read_text()
FACTS = sorted((ROOT / "trainer" / "datasets").glob("*.toml"))
TRAINED = [one.id for one in catalogue().values() if one.classes]


def section(disease_id: str) -> str:
    return PAGE.split(f"\n## {disease_id}\n")[1].split("\n## ")[0]


def commands(text: str) -> list[list[str]]:
    """The commands of the trainer in the code blocks of a text, as words."""
    blocks = re.findall(r"```\n(.*?)```", text, flags=re.DOTALL)
    return [
        shlex.split(block.replace("\\\n", " "))[1:]
        for block in blocks
        if block.startswith(".venv/bin/trainer ")
    ]


def parsed(words: list[str]) -> click.Context:
    """The command as the CLI reads it; raises where it does not."""
    group = get_command(app)
    assert isinstance(group, click.Group)
    return group.commands[words[0]].make_context(words[0], words[1:])


def facts_of(disease_id: str) -> Path:
    found = [one for one in FACTS if tomllib.loads(one.read_text()).get("disease") == disease_id]
    assert len(found) == 1, f"{disease_id} has {len(found)} files of facts"
    return found[0]


def test_the_page_has_every_disease_in_the_order_of_the_catalogue() -> None:
    assert re.findall(r"^## (.+)$", PAGE, flags=re.MULTILINE) == list(catalogue())


@pytest.mark.parametrize("disease_id", catalogue())
def test_each_disease_has_its_facts_and_a_command_that_the_trainer_reads(disease_id: str) -> None:
    text = section(disease_id)
    for label in ("Data set", "Licence", "Source", "Traps"):
        assert re.search(rf"^- \*\*{label}:\*\* \S", text, flags=re.MULTILINE)
    for words in commands(text):
        parsed(words)
    last = parsed(commands(text)[-1])
    if disease_id not in TRAINED:
        assert last.info_name == training.make_everyday_object.__name__.replace("_", "-")
        return
    assert last.info_name == "train"
    assert last.params["disease"] == disease_id
    file = facts_of(disease_id)
    assert last.params["about"] == file.relative_to(ROOT)
    about = read_about(Path("DATA"), file)
    assert about.recipe == last.params["recipe"]
    assert about.licence or last.params["licence"], "a licence is stated on one of the two ways"
    assert about.recipe in names()
    recipe = load(about.recipe, catalogue()[disease_id])
    assert bool(recipe.weights_named) == bool(last.params["weights"])


def test_the_page_refuses_a_command_that_does_not_exist() -> None:
    for words in (["train", "malaria_cell"], ["train", "x", "--data", "D", "--recipes", "y"]):
        with pytest.raises(click.UsageError):
            parsed(words)


@pytest.mark.parametrize("path", FACTS, ids=lambda path: path.stem)
def test_every_file_of_facts_is_one_and_is_honest(path: Path) -> None:
    about: About = read_about(path.parent, path)
    assert about.disease in TRAINED
    assert about.limitations
    if "NC" in (about.licence or ""):
        assert "NON-COMMERCIAL" in about.licence
        assert any("commercial" in one for one in about.limitations)
    marked = load(about.recipe, catalogue()[about.disease]).backbone
    for backbone in ("SqueezeNet", "EfficientNet-Lite0"):
        if about.licence:
            assert (backbone in about.licence) == (backbone in marked)


def test_ham10000_is_marked_as_non_commercial() -> None:
    assert "NON-COMMERCIAL" in (read_about(ROOT, facts_of("skin_lesion")).licence or "")


@pytest.mark.parametrize("disease_id", TRAINED)
def test_every_disease_is_trained_on_folders_of_its_classes(
    disease_id: str, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the cheapest recipe that any of them can take; few images, one epoch, no graphs."""
    train_eagerly(monkeypatch)
    disease = catalogue()[disease_id]
    random = np.random.default_rng(disease.order)
    for split, count in (("train", 3), ("val", 2)):
        for one in disease.classes:
            folder = tmp_path / "data" / split / (one.aliases[0] if one.aliases else one.id)
            folder.mkdir(parents=True)
            for number in range(count):
                small = random.integers(0, 256, (6, 6, 3), np.uint8)
                Image.fromarray(small).resize((40, 40)).save(folder / f"{number}.png")
    request = Request(
        disease=disease_id,
        data=tmp_path / "data",
        recipe="small_residual",
        out=tmp_path / "run",
        about=facts_of(disease_id),
        licence="Made images.",
        epochs=1,
        laptop=True,
    )
    run = prepare(request, settings)
    assert run.data.per_class() == dict.fromkeys(disease.class_ids, 5)
    with workplace(request.out, run.digest) as place:
        fitted = fit_all(run, place)
    assert [one["epoch"] for one in fitted.history] == [1]
    examples = run.data.of("val").examples
    logits = predict(fitted.built.model, Images(run.store, examples), len(examples))
    assert logits.shape == (2 * len(disease.classes), len(disease.classes))
    assert np.isfinite(logits).all()
    assert np.ptp(logits, axis=0).max() > 0, "it answers to the image"
