"""`trainer train`: from a data set and a recipe to the folder of a candidate."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from diagnosis.catalogue import Disease
from diagnosis.catalogue import disease as disease_of
from trainer import signoff
from trainer.about import About, licensed, read_about
from trainer.assessment import Fitted, assess, logits_of
from trainer.batches import Images
from trainer.checkpoints import Checkpoints
from trainer.data import DataSet, Example, read_dataset
from trainer.families import Families, leave_out
from trainer.fitting import FrozenMaps, Task, fit
from trainer.hardware import in_float32, suited
from trainer.leakage import Leakage, find_leakage, without_copies
from trainer.overrides import overridden
from trainer.perceptual import pairs_of
from trainer.pixels import PixelStore, refuse_many_unreadable
from trainer.recipes import Built, Descent, Order, Recipe, load
from trainer.refusals import DataRefused, TrainerRefused
from trainer.run import Request, Run, Watch
from trainer.runtime import keras
from trainer.settings import Settings
from trainer.soundness import refuse_unsound, refuse_unsound_split
from trainer.splits import with_splits
from trainer.start import load_start
from trainer.transfer import Held
from trainer.workplace import Workplace, workplace

_MOST_NAMED = 10


def train(request: Request, settings: Settings, watch: Watch | None = None) -> Path:
    """Train a candidate; the folder appears when it is whole.

    Returns:
        The run's folder: model.keras, card.json, demo/, report.json, report.html, scores.csv.

    Raises:
        TrainerRefused: the data or the recipe cannot be used; nothing is left behind.
        UnknownDisease: the catalogue has none of this name.
    """
    if request.out.exists():
        raise TrainerRefused(f"{request.out} exists already; name another folder with --out.")
    run = prepare(request, settings, watch)
    with (
        suited(run.watch.log),
        workplace(request.out, run.digest, resume=request.resume) as place,
    ):
        if place.has_checkpoints:
            run.watch.log(f"Going on with the unfinished run in {place.folder}.")
        fitted = fit_all(run, place)
        place.finish(lambda draft: assess(run, fitted, draft))
    return place.out


def prepare(request: Request, settings: Settings, watch: Watch | None = None) -> Run:
    """Read, split and check the data, and choose the recipe; nothing is fitted yet.

    Raises:
        TrainerRefused: the data or the recipe cannot be used.
        UnknownDisease: the catalogue has none of this name.
    """
    watch = watch or Watch()
    disease = disease_of(request.disease)
    recipe = _recipe(request, disease)
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
    refuse_unsound_split(
        recipe, data.of("train").examples, data.of("val").examples, laptop=request.laptop
    )
    return Run(request, settings, watch, recipe, about, families, data, store, data_record)


def divided(request: Request, settings: Settings, watch: Watch | None = None) -> DataSet:
    """The data of a request in the splits that training gives it; nothing is fitted.

    Raises:
        TrainerRefused: the data or the recipe cannot be used.
        UnknownDisease: the catalogue has none of this name.
    """
    watch = watch or Watch()
    disease = disease_of(request.disease)
    recipe = _recipe(request, disease)
    data = read_dataset(
        request.data,
        disease,
        manifest=request.manifest,
        workers=settings.workers,
        cache=settings.cache_dir,
    )
    about = read_about(request.data, request.about)
    data, _, split = _without_leakage(request, settings, watch, data, about)
    return _at_most(split(data), recipe.most_images_per_class)


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


def fit_all(run: Run, place: Workplace) -> Fitted:
    """Fit the recipe without each choice of families, where that was asked for, then to all.

    Fits and epochs that the work folder holds are not run again.
    """
    frozen: FrozenMaps = {}
    train, val = run.data.of("train"), run.data.of("val")
    left_out = (
        _leave_families_out(run, train, val, frozen, place)
        if run.request.leave_families_out
        else []
    )
    run.watch.log(f"Training {run.recipe.name} on {len(train.examples)} images.")
    checkpoints = place.checkpoints("whole")
    built, history = fit_one(run, train.examples, val.examples, frozen, checkpoints)
    return Fitted(built, tuple(history), tuple(left_out))


def fit_one(
    run: Run,
    train: Sequence[Example],
    val: Sequence[Example],
    frozen: FrozenMaps,
    checkpoints: Checkpoints | None = None,
) -> tuple[Built, list[dict[str, Any]]]:
    """A network of the run's recipe, fitted to some of its images, and its history.

    Raises:
        RecipeRefused: the recipe or the start does not fit, or training diverged.
        CheckpointRefused: the disk is full, or the checkpoints are of another network.
    """
    keras().utils.set_random_seed(run.request.seed)
    built = run.recipe.build(
        Order(
            run.recipe.input,
            len(run.disease.class_ids),
            run.request.weights or run.settings.find_weights(run.recipe.weights_named),
        )
    )
    if run.request.start is not None:
        count = load_start(built, run.request.start)
        run.watch.log(f"{count} layers start from {run.request.start}.")
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
        callbacks=lambda name, epochs: (
            *run.watch.callbacks(name, epochs),
            *run.watch.measure(run.disease.id, len(train)),
        ),
        checkpoints=checkpoints,
    )
    history = fit(run.recipe, built, task)
    return in_float32(built), history


def _leave_families_out(
    run: Run, train: DataSet, val: DataSet, frozen: FrozenMaps, place: Workplace
) -> list[Held]:
    """Fit again without each choice of families, and score them."""
    found = []
    ways = leave_out(train.examples, val.examples, run.families.of, run.disease.class_ids)
    for number, one in enumerate(ways, start=1):
        checkpoints = place.checkpoints(f"left-out-{number:02}")
        scores = checkpoints.read("scores")
        if scores is not None:
            run.watch.log(f"Leaving out {one.name}: already done.")
            logits, altered = scores.arrays
        else:
            run.watch.log(f"Leaving out {one.name}: {len(one.held)} images.")
            built, _ = fit_one(run, one.train, one.val, frozen, checkpoints)
            copies = Images(run.store, one.held, run.augmenter, seed=run.request.seed)
            logits = logits_of(run, built, one.held)
            altered = logits_of(run, built, one.held, copies)
            checkpoints.save("scores", {}, [logits, altered])
            checkpoints.forget_beginning("", but="scores")
        found.append(Held(name=one.name, examples=one.held, logits=logits, altered=altered))
    return found


def _recipe(request: Request, disease: Disease) -> Recipe:
    """The recipe with the settings that were asked for.

    Raises:
        RecipeRefused: there is none of this name, or its settings are known to go wrong.
    """
    recipe = load(request.recipe, disease, laptop=request.laptop)
    recipe = overridden(_with_epochs(recipe, request.epochs), request.overrides)
    chosen = [word.partition("=")[0] for word in request.overrides]
    refuse_unsound(recipe, disease, chosen)
    return recipe


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
