"""`trainer pretrain`: a start for a recipe's backbone from images without labels."""

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from diagnosis.catalogue import disease as disease_of
from trainer import vicreg
from trainer.augment import Augmenter, usable
from trainer.checkpoints import Checkpoints, assign, values
from trainer.data import DataSet
from trainer.descent import Deal
from trainer.hardware import suited
from trainer.network import set_trainable
from trainer.overrides import overridden
from trainer.pixels import PixelStore
from trainer.probe import Probe, probe, read_probe
from trainer.recipes import Built, Order, Recipe, load
from trainer.refusals import DataRefused, RecipeRefused, TrainerRefused
from trainer.run import Watch
from trainer.runtime import keras
from trainer.settings import Settings
from trainer.soundness import refuse_unsound
from trainer.start import backbone, load_start, save_start
from trainer.unlabelled import unlabelled
from trainer.views import Views
from trainer.workplace import digest_of_request, workplace

#: The variance and the covariance of fewer images in a batch say nothing.
LEAST_IMAGES = 16
_LATEST = "latest"
_Callback: Any = keras().callbacks.Callback


@dataclass(frozen=True)
class PretrainRequest:
    """What `trainer pretrain` was asked for."""

    disease: str
    """Says how its images are preprocessed, and which changes leave them true."""
    images: Path
    recipe: str
    out: Path
    epochs: int = 50
    learning_rate: float = 1e-3
    seed: int = 0
    laptop: bool = False
    overrides: tuple[str, ...] = ()
    weights: Path | None = None
    start: Path | None = None
    probe: Path | None = None
    """Labelled images on which the gain is measured; its validation split is not pretrained on."""
    manifest: Path | None = None
    """Of the probe's images."""
    resume: bool = False


@dataclass(frozen=True)
class Pretrained:
    """What pretraining gave."""

    file: Path
    images: int
    left_out: int
    """Files of test splits, and the probe's validation images."""
    losses: tuple[float, ...]
    """One an epoch."""
    before: Probe | None
    after: Probe | None


def pretrain(
    request: PretrainRequest, settings: Settings, watch: Watch | None = None
) -> Pretrained:
    """Pretrain the backbone of a recipe on all images of a tree; the file appears when it is whole.

    Raises:
        TrainerRefused: the images or the recipe cannot be used; nothing is left behind.
        UnknownDisease: the catalogue has none of this name.
    """
    watch = watch or Watch()
    if request.out.exists():
        raise TrainerRefused(f"{request.out} exists already; name another file with --out.")
    disease = disease_of(request.disease)
    recipe = overridden(load(request.recipe, disease, laptop=request.laptop), request.overrides)
    refuse_unsound(recipe, disease, [word.partition("=")[0] for word in request.overrides])
    store = PixelStore(settings.cache_dir, recipe.preprocessing, workers=settings.workers)
    labelled = None
    if request.probe is not None:
        labelled = read_probe(
            request.probe, disease, store, manifest=request.manifest, seed=request.seed
        )
    found, left_out = unlabelled(
        request.images,
        but={one.digest for one in labelled.val.examples} if labelled else (),
        workers=settings.workers,
    )
    if not found:
        raise DataRefused(f"{request.images} holds no file outside test folders.")
    data = store.prepare(DataSet(request.images, disease, found), watch.files)
    if len(data.examples) < LEAST_IMAGES:
        raise DataRefused(
            f"{request.images} holds {len(data.examples)} readable image(s) outside test folders; "
            f"pretraining needs at least {LEAST_IMAGES}."
        )
    watch.log(f"{len(data.examples)} images, {left_out} files of test or probe splits left out.")
    request.out.parent.mkdir(parents=True, exist_ok=True)
    digest = digest_of_request(_facts(request, recipe, data))
    with suited(watch.log), workplace(request.out, digest, resume=request.resume) as place:
        order = Order(
            recipe.input,
            len(disease.class_ids),
            request.weights or settings.find_weights(recipe.weights_named),
        )
        built = _built(request, recipe, order)
        before = probe(built, labelled) if labelled else None
        augmenter = Augmenter(
            disease, usable(disease, disease.augmentations), strength=recipe.strength
        )
        views = Views(store, data.examples, augmenter, batch=recipe.batch, seed=request.seed)
        losses = _fit(request, built, views, place.checkpoints("pretraining"), watch)
        after = probe(built, labelled) if labelled else None
        facts = {
            "method": "VICReg (Bardes et al. 2022)",
            "recipe": recipe.name,
            "disease": disease.id,
            "images": len(data.examples),
            "epochs": request.epochs,
            "seed": request.seed,
            "digest": digest,
        }
        save_start(backbone(built), place.out, facts)
        shutil.rmtree(place.folder, ignore_errors=True)
    return Pretrained(place.out, len(data.examples), left_out, tuple(losses), before, after)


