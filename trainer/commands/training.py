"""Commands that make models."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from trainer.commands import Data, DiseaseName, Manifest, Others, read_settings, refusing, told


@refusing
def train(
    disease: DiseaseName,
    data: Data,
    recipe: Annotated[str, typer.Option(help="A file of trainer/recipes, without .py.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the run; must not exist.")] = None,
    manifest: Manifest = None,
    about: Annotated[
        Path | None, typer.Option(help="TOML with dataset, licence and population for the card.")
    ] = None,
    leave_families_out: Annotated[
        bool,
        typer.Option("--leave-families-out", help="Measure on acquisition families left out."),
    ] = False,
    weights: Annotated[Path | None, typer.Option(help="Local file of pretrained weights.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1)] = 0,
    epochs: Annotated[int | None, typer.Option(min=1, max=1000)] = None,
    laptop: Annotated[bool, typer.Option(help="Shrink everything: a try in seconds.")] = False,
    others: Others = None,
) -> None:
    """Train a candidate and write its report; `publish` makes an artifact of it."""
    from trainer.progress import Bars
    from trainer.run import Request, Watch
    from trainer.train import train as run

    settings = read_settings()
    stamp = f"{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    request = Request(
        disease=disease,
        data=data,
        recipe=recipe,
        out=out or settings.runs_dir / f"{disease}-{recipe}-{stamp}",
        manifest=manifest,
        about=about,
        leave_families_out=leave_families_out,
        weights=weights,
        seed=seed,
        epochs=epochs,
        laptop=laptop,
        others=tuple(others or ()),
    )
    bars = Bars(told)
    with bars.shown():
        folder = run(
            request, settings, Watch(log=bars.log, files=bars.files, callbacks=bars.callbacks)
        )
    typer.echo(f"{folder}")
    told.print(f"Read {folder / 'report.html'}, then: trainer publish {folder}", highlight=False)
