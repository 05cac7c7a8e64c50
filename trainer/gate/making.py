"""From folders of images to a gate in a run's folder."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from diagnosis.artifacts import Card, VerifiedArtifact, open_artifact
from diagnosis.artifacts.artifact import CARD_NAME
from diagnosis.artifacts.card import FileRecord
from diagnosis.catalogue import Disease, catalogue
from diagnosis.durable import replace_file
from diagnosis.gate import SPOILS, Gate, GateCheck, Kind, Parameters
from diagnosis.images import read_image
from trainer.candidate import RUN_NAME
from trainer.data import DataSet, read_dataset
from trainer.gate.acquisitions import Pixels, shrunk
from trainer.gate.fitting import Fit, fit
from trainer.gate.images import OtherKind, Picture, good_pictures, other_kinds, photographs
from trainer.gate.measuring import Sets, check, left_out, measured
from trainer.gate.synthetic import MADE, spoils_of
from trainer.gate.vectors import Floats, Log, Vectors, made, vectors_of
from trainer.refusals import ArtifactMissing, DataRefused, TrainerRefused
from trainer.settings import Settings
from trainer.splits import with_splits

#: Of a kind's images; where more of them are good images, the folder is that of the good ones.
_LARGEST_SHARED = 0.05
#: Mean difference of an image's channels, in grey levels, above which it is in colour.
_COLOURED = 4.0
PHOTOGRAPHS = "natural photographs"


@dataclass(frozen=True)
class Limits:
    """How much is read and tried; the figures of a smaller gate mean less."""

    good: int = 600
    """Good images to fit to; half as many are measured."""
    other: int = 400
    """Images of each other kind to fit to; half as many are measured."""
    made: int = 300
    """Synthetic images of each kind to fit to; half as many are measured."""
    times: int = 3
    """How often each good image is altered."""
    leave_out: bool = True
    """Whether the gate is fitted again without each kind."""

    @classmethod
    def laptop(cls) -> "Limits":
        """A try in seconds."""
        return cls(good=16, other=12, made=12, times=1, leave_out=False)


@dataclass(frozen=True)
class Pictures:
    """Good images: some to fit to, others, of other groups, to measure on."""

    fitted: tuple[Picture, ...]
    held: tuple[Picture, ...]


@dataclass(frozen=True)
class Made:
    """A gate and the content of its file."""

    gate: Gate
    content: bytes

    def record(self) -> FileRecord:
        """Of the file; named by its content, so that a new one never takes an old one's place."""
        digest = hashlib.sha256(self.content).hexdigest()
        return FileRecord(
            name=f"gate-{digest[:12]}.bin", digest=f"sha256:{digest}", bytes=len(self.content)
        )

    def on(self, card: Card) -> Card:
        """The card with this gate."""
        files = card.files.model_copy(update={"gate": self.record()})
        return card.model_copy(update={"files": files, "gate": self.gate})