def _facts(request: PretrainRequest, recipe: Recipe, data: DataSet) -> dict[str, Any]:
    """All that changes the result."""
    same = replace(request, out=Path(), resume=False)
    return {
        "request": {key: str(value) for key, value in vars(same).items()},
        "recipe": recipe.for_card(),
        "preprocessing": recipe.preprocessing.digest,
        "images": [one.digest for one in data.examples],
    }


def _built(request: PretrainRequest, recipe: Recipe, order: Order) -> Built:
    keras().utils.set_random_seed(request.seed)
    built = recipe.build(order)
    if request.start is not None:
        load_start(built, request.start)
    # All layers but batch norms with pretrained statistics.
    set_trainable(built, [""])
    return built


def _fit(
    request: PretrainRequest,
    built: Built,
    views: Views,
    checkpoints: Checkpoints,
    watch: Watch,
) -> list[float]:
    """Train the backbone in place; the loss of every epoch, those of an earlier start included.

    Raises:
        RecipeRefused: the loss diverged.
    """
    k = keras()
    model = vicreg.network(backbone(built))
    steps = request.epochs * len(views)
    rising = min(steps // 10, 10 * len(views))
    schedule = k.optimizers.schedules.CosineDecay(
        0.0 if rising else request.learning_rate,
        max(1, steps - rising),
        alpha=0.01,
        warmup_target=request.learning_rate if rising else None,
        warmup_steps=rising,
    )
    model.compile(optimizer=k.optimizers.AdamW(schedule, weight_decay=1e-4))
    model.optimizer.build(model.trainable_variables)
    losses: list[float] = []
    saved = checkpoints.read(_LATEST)
    if saved is not None:
        assign([*model.variables, *model.optimizer.variables], saved.arrays)
        losses = saved.state["losses"]
        watch.log(f"Going on after epoch {len(losses)}.")
    if len(losses) < request.epochs:
        model.fit(
            views,
            epochs=request.epochs,
            initial_epoch=len(losses),
            # As in `trainer.descent`: the views are dealt already.
            shuffle=False,
            callbacks=[
                Deal(views),
                k.callbacks.TerminateOnNaN(),
                *watch.callbacks("pretraining", request.epochs),
                _Saving(losses, checkpoints),
            ],
            verbose=0,
        )
    if not losses or not all(map(math.isfinite, losses)):
        raise RecipeRefused("The loss is not finite any more: lower --learning-rate.")
    return losses


class _Saving(_Callback):  # type: ignore[misc]
    """Notes the loss of each epoch, and writes the state down."""

    def __init__(self, losses: list[float], checkpoints: Checkpoints) -> None:
        super().__init__()
        self._losses, self._checkpoints = losses, checkpoints

    def on_epoch_end(self, _epoch: int, logs: Any = None) -> None:
        """Save, unless the epoch diverged."""
        loss = float((logs or {})["loss"])
        self._losses.append(loss)
        if math.isfinite(loss):
            variables: Sequence[Any] = [*self.model.variables, *self.model.optimizer.variables]
            self._checkpoints.save(_LATEST, {"losses": self._losses}, values(variables))
