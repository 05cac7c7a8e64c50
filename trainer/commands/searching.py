"""Commands that look for better settings and better starts."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from diagnosis import WARNING
from trainer.commands import (
    AsJson,
    Data,
    DiseaseName,
    Manifest,
    number,
    print_json,
    read_settings,
    refusing,
    shown,
    told,
)
from trainer.commands.training import Licence, Overrides, RecipeName, Resume, Seed, Start, Weights

Metric = Literal["auc", "balanced_accuracy"]


@refusing
def search(
    disease: DiseaseName,
    data: Data,
    recipe: RecipeName,
    space: Annotated[Path, typer.Option(help="TOML with the settings to search.")],
    storage: Annotated[Path, typer.Option(help="File of the search; the same one goes on.")],
    trials: Annotated[int, typer.Option(min=1, max=10_000, help="In all, with earlier ones.")],
    folds: Annotated[int, typer.Option(min=2, max=10, help="Parts of the training split.")] = 3,
    metric: Annotated[Metric, typer.Option(help="What a trial is judged by.")] = "auc",
    leave_families_out: Annotated[
        bool, typer.Option("--leave-families-out", help="Hold acquisition families out instead.")
    ] = False,
    manifest: Manifest = None,
    about: Annotated[Path | None, typer.Option(help="TOML with the facts of the data.")] = None,
    licence: Licence = None,
    overrides: Overrides = None,
    weights: Weights = None,
    start: Start = None,
    seed: Seed = 0,
    epochs: Annotated[int | None, typer.Option(min=1, max=1000)] = None,
    laptop: Annotated[bool, typer.Option(help="Shrink everything: a try in seconds.")] = False,
    as_json: AsJson = False,
) -> None:
    """Try settings of a recipe on held-out parts of the training split; never on the test split."""
    from trainer.progress import Bars
    from trainer.run import Request, Watch
    from trainer.search import Plan
    from trainer.search import search as run

    settings = read_settings()
    request = Request(
        disease=disease,
        data=data,
        recipe=recipe,
        out=storage,
        manifest=manifest,
        about=about,
        licence=licence,
        leave_families_out=leave_families_out,
        weights=weights,
        seed=seed,
        epochs=epochs,
        laptop=laptop,
        overrides=tuple(overrides or ()),
        start=start,
    )
    bars = Bars(told)
    with bars.shown():
        best = run(
            request,
            Plan(space, storage, trials, folds, metric),
            settings,
            Watch(log=bars.log, files=bars.files),
        )
    if as_json:
        print_json({**best.__dict__, "words": list(best.words)})
        return
    typer.echo(" ".join(f"--set {word}" for word in best.words))
    own = "" if best.own is None else f"; the recipe's own settings reach {number(best.own)}"
    told.print(
        f"Trial {best.number} of {best.trials}: held-out {best.metric} {number(best.value)}{own}. "
        "The best of many trials is flattered by chance: measure it on the test split once.",
        highlight=False,
    )


@refusing
def pretrain(
    images: Annotated[Path, typer.Option(help="Folder tree; folders called test are left out.")],
    disease: Annotated[str, typer.Option(help="A disease of the catalogue: what images show.")],
    recipe: RecipeName,
    out: Annotated[Path, typer.Option(help="File of weights to write, for train --start.")],
    epochs: Annotated[int, typer.Option(min=1, max=10_000)] = 50,
    learning_rate: Annotated[float, typer.Option(min=1e-7, max=1)] = 1e-3,
    probe: Annotated[
        Path | None, typer.Option(help="Labelled images on which the gain is measured.")
    ] = None,
    manifest: Manifest = None,
    overrides: Overrides = None,
    weights: Weights = None,
    start: Start = None,
    seed: Seed = 0,
    laptop: Annotated[bool, typer.Option(help="Shrink everything: a try in seconds.")] = False,
    resume: Resume = False,
    as_json: AsJson = False,
) -> None:
    """Pretrain a recipe's backbone on images without labels (VICReg), and say what it gains."""
    from trainer.pretrain import PretrainRequest
    from trainer.pretrain import pretrain as run
    from trainer.probe import Probe
    from trainer.progress import Bars
    from trainer.run import Watch

    settings = read_settings()
    request = PretrainRequest(
        disease=disease,
        images=images,
        recipe=recipe,
        out=out,
        epochs=epochs,
        learning_rate=learning_rate,
        seed=seed,
        laptop=laptop,
        overrides=tuple(overrides or ()),
        weights=weights,
        start=start,
        probe=probe,
        manifest=manifest,
        resume=resume,
    )
    bars = Bars(told)
    with bars.shown():
        done = run(
            request, settings, Watch(log=bars.log, files=bars.files, callbacks=bars.callbacks)
        )

    def shown_as(one: Probe) -> dict[str, object]:
        return {
            "auc": one.auc.as_dict(),
            "balanced_accuracy": one.balanced_accuracy.as_dict(),
            "train": one.train,
            "val": one.val,
        }

    if as_json:
        print_json(
            {
                "file": str(done.file),
                "images": done.images,
                "left_out": done.left_out,
                "losses": list(done.losses),
                "before": shown_as(done.before) if done.before else None,
                "after": shown_as(done.after) if done.after else None,
            }
        )
        return
    typer.echo(f"{done.file}")
    for name, one in (("before", done.before), ("after", done.after)):
        if one is not None:
            auc = one.auc
            shown.print(
                f"probe {name} pretraining: AUC {number(auc.value)} "
                f"({number(auc.low)} to {number(auc.high)}) on {one.val} validation images",
                highlight=False,
            )
    told.print(f"Then: trainer train {disease} --recipe {recipe} --start {done.file} --data DATA")
    told.print(WARNING)
