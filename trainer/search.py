"""`trainer search`: tries settings of a recipe and says which do best on held-out images.

The method is Optuna's tree-structured Parzen estimator (Bergstra et al. 2011). Its journal is a
file that a kill cannot tear, so a search goes on where it stopped. A trial is measured on parts of
the training split that it was not fitted to; the test split is never looked at.
"""

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from diagnosis.judgement import softmax
from trainer.assessment import logits_of
from trainer.data import Example
from trainer.families import leave_out
from trainer.fitting import FrozenMaps
from trainer.hardware import suited
from trainer.metrics import Scores, figures
from trainer.overrides import as_word, with_values
from trainer.perceptual import pairs_of
from trainer.refusals import RecipeRefused, TrainerRefused
from trainer.run import Request, Run, Watch
from trainer.settings import Settings
from trainer.soundness import refuse_unsound
from trainer.space import Choices, Dimension, read_space
from trainer.splits import group_folds
from trainer.train import fit_one, prepare
from trainer.workplace import alone, digest_of_request

Metric = Literal["auc", "balanced_accuracy"]


@dataclass(frozen=True)
class Plan:
    """What is searched, for how long and by which figure."""

    space: Path
    storage: Path
    trials: int
    """All trials of the search, those of an earlier start included."""
    folds: int = 3
    metric: Metric = "auc"


@dataclass(frozen=True)
class Best:
    """The best trial of a search."""

    number: int
    value: float
    """The mean over the held-out parts. The best of many is flattered by chance."""
    words: tuple[str, ...]
    """Its settings, as `--set` takes them."""
    own: float | None
    """The same figure of the recipe's own settings, where they were tried."""
    trials: int
    metric: Metric


@dataclass(frozen=True)
class _Way:
    """One way to hold a part of the training split out."""

    name: str
    train: Sequence[Example]
    val: Sequence[Example]
    held: Sequence[Example]


def search(request: Request, plan: Plan, settings: Settings, watch: Watch | None = None) -> Best:
    """Run the trials that are still missing, and name the best of all.

    Raises:
        TrainerRefused: the data, the recipe, the space or the storage cannot be used, or every
            trial was refused.
    """
    run = prepare(request, settings, watch)
    dimensions = read_space(plan.space, run.recipe)
    ways = _ways(run, plan)
    log = run.watch.log
    _refuse_foreign(plan.storage)
    with alone(plan.storage), suited(log):
        study = _study(plan, _digest(run, plan, dimensions), dimensions, run.request.seed)
        maps: dict[str, FrozenMaps] = {}
        while (done := len(_finished(study))) < plan.trials:
            trial = study.ask()
            chosen = {one.key.name: one.value(_suggest(trial, one)) for one in dimensions}
            words = [as_word(name, value) for name, value in chosen.items()]
            log(f"Trial {done + 1} of {plan.trials}: {' '.join(words)}")
            try:
                recipe = with_values(run.recipe, chosen)
                refuse_unsound(recipe, run.disease, tuple(chosen))
                tried = replace(run, recipe=recipe)
                # Frozen maps depend on how images are augmented, and on no other setting.
                augmented = f"{recipe.augmentations} {recipe.strength} {recipe.policy}"
                frozen = maps.setdefault(augmented, {})
                values = [_score(tried, way, frozen, plan.metric) for way in ways]
            except RecipeRefused as error:
                log(f"Trial {done + 1} is left out: {error}")
                study.tell(trial, state=_states().PRUNED)
                continue
            trial.set_user_attr("held_out", values)
            study.tell(trial, float(np.mean(values)))
            shown = " ".join(f"{value:.4f}" for value in values)
            log(f"Trial {done + 1}: {plan.metric} {np.mean(values):.4f} ({shown})")
        return _best(study, plan, dimensions)


def _ways(run: Run, plan: Plan) -> list[_Way]:
    """How the training split is held out in part: by families where asked for, else by groups."""
    train, val = run.data.of("train").examples, run.data.of("val").examples
    if run.request.leave_families_out:
        ways = leave_out(train, val, run.families.of, run.disease.class_ids)
        return [_Way(one.name, one.train, one.val, one.held) for one in ways]
    settings = run.settings
    alike = pairs_of(train, settings.cache_dir, workers=settings.workers)
    folds = group_folds(train, plan.folds, seed=run.request.seed, alike=alike)
    return [
        _Way(
            f"fold {number}",
            [one for other in folds if other is not held for one in other],
            val,
            held,
        )
        for number, held in enumerate(folds, start=1)
    ]


