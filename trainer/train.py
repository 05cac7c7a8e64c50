"""`trainer train`: from a data set and a recipe to the folder of a candidate."""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from diagnosis.catalogue import disease as disease_of
from trainer import signoff
from trainer.about import About, licensed, read_about
from trainer.assessment import Fitted, assess, logits_of
from trainer.batches import Images
from trainer.data import DataSet, Example, read_dataset
from trainer.families import Families, leave_out
from trainer.fitting import FrozenMaps, Task, fit
from trainer.leakage import Leakage, find_leakage, without_copies
from trainer.perceptual import pairs_of
from trainer.pixels import PixelStore, refuse_many_unreadable
from trainer.recipes import Built, Descent, Order, Recipe, load
from trainer.refusals import DataRefused, TrainerRefused
from trainer.run import Request, Run, Watch
from trainer.runtime import keras
from trainer.settings import Settings
from trainer.splits import with_splits
from trainer.transfer import Held

_MOST_NAMED = 10


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
    data = read_dataset(
        request.data,
        disease,
        manifest=request.manifest,
        workers=settings.workers,
        cache=settings.cache_dir,
    )
    about = licensed(about, request.data, request.licence)
    data_record = _data_record(request, data)
    data, about, split = _without_leakage(request, settings, watch, data, about)
    data = _at_most(split(data), recipe.most_images_per_class)
    store = PixelStore(settings.cache_dir, recipe.preprocessing, workers=settings.workers)
    data = store.prepare(data, watch.files)
    _log_skipped(data, watch)
    refuse_many_unreadable(data)
    # Once more: a class may have lost its last readable image.
    data = split(data)
    run = Run(request, settings, watch, recipe, about, families, data, store, data_record)
    request.out.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".incoming-", dir=request.out.parent))
    try:
        assess(run, fit_all(run), draft)
        draft.chmod(0o755)
        draft.rename(request.out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return request.out


def _without_leakage(
    request: Request, settings: Settings, watch: Watch, data: DataSet, about: About
) -> tuple[DataSet, About, Callable[[DataSet], DataSet]]:
    """The data to train on, its facts with what was allowed, and how it is split."""
    alike = pairs_of(
        data.examples, settings.cache_dir, workers=settings.workers, progress=watch.files
    )
    if request.leave_copies_out:
        kept = without_copies(data, alike)
        watch.log(f"Left out: {len(data.examples) - len(kept.examples)} copies in training.")
        data = kept
    found = find_leakage(data.examples, alike) if data.splits else Leakage()
    if request.allow_leakage and found:
        said = f"Leakage was allowed ({request.allow_leakage.strip()}): {found}. Figures flatter."
        watch.log(said)
        about = about.model_copy(update={"limitations": (*about.limitations, said[:2000])})
    allowed = bool(request.allow_leakage)

    def split(one: DataSet) -> DataSet:
        return with_splits(one, seed=request.seed, alike=alike, allow_leakage=allowed)

    return data, about, split


def _log_skipped(data: DataSet, watch: Watch) -> None:
    """Name the files that are left out, the first of many."""
    for one in data.skipped[:_MOST_NAMED]:
        watch.log(f"Left out: {one.path} ({one.reason})")
    if len(data.skipped) > _MOST_NAMED:
        watch.log(f"Left out: {len(data.skipped) - _MOST_NAMED} more; `trainer audit` lists them.")


def _data_record(request: Request, data: DataSet) -> dict[str, str]:
    """The listing and the sign-off of the data, for the card.

    Raises:
        DataRefused: the file of sign-offs is damaged.
    """
    place = signoff.place_of(request.data, request.sign_off)
    state, one = signoff.state_of(signoff.read(place), data.listing)
    return {
        "data_listing": data.listing,
        "data_sign_off": state,
        "data_sign_off_by": f"{one.by}, {one.at:%Y-%m-%d}" if one else "",
    }


def fit_all(run: Run) -> Fitted:
    """Fit the recipe without each choice of families, where that was asked for, then to all."""
    frozen: FrozenMaps = {}
    train, val = run.data.of("train"), run.data.of("val")
    left_out = (
        _leave_families_out(run, train, val, frozen) if run.request.leave_families_out else []
    )
    run.watch.log(f"Training {run.recipe.name} on {len(train.examples)} images.")
    built, history = _fit(run, train.examples, val.examples, frozen)
    return Fitted(built, tuple(history), tuple(left_out))


def _fit(
    run: Run, train: Sequence[Example], val: Sequence[Example], frozen: FrozenMaps
) -> tuple[Built, list[dict[str, Any]]]:
    keras().utils.set_random_seed(run.request.seed)
    built = run.recipe.build(
        Order(
            run.recipe.input,
            len(run.disease.class_ids),
            run.request.weights or run.settings.squeezenet_weights(),
        )
    )
    task = Task(
        train=train,
        val=val,
        class_ids=run.disease.class_ids,
        store=run.store,
        augmenter=run.augmenter,
        seed=run.request.seed,
        family_of=run.families.of,
        frozen=frozen,
        log=run.watch.log,
        callbacks=run.watch.callbacks,
    )
    return built, fit(run.recipe, built, task)


def _leave_families_out(run: Run, train: DataSet, val: DataSet, frozen: FrozenMaps) -> list[Held]:
    """Fit again without each choice of families, and score them."""
    found = []
    for one in leave_out(train.examples, val.examples, run.families.of, run.disease.class_ids):
        run.watch.log(f"Leaving out {one.name}: {len(one.held)} images.")
        built, _ = _fit(run, one.train, one.val, frozen)
        altered = Images(run.store, one.held, run.augmenter, seed=run.request.seed)
        found.append(
            Held(
                name=one.name,
                examples=one.held,
                logits=logits_of(run, built, one.held),
                altered=logits_of(run, built, one.held, altered),
            )
        )
    return found


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