def make_gate(
    disease: Disease,
    pictures: Pictures,
    others: Sequence[OtherKind] = (),
    *,
    described: str,
    limits: Limits | None = None,
    demos: Sequence[bytes] = (),
    workers: int = 2,
    seed: int = 0,
    log: Log = lambda _: None,
) -> Made:
    """Fit and measure a gate.

    Args:
        disease: of the catalogue.
        pictures: good images.
        others: other kinds; without them it is fitted to synthetic images only. One of the same
            modality is passed over, as is one that holds the good images under another name.
        described: the data the good images are from.
        limits: how much is done.
        demos: the artifact's demo images, which ought to pass.
        workers: threads that read images.
        seed: of every choice by chance.
        log: told what is done.

    Raises:
        DataRefused: too few of the good images can be read.
    """
    limits = limits or Limits()
    spoils = spoils_of(disease, in_colour=_in_colour(pictures.fitted))
    log(f"Reading {len(pictures.fitted)} good images for the gate.")
    good = vectors_of(pictures.fitted, times=limits.times, spoils=spoils, workers=workers)
    own = vectors_of(pictures.held, times=limits.times, spoils=spoils, workers=workers)
    fitted_kinds, held_kinds = {}, {}
    for kind in others:
        if kind.name == disease.modality:
            log(f"{kind.id} is passed over: it is a {disease.modality} too.")
            continue
        log(f"Reading {len(kind.fitted) + len(kind.held)} images of the kind {kind.id}.")
        rows = vectors_of(kind.fitted, times=1, workers=workers)
        if _are_among(rows.plain, np.concatenate([good.plain, own.plain])):
            log(f"{kind.id} is passed over: it holds the good images themselves.")
            continue
        fitted_kinds[kind.id] = rows.every()
        held_kinds[kind.id] = vectors_of(kind.held, times=0, workers=workers)
    words = ", ".join(fitted_kinds) or "no real image of another kind"
    for name in MADE:
        fitted_kinds[name] = made(name, limits.made, seed=seed, times=1, workers=workers).every()
        held_kinds[name] = made(name, limits.made // 2, seed=seed + 1, times=0, workers=workers)
    log("Fitting the gate.")
    found = fit(good, fitted_kinds, seed)
    unseen = vectors_of(photographs(), times=0, workers=workers) if limits.leave_out else None
    sets = Sets(
        good=own,
        others={key: one for key, one in held_kinds.items() if len(one.plain)},
        unseen={PHOTOGRAPHS: unseen} if unseen is not None and len(unseen.plain) else {},
    )
    if not len(sets.good.plain):
        raise DataRefused("None of the held-out good images can be read to measure the gate on.")
    checks = measured(found, sets) + _demo_check(found, demos)
    if limits.leave_out:
        checks += left_out(good, fitted_kinds, sets, seed, log)
    names = {one.id: one.name for one in others}
    told = {*found.kinds, *found.postures}
    gate = Gate(
        threshold=found.threshold,
        kinds=tuple(Kind(id=one, name=names.get(one, "")) for one in found.kinds),
        spoils=tuple(one for one in SPOILS if one in told),
        posture=bool(found.postures),
        components=len(found.parameters.components),
        fitted_on=_cut(
            f"{len(good.plain)} images of {described}; other kinds: {words}, and synthetic ones.",
            200,
        ),
        measured_on="Images of groups that were not fitted to. Intervals are Wilson's for 95 %, "
        "with groups counted, not images. A kind that is marked as not fitted was left out of "
        "the gate it was measured with.",
        checks=checks,
    )
    return Made(gate, found.parameters.to_bytes())


def gate_of(
    data: DataSet,
    described: str,
    others: Sequence[Path],
    *,
    limits: Limits | None = None,
    without: Sequence[str] = (),
    demos: Sequence[bytes] = (),
    workers: int = 2,
    seed: int = 0,
    log: Log = lambda _: None,
) -> Made:
    """The gate of a data set whose examples have splits; raises as `make_gate` does."""
    limits = limits or Limits()
    held = [one for one in data.examples if one.split != "train"]
    pictures = Pictures(
        good_pictures(data.of("train").examples, limits.good),
        good_pictures(held, max(1, limits.good // 2)),
    )
    kinds = tuple(
        replace(one, held=one.held[: max(1, limits.other // 2)])
        for one in other_kinds(others, data.root, limits.other, without)
    )
    return make_gate(
        data.disease,
        pictures,
        kinds,
        described=described,
        limits=limits,
        demos=demos,
        workers=workers,
        seed=seed,
        log=log,
    )


def fit_gate(
    run_folder: Path,
    data: Path,
    others: Sequence[Path],
    settings: Settings,
    *,
    limits: Limits | None = None,
    without: Sequence[str] = (),
    manifest: Path | None = None,
    seed: int = 0,
    log: Log = lambda _: None,
) -> Gate:
    """Give a finished run a gate, or another one: writes the gate's file, then the card.

    Whenever this is stopped, the run's folder holds a whole candidate: the old one or the new.

    Raises:
        ArtifactMissing: there is no such run.
        ArtifactRefused: the run's model or card does not pass its checks.
        DataRefused: the images cannot be used.
    """
    if not (run_folder / RUN_NAME).is_file():
        raise ArtifactMissing(
            f"{run_folder} is not the folder of a run. A published version never changes: give "
            "its run a gate and publish that."
        )
    artifact = open_artifact(run_folder)
    card = artifact.card
    read = _dataset(card, data, manifest, settings, seed)
    done = gate_of(
        read, card.training.dataset, others, limits=limits, without=without,
        demos=tuple(artifact.demo_images.values()), workers=settings.workers, seed=seed, log=log,
    )  # fmt: skip
    replace_file(run_folder / done.record().name, done.content)
    replace_file(run_folder / CARD_NAME, done.on(card).to_json())
    if card.files.gate is not None and card.files.gate.name != done.record().name:
        (run_folder / card.files.gate.name).unlink(missing_ok=True)
    return done.gate


def measure_gate(
    artifact: VerifiedArtifact,
    data: Path,
    others: Sequence[Path],
    settings: Settings,
    *,
    limits: Limits | None = None,
    without: Sequence[str] = (),
    manifest: Path | None = None,
    seed: int = 0,
) -> tuple[GateCheck, ...]:
    """What an artifact's gate does on images, its own numbers unchanged.

    Raises:
        ArtifactMissing: the artifact has no gate.
        DataRefused: the images cannot be used.
    """
    card, limits = artifact.card, limits or Limits()
    if card.gate is None or artifact.gate is None:
        raise ArtifactMissing(
            f"Version {card.version} of {card.disease} has no gate; `trainer gate` gives one to a "
            "run, before it is published."
        )
    read = _dataset(card, data, manifest, settings, seed)
    pictures = good_pictures(
        (one for one in read.examples if one.split != "train"), max(1, limits.good // 2)
    )
    spoils = spoils_of(read.disease, in_colour=_in_colour(pictures))
    kinds = tuple(one.id for one in card.gate.kinds)
    found = Fit(
        Parameters.from_bytes(artifact.gate, card.gate), card.gate.threshold, kinds,
        tuple(one for one in card.gate.spoils if one in ("turned", "upside_down")),
    )  # fmt: skip
    good = vectors_of(pictures, times=limits.times, spoils=spoils, workers=settings.workers)
    if not len(good.plain):
        raise DataRefused(f"None of the held-out images of {data} can be read.")
    seen: dict[str, Vectors] = {}
    unseen = {PHOTOGRAPHS: vectors_of(photographs(), times=0, workers=settings.workers)}
    for kind in other_kinds(others, data, limits.other, without):
        one = vectors_of(kind.held[: max(1, limits.other // 2)], times=0, workers=settings.workers)
        (seen if kind.id in kinds else unseen)[kind.id] = one
    sets = Sets(
        good,
        {key: one for key, one in seen.items() if len(one.plain)},
        {key: one for key, one in unseen.items() if len(one.plain)},
    )
    return measured(found, sets) + _demo_check(found, tuple(artifact.demo_images.values()))


def _dataset(
    card: Card, data: Path, manifest: Path | None, settings: Settings, seed: int
) -> DataSet:
    disease = catalogue().get(card.disease)
    if disease is None:
        raise TrainerRefused(f"The catalogue has no disease {card.disease!r}.")
    found = read_dataset(
        data,
        disease,
        manifest=manifest,
        workers=settings.workers,
        cache=settings.cache_dir,
    )
    return with_splits(found, seed=seed)


def _demo_check(fitted: Fit, demos: Sequence[bytes]) -> tuple[GateCheck, ...]:
    if not demos:
        return ()
    pictures = [
        Picture(f"demo {number}", f"demo {number}", partial(_demo, one))
        for number, one in enumerate(demos)
    ]
    rows = vectors_of(pictures, times=0)
    return (check(fitted, "demo images", rows.plain, rows.groups, good=True),)


def _demo(data: bytes) -> Pixels:
    return shrunk(read_image(data).pixels)


def _are_among(rows: Floats, good: Floats) -> bool:
    """Whether more images than chance explains have exactly the features of a good one."""
    known = {one.tobytes() for one in np.round(good, 9)}
    same = sum(one.tobytes() in known for one in np.round(rows, 9))
    return same > _LARGEST_SHARED * len(rows)


def _in_colour(pictures: Sequence[Picture]) -> bool:
    """Whether most of the first good images are."""
    votes = []
    for one in pictures[:15]:
        pixels = one.load()
        if pixels is not None:
            apart = 0.0 if pixels.ndim == 2 else float(np.ptp(pixels, axis=2).mean())
            votes.append(apart > _COLOURED)
    return bool(votes) and sum(votes) * 2 > len(votes)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."