def _score(run: Run, way: _Way, frozen: FrozenMaps, metric: Metric) -> float:
    built, _ = fit_one(run, way.train, way.val, frozen)
    logits = logits_of(run, built, way.held)
    class_ids = run.disease.class_ids
    scores = Scores(
        class_ids=class_ids,
        labels=np.array([class_ids.index(one.class_id) for one in way.held], np.int64),
        probabilities=softmax(logits),
        groups=np.arange(len(way.held)),
        finding=run.disease.finding,
        threshold=None,
    )
    value = figures(scores, draws=1)[metric].value
    if value is None:
        raise RecipeRefused(f"{metric} is not defined on the held-out images of {way.name}.")
    return value


def _digest(run: Run, plan: Plan, dimensions: Sequence[Dimension]) -> str:
    extents = {one.key.name: repr(one.extent) for one in dimensions}
    facts = {"run": run.digest, "space": extents, "folds": plan.folds, "metric": plan.metric}
    return digest_of_request(facts)


def _study(plan: Plan, digest: str, dimensions: Sequence[Dimension], seed: int) -> Any:
    """The study in the storage, or a new one that begins with the recipe's own settings."""
    optuna = _optuna()
    # In Optuna's words, `experimental` says that a class may still be renamed.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        journal = optuna.storages.journal.JournalFileBackend(str(plan.storage))
        storage = optuna.storages.JournalStorage(journal)
        study = optuna.create_study(
            storage=storage, study_name="sightline", direction="maximize", load_if_exists=True
        )
        # Another seed at every start: the first one again would propose the same again.
        study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.trials))
    known = study.user_attrs.get("request")
    if known not in (None, digest):
        raise TrainerRefused(
            f"{plan.storage} holds a search of another request (other images, settings or space): "
            "name another file with --storage."
        )
    if known is None:
        study.set_user_attr("request", digest)
        own = {one.key.name: one.own() for one in dimensions}
        if None not in own.values():
            study.enqueue_trial(own, user_attrs={"own": True})
    for trial in study.get_trials(states=(_states().RUNNING,)):
        # Cut short by a kill: what it tried is tried again.
        study.tell(trial.number, state=_states().FAIL)
        study.enqueue_trial(trial.params, user_attrs=trial.user_attrs)
    return study


def _suggest(trial: Any, one: Dimension) -> Any:
    name, extent = one.key.name, one.extent
    if isinstance(extent, Choices):
        return trial.suggest_categorical(name, extent.words)
    if extent.whole:
        return trial.suggest_int(name, int(extent.low), int(extent.high), log=extent.log)
    return trial.suggest_float(name, extent.low, extent.high, log=extent.log)


def _finished(study: Any) -> list[Any]:
    states = _states()
    return list(study.get_trials(deepcopy=False, states=(states.COMPLETE, states.PRUNED)))


def _best(study: Any, plan: Plan, dimensions: Sequence[Dimension]) -> Best:
    complete = study.get_trials(states=(_states().COMPLETE,))
    if not complete:
        raise TrainerRefused("Every trial was left out; the lines above say why.")
    best = max(complete, key=lambda one: float(one.value))
    own = [float(one.value) for one in complete if one.user_attrs.get("own")]
    return Best(
        number=best.number + 1,
        value=float(best.value),
        words=tuple(as_word(d.key.name, d.value(best.params[d.key.name])) for d in dimensions),
        own=own[0] if own else None,
        trials=len(_finished(study)),
        metric=plan.metric,
    )


def _refuse_foreign(storage: Path) -> None:
    """Check that a storage is a search's own, or a place for one.

    Raises:
        TrainerRefused: it is another file, or its folder does not exist.
    """
    if not storage.parent.is_dir():
        raise TrainerRefused(f"{storage.parent} is not a folder; --storage names a file in one.")
    try:
        storage.touch()
        first = storage.read_bytes().partition(b"\n")[0]
        foreign = bool(first) and "op_code" not in json.loads(first)
    except (ValueError, TypeError, IsADirectoryError):
        foreign = True
    if foreign:
        raise TrainerRefused(f"{storage} is no file of a search; name another.")


def _optuna() -> Any:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _states() -> Any:
    return _optuna().trial.TrialState
