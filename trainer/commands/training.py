"""Commands that make models."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from trainer.commands import (
    Data,
    DiseaseName,
    Manifest,
    Others,
    SignOffFile,
    read_settings,
    refusing,
    told,
)

RecipeName = Annotated[
    str, typer.Option("--recipe", help="A file of trainer/recipes, without .py.")
]
Weights = Annotated[Path | None, typer.Option(help="File of pretrained weights, or: imagenet.")]
Start = Annotated[Path | None, typer.Option(help="Weights that pretrain wrote.")]
Seed = Annotated[int, typer.Option(min=0, max=2**31 - 1)]
Licence = Annotated[
    str | None, typer.Option(help="States the data's licence where no about.toml does.")
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with an unfinished run of the same request.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="A setting of the recipe, for example weighting=class; may stand several times.",
    ),
]


@refusing
def train(
    disease: DiseaseName,
    data: Data,
    recipe: RecipeName,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; must not exist.")] = None,
    manifest: Manifest = None,
    about: Annotated[
        Path | None, typer.Option(help="TOML with dataset, licence and population for the card.")
    ] = None,
    licence: Licence = None,
    sign_off: SignOffFile = None,
    allow_leakage: Annotated[
        str | None,
        typer.Option(metavar="REASON", help="Train despite leakage; the card says so and why."),
    ] = None,
    leave_copies_out: Annotated[
        bool,
        typer.Option("--leave-copies-out", help="Leave out what another split holds (nearly) too."),
    ] = False,
    leave_families_out: Annotated[
        bool,
        typer.Option("--leave-families-out", help="Measure on acquisition families left out."),
    ] = False,
    weights: Weights = None,
    seed: Seed = 0,
    epochs: Annotated[int | None, typer.Option(min=1, max=1000)] = None,
    laptop: Annotated[bool, typer.Option(help="Shrink everything: a try in seconds.")] = False,
    overrides: Overrides = None,
    start: Start = None,
    resume: Resume = False,
    others: Others = None,
) -> None:
    """Train a candidate and write its report; `publish` makes an artifact of it."""
    from trainer.progress import Bars
    from trainer.run import Request, Watch
    from trainer.train import train as run
    from trainer.watching import measured

    settings = read_settings()
    stamp = f"{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    request = Request(
        disease=disease,
        data=data,
        recipe=recipe,
        out=out or settings.runs_dir / f"{disease}-{recipe}-{stamp}",
        manifest=manifest,
        about=about,
        licence=licence,
        sign_off=sign_off,
        allow_leakage=allow_leakage,
        leave_copies_out=leave_copies_out,
        leave_families_out=leave_families_out,
        weights=weights,
        seed=seed,
        epochs=epochs,
        laptop=laptop,
        overrides=tuple(overrides or ()),
        start=start,
        resume=resume,
        others=tuple(others or ()),
    )
    bars = Bars(told)
    with measured(settings) as measure, bars.shown():
        watch = Watch(log=bars.log, files=bars.files, callbacks=bars.callbacks, measure=measure)
        folder = run(request, settings, watch)
    typer.echo(f"{folder}")
    told.print(f"Read {folder / 'report.html'}, then: trainer publish {folder}", highlight=False)


@refusing
def make_everyday_object(
    weights: Annotated[
        Path, typer.Option(help="VGG16's weights with its top (.h5), or: imagenet.")
    ] = Path("imagenet"),
    class_index: Annotated[
        Path | None, typer.Option(help="Keras's imagenet_class_index.json, for the names.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; must not exist.")] = None,
) -> None:
    """Make the candidate that names everyday objects: VGG16 with ImageNet's thousand classes."""
    from trainer import everyday

    settings = read_settings()
    stamp = f"{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    folder = everyday.make(
        out or settings.runs_dir / f"{everyday.DISEASE}-{stamp}", weights, class_index
    )
    typer.echo(f"{folder}")
    told.print(f"Nothing was measured. Then: trainer publish {folder}", highlight=False)
