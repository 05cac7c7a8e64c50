"""`trainer train`: from a data set and a recipe to the folder of a candidate."""

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diagnosis.artifacts.card import DemoImage, Evaluation
from diagnosis.catalogue import disease as disease_of
from diagnosis.images import read_image
from diagnosis.judgement import softmax
from diagnosis.preprocess import Preprocessing
from trainer import calibration, candidate, demo, plots, report
from trainer.about import About, read_about
from trainer.augment import Augmenter, usable
from trainer.batches import Images, Source
from trainer.candidate import Parts, RunRecord, evaluation_record
from trainer.data import DataSet, Example, read_dataset
from trainer.evaluate import group_numbers
from trainer.families import Families, leave_out
from trainer.fitting import FrozenMaps, Task, fit, predict
from trainer.metrics import Floats, Scores
from trainer.pixels import PixelStore, Progress, refuse_many_unreadable
from trainer.recipes import Built, Descent, Order, Recipe, load
from trainer.refusals import DataRefused, TrainerRefused
from trainer.runtime import keras
from trainer.settings import Settings
from trainer.splits import with_splits
from trainer.transfer import Held, pooled


@dataclass(frozen=True)
class Request:
    """What `trainer train` was asked for."""

    disease: str
    data: Path
    recipe: str
    out: Path
    manifest: Path | None = None
    about: Path | None = None
    leave_families_out: bool = False
    weights: Path | None = None
    seed: int = 0
    epochs: int | None = None
    laptop: bool = False


@dataclass(frozen=True)
class Watch:
    """Who is told how training goes."""

    log: Callable[[str], None] = lambda _: None
    files: Progress | None = None
    callbacks: Callable[[str, int], Sequence[Any]] = lambda _name, _epochs: ()


