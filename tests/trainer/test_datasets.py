"""Every disease has a data set, a recipe and a command, on the page and in the files of facts."""

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.exceptions import TyperException
from typer.main import get_command

from diagnosis.catalogue import catalogue
from trainer.about import About, read_about
from trainer.cli import app
from trainer.commands import training
from trainer.recipes import load, names

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


def parsed(words: list[str]) -> Any:
    """The command as the CLI reads it; raises where it does not."""
    group: Any = get_command(app)
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


def test_a_command_that_the_trainer_does_not_read_is_found() -> None:
    with pytest.raises(TyperException, match="data"):
        parsed(["train", "malaria_cell", "--recipe", "cnn5"])
    with pytest.raises(TyperException, match="--recipes"):
        parsed(["train", "malaria_cell", "--data", "D", "--recipes", "cnn5"])


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
