"""`trainer train-all`: makes the artifacts that ship once more, and holds them to their cards."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from diagnosis.artifacts import Card, Registry, open_artifact
from diagnosis.catalogue import disease as disease_of
from trainer.compare import Comparison
from trainer.compare import compare as compare_two
from trainer.evaluate import evaluate
from trainer.pretrain import PretrainRequest, pretrain
from trainer.probe import Probe
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
    pretraining: int = Field(0, ge=0, le=1000)
    """Epochs of a self-supervised start on the same images."""
    bundled: bool = False
    """Too large for git: it is published apart, for the release bundle, and none is shipped."""

    @property
    def name(self) -> str:
        """What its run is called."""
        return f"{self.disease}-{self.recipe}" if self.bundled else self.disease


@dataclass(frozen=True)
class Compared:
    """A figure of the card that ships, and of the artifact that was just made."""

    disease: str
    figure: str
    shipped: float | None
    made: float | None


def shipped(only: Sequence[str] = (), path: Path = LIST) -> tuple[Shipped, ...]:
    """The artifacts that ship, or some of them, by name.

    Raises:
        TrainerRefused: there is none for one of them, or the list is not valid.
    """
    try:
        rows = tomllib.loads(path.read_text(encoding="utf-8"))["artifact"]
        found = tuple(Shipped.model_validate(row) for row in rows)
    except (KeyError, ValidationError, tomllib.TOMLDecodeError) as error:
        raise TrainerRefused(f"{path} is not a list of artifacts: {error}.") from error
    missing = sorted(set(only) - {one.name for one in found})
    if missing:
        raise TrainerRefused(f"No artifact of {', '.join(missing)} ships.")
    return tuple(one for one in found if not only or one.name in only)


def make(
    one: Shipped, data: Path, out: Path, settings: Settings, watch: Watch, *, laptop: bool = False
) -> Card:
    """Train and publish one artifact into `out/registry`, or `out/bundle` where it is not tracked.

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
        manifest = out / f"{one.name}.csv"
        if not manifest.exists():
            relabel(place, disease_of(one.disease), one.patterns, manifest)
    run = out / one.name
    if not run.exists():
        start = _start(one, place, manifest, out, settings, watch, laptop=laptop)
        asked = request_of(one, data, run, manifest)
        train(replace(asked, laptop=laptop, start=start, others=(data,)), settings, watch)
    registry = home(one, out)
    versions = registry.versions(one.disease)
    if not versions:
        return publish(run, registry, settings, watch.log, half=True).card
    return registry.card(one.disease, versions[-1])


def request_of(one: Shipped, data: Path, run: Path, manifest: Path | None) -> Request:
    """What `trainer train` is asked for to make one of them, without its start and its gate."""
    return Request(
        disease=one.disease,
        data=data / one.data,
        recipe=one.recipe,
        out=run,
        manifest=manifest,
        about=FACTS / one.about,
        allow_leakage=one.allow_leakage,
        leave_copies_out=one.allow_leakage is None,
        leave_families_out=one.leave_families_out,
        overrides=one.settings,
    )


def home(one: Shipped, out: Path) -> Registry:
    """The registry that an artifact is made into."""
    return Registry(out / ("bundle" if one.bundled else "registry"))


def _start(
    one: Shipped,
    images: Path,
    manifest: Path | None,
    out: Path,
    settings: Settings,
    watch: Watch,
    *,
    laptop: bool,
) -> Path | None:
    """The self-supervised start, made where it is not there yet; says what it gains."""
    if not one.pretraining:
        return None
    file = out / f"{one.name}.start.h5"
    if not file.exists():
        request = PretrainRequest(
            disease=one.disease,
            images=images,
            recipe=one.recipe,
            out=file,
            epochs=1 if laptop else one.pretraining,
            laptop=laptop,
            probe=images,
            manifest=manifest,
        )
        done = pretrain(request, settings, watch)
        if done.before is not None and done.after is not None:
            watch.log(
                "AUC of a linear probe on its features: "
                f"{_auc(done.before)} at random, {_auc(done.after)} now."
            )
    return file


def _auc(found: Probe) -> str:
    return "undefined" if found.auc.value is None else f"{found.auc.value:.3f}"


def beside(
    one: Shipped, data: Path, out: Path, settings: Settings, watch: Watch
) -> Comparison | None:
    """An artifact that is not tracked, beside the one that ships for its disease; None without.

    Both are measured on the images of the data set's declared validation split.

    Raises:
        DataRefused: the data set declares no such split.
    """
    ships, made = Registry(settings.models_dir), home(one, out)
    versions = ships.versions(one.disease)
    if not versions:
        return None
    folders = (
        ships.folder(one.disease, versions[-1]),
        made.folder(one.disease, made.versions(one.disease)[-1]),
    )
    a, b = (
        evaluate(
            open_artifact(folder), data / one.data, settings, split="val", progress=watch.files
        )
        for folder in folders
    )
    return compare_two(a, b, (a.card.training.recipe, b.card.training.recipe))


def compare(card: Card, models: Path = PROJECT / "models") -> tuple[Compared, ...]:
    """The figures of an artifact beside those of the card that ships for its disease."""
    registry = Registry(models)
    versions = registry.versions(card.disease)
    there = None
    if versions:
        there = registry.card(card.disease, versions[-1])
    return tuple(
        Compared(card.disease, name, _figure(there, name), _figure(card, name)) for name in FIGURES
    )


def _figure(card: Card | None, name: str) -> float | None:
    found = card.evaluation.figures.get(name) if card else None
    return found.value if found else None