def train(request: Request, settings: Settings, watch: Watch | None = None) -> Path:
    """Train a candidate; the folder appears when it is whole.

    Returns:
        The run's folder: model.keras, card.json, demo/, report.json, report.html, scores.csv.

    Raises:
        TrainerRefused: the data or the recipe cannot be used; nothing is left behind.
        UnknownDisease: the catalogue has none of this name.
    """
    watch = watch or Watch()
    if request.out.exists():
        raise TrainerRefused(f"{request.out} exists already; name another folder with --out.")
    disease = disease_of(request.disease)
    recipe = _with_epochs(load(request.recipe, disease, laptop=request.laptop), request.epochs)
    about = read_about(request.data, request.about)
    families = _families(request, about)
    data = read_dataset(request.data, disease, manifest=request.manifest, workers=settings.workers)
    data = _at_most(with_splits(data, seed=request.seed), recipe.most_images_per_class)
    store = PixelStore(settings.cache_dir, recipe.preprocessing, workers=settings.workers)
    data = store.prepare(data, watch.files)
    refuse_many_unreadable(data)
    # Once more: a class may have lost its last readable image.
    data = with_splits(data, seed=request.seed)
    run = _Run(request, settings, watch, recipe, about, families, data, store)
    request.out.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".incoming-", dir=request.out.parent))
    try:
        run.write(draft)
        draft.chmod(0o755)
        draft.rename(request.out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return request.out


class _Run:
    """One training run, its data read and its recipe chosen."""

    def __init__(
        self,
        request: Request,
        settings: Settings,
        watch: Watch,
        recipe: Recipe,
        about: About,
        families: Families,
        data: DataSet,
        store: PixelStore,
    ) -> None:
        self.request, self.settings, self.watch = request, settings, watch
        self.recipe, self.about, self.families = recipe, about, families
        self.data, self.store = data, store
        self.disease = data.disease
        self.augmenter = Augmenter(
            self.disease, usable(self.disease, recipe.augmentations), strength=recipe.strength
        )
        self.frozen: FrozenMaps = {}

    def write(self, folder: Path) -> None:
        """Train and write everything into an empty folder."""
        class_ids = self.disease.class_ids
        train, val = self.data.of("train"), self.data.of("val")
        left_out = self._leave_families_out(train, val)
        self.watch.log(f"Training {self.recipe.name} on {len(train.examples)} images.")
        built, history = self._fit(train.examples, val.examples)
        val_logits = self._logits(built, val.examples)
        described = f"{len(val.examples)} held-out images of {self.about.dataset}"
        fitted, conformal = calibration.calibrate(
            val_logits, _labels(val), class_ids, f"{described}."
        )
        val_scores = self._scores(val, val_logits, fitted.temperature)
        points = (
            calibration.operating_points(
                val_scores, self._selection(val, val_scores, left_out, fitted.temperature)
            )
            if self.disease.finding
            else ()
        )
        threshold = next((p.threshold for p in points if p.name == "balanced"), None)
        test = self.data.of("test")
        measured, name = (test, "test") if test.examples else (val, "validation")
        logits = self._logits(built, test.examples) if test.examples else val_logits
        scores = self._scores(measured, logits, fitted.temperature, threshold)
        keras_file = candidate.save_model(built.model, folder)
        parts = Parts(
            keras_file=keras_file,
            calibration=fitted,
            conformal=conformal,
            operating_points=points,
            evaluation=evaluation_record(
                scores, measured.examples, f"{self.about.dataset}, {name} split"
            ),
            transfer=tuple(self._transfer(one, fitted.temperature, threshold) for one in left_out),
            demos=self._demos(built, train, fitted.temperature, folder),
        )
        card = candidate.draft_card(
            self.disease, self.recipe, self.about, train, self.request.seed, parts
        )
        (folder / "card.json").write_bytes(card.to_json())
        rows = [("val", val.examples, val_logits)]
        rows += [("test", test.examples, logits)] if test.examples else []
        rows += [(f"left out: {one.name}", one.examples, one.logits) for one in left_out]
        candidate.write_scores(folder, rows, class_ids, self.data.root)
        (folder / "history.json").write_text(json.dumps(history, indent=1) + "\n")
        facts = report.facts(card, scores, self.data, parts.evaluation.dataset, history)
        report.write(folder, facts, plots.Curves(scores, history))
        RunRecord(
            data=str(self.request.data.absolute()),
            manifest=str(self.request.manifest.absolute()) if self.request.manifest else None,
            recipe=self.recipe.name,
            seed=self.request.seed,
            val=tuple(str(one.path.absolute()) for one in val.examples),
        ).write(folder)

    def _fit(
        self, train: Sequence[Example], val: Sequence[Example]
    ) -> tuple[Built, list[dict[str, Any]]]:
        keras().utils.set_random_seed(self.request.seed)
        built = self.recipe.build(
            Order(
                self.recipe.input,
                len(self.disease.class_ids),
                self.request.weights or self.settings.squeezenet_weights(),
            )
        )
        task = Task(
            train=train,
            val=val,
            class_ids=self.disease.class_ids,
            store=self.store,
            augmenter=self.augmenter,
            seed=self.request.seed,
            family_of=self.families.of,
            frozen=self.frozen,
            log=self.watch.log,
            callbacks=self.watch.callbacks,
        )
        return built, fit(self.recipe, built, task)

    def _logits(
        self, built: Built, examples: Sequence[Example], source: Source | None = None
    ) -> NDArray[np.float64]:
        source = source or Images(self.store, examples)
        return predict(built.model, source, len(examples)).astype(np.float64)

    def _scores(
        self, data: DataSet, logits: Floats, temperature: float, threshold: float | None = None
    ) -> Scores:
        return Scores(
            class_ids=self.disease.class_ids,
            labels=_labels(data),
            probabilities=softmax(logits, temperature),
            groups=group_numbers(data),
            finding=self.disease.finding,
            threshold=threshold if len(self.disease.class_ids) == 2 else None,
        )

    def _leave_families_out(self, train: DataSet, val: DataSet) -> list[Held]:
        """Fit again without each choice of families, and score them."""
        if not self.request.leave_families_out:
            return []
        found = []
        for one in leave_out(
            train.examples, val.examples, self.families.of, self.disease.class_ids
        ):
            self.watch.log(f"Leaving out {one.name}: {len(one.held)} images.")
            built, _ = self._fit(one.train, one.val)
            altered = Images(self.store, one.held, self.augmenter, seed=self.request.seed)
            found.append(
                Held(
                    name=one.name,
                    examples=one.held,
                    logits=self._logits(built, one.held),
                    altered=self._logits(built, one.held, altered),
                )
            )
        return found

    def _selection(
        self, val: DataSet, scores: Scores, left_out: Sequence[Held], temperature: float
    ) -> calibration.Selection:
        """What thresholds are chosen on: left-out families where there are, else validation."""
        finding = self.disease.finding or ""
        if left_out:
            return pooled(left_out, self.disease.class_ids, finding, temperature, self.families.of)
        found = self.disease.class_ids.index(finding)
        return calibration.Selection(
            scores.probabilities[:, found],
            scores.labels == found,
            np.ones(len(scores.labels)),
            f"{len(val.examples)} validation images",
        )

    def _transfer(self, held: Held, temperature: float, threshold: float | None) -> Evaluation:
        data = self.data.keep(held.examples)
        return evaluation_record(
            self._scores(data, held.logits, temperature, threshold),
            held.examples,
            f"{self.about.dataset}: {held.name}, left out of training",
        )

    def _demos(
        self, built: Built, train: DataSet, temperature: float, folder: Path
    ) -> tuple[DemoImage, ...]:
        """Sample demo images; the model sees them as the service would."""
        plain = Preprocessing.model_validate(
            {
                "name": "demo",
                "steps": [
                    {"op": "greyscale" if self.recipe.input.channels == 1 else "rgb"},
                    {"op": "resize", "width": demo.SIDE, "height": demo.SIDE},
                ],
            }
        )
        store = PixelStore(self.settings.cache_dir, plain, workers=self.settings.workers)
        images = {}
        for class_id in self.disease.class_ids:
            own = [one for one in train.examples if one.class_id == class_id]
            chosen = [own[place] for place in demo.pick(len(own), self.request.seed)]
            store.prepare(train.keep(chosen))
            images[class_id] = store.inputs(chosen)

        spec = self.recipe.preprocessing

        def probability_of(files: list[bytes], class_id: str) -> NDArray[np.float64]:
            inputs = np.stack(
                [
                    spec.apply(read_image(one, decode_at_least=spec.decode_at_least).pixels)
                    for one in files
                ]
            )
            outputs = predict(built.model, lambda chosen, _epoch: inputs[chosen], len(inputs))
            return np.asarray(
                softmax(outputs, temperature)[:, self.disease.class_ids.index(class_id)]
            )

        each = 1 if len(images) > 2 else 2
        samples = demo.sample_demos(images, probability_of, seed=self.request.seed, each=each)
        if len({one.class_id for one in samples}) < len(images):
            self.watch.log("Some classes got no demo image: none was read as its class.")
        return candidate.save_demos(samples[:3] if len(images) == 2 else samples, folder)


def _labels(data: DataSet) -> NDArray[np.int64]:
    return np.array([data.disease.class_ids.index(one.class_id) for one in data.examples], np.int64)


def _families(request: Request, about: About) -> Families:
    """The data set's families; a recipe may weigh them alike even where none is left out.

    Raises:
        DataRefused: they are to be left out, and the facts name none.
    """
    if request.leave_families_out and not about.families:
        raise DataRefused(
            "No acquisition families are known for this data: name them under [families] in its "
            "facts (about.toml in DATA, or --about)."
        )
    return Families(tuple(about.families.items()))


def _with_epochs(recipe: Recipe, epochs: int | None) -> Recipe:
    if epochs is None:
        return recipe
    phases = tuple(
        replace(phase, epochs=epochs) if isinstance(phase, Descent) else phase
        for phase in recipe.phases
    )
    return replace(recipe, phases=phases)


def _at_most(data: DataSet, count: int | None) -> DataSet:
    """At most so many images of a class in each split, in the order of their digests."""
    if count is None:
        return data
    kept: set[Path] = set()
    for split in data.splits:
        for class_id in data.disease.class_ids:
            own = [one for one in data.of(split).examples if one.class_id == class_id]
            kept |= {one.path for one in sorted(own, key=lambda one: one.digest)[:count]}
    return data.keep(one for one in data.examples if one.path in kept)
