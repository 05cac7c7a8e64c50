"""`trainer train-all`: makes the artifacts that ship once more, and holds them to their cards."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from diagnosis.artifacts import Card, Registry
from diagnosis.catalogue import disease as disease_of
from trainer.publish import publish
from trainer.refusals import TrainerRefused
from trainer.relabel import relabel
from trainer.run import Request, Watch
from trainer.settings import PROJECT, Settings
from trainer.train import train

LIST = Path(__file__).parent / "shipped.toml"
FACTS = Path(__file__).parent / "datasets"
#: What the table compares.
FIGURES = ("auc", "balanced_accuracy", "accuracy", "ece")


class Shipped(BaseModel):
    """How one of the artifacts that ship is made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    disease: str
    data: str
    """Folder or `.npz` file, below the folder of all data sets."""
    about: str
    """File of facts in `trainer/datasets`."""
    recipe: str
    settings: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    """Labels by the names of files, where the folders are another disease's classes."""
    leave_families_out: bool = False
    allow_leakage: str | None = None


@dataclass(frozen=True)
class Compared:
    """A figure of the card that ships, and of the artifact that was just made."""

    disease: str
    figure: str
    shipped: float | None
    made: float | None


def shipped(only: Sequence[str] = (), path: Path = LIST) -> tuple[Shipped, ...]:
    """The artifacts that ship, or those of some diseases.

    Raises:
        TrainerRefused: none ships for one of them, or the list is not valid.
    """
    try:
        rows = tomllib.loads(path.read_text(encoding="utf-8"))["artifact"]
        found = tuple(Shipped.model_validate(row) for row in rows)
    except (KeyError, ValidationError, tomllib.TOMLDecodeError) as error:
        raise TrainerRefused(f"{path} is not a list of artifacts: {error}.") from error
    missing = sorted(set(only) - {one.disease for one in found})
    if missing:
        raise TrainerRefused(f"No artifact of {', '.join(missing)} ships.")
    return tuple(one for one in found if not only or one.disease in only)


def make(
    one: Shipped, data: Path, out: Path, settings: Settings, watch: Watch, *, laptop: bool = False
) -> Card:
    """Train and publish one artifact into a registry of its own, `out/registry`.

    A run that is there already is not made again, and an unfinished one goes on.

    Args:
        one: which.
        data: folder of all data sets; its other folders are the gate's other kinds of images.
        out: where runs and registry go.
        settings: the trainer's.
        watch: who is told.
        laptop: shrink everything.

    Raises:
        TrainerRefused: the data set is not there, or cannot be used.
    """
    place = data / one.data
    if not place.exists():
        raise TrainerRefused(f"{place} is not there; docs/data.md says where it comes from.")
    out.mkdir(parents=True, exist_ok=True)
    manifest = None
    if one.patterns:
        manifest = out / f"{one.disease}.csv"
        if not manifest.exists():
            relabel(place, disease_of(one.disease), one.patterns, manifest)
    run = out / one.disease
    if not run.exists():
        request = Request(
            disease=one.disease,
            data=place,
            recipe=one.recipe,
            out=run,
            manifest=manifest,
            about=FACTS / one.about,
            allow_leakage=one.allow_leakage,
            leave_copies_out=one.allow_leakage is None,
            leave_families_out=one.leave_families_out,
            laptop=laptop,
            overrides=one.settings,
            others=(data,),
        )
        train(request, settings, watch)
    registry = Registry(out / "registry")
    versions = registry.versions(one.disease)
    if not versions:
        return publish(run, registry, settings, watch.log, half=True).card
    return Card.from_json((registry.folder(one.disease, versions[-1]) / "card.json").read_bytes())


def compare(card: Card, models: Path = PROJECT / "models") -> tuple[Compared, ...]:
    """The figures of an artifact beside those of the card that ships for its disease."""
    registry = Registry(models)
    versions = registry.versions(card.disease)
    there = None
    if versions:
        path = registry.folder(card.disease, versions[-1]) / "card.json"
        there = Card.from_json(path.read_bytes())
    return tuple(
        Compared(card.disease, name, _figure(there, name), _figure(card, name)) for name in FIGURES
    )


def _figure(card: Card | None, name: str) -> float | None:
    found = card.evaluation.figures.get(name) if card else None
    return found.value if found else None
