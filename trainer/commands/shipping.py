"""The command that makes the artifacts that ship."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from diagnosis import WARNING
from trainer.commands import number, read_settings, refusing, shown, told
from trainer.refusals import TrainerRefused


@refusing
def train_all(
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Folder of all data sets."),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="A disease; may stand several times.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Where runs and their registry go."),
    ] = None,
    laptop: Annotated[bool, typer.Option(help="Shrink everything: a try in seconds.")] = False,
) -> None:
    """Make the artifacts that ship once more, and print their figures beside the cards'."""
    from trainer.progress import Bars
    from trainer.run import Watch
    from trainer.shipping import compare, make, shipped

    settings = read_settings()
    folder = data or settings.data
    if folder is None or not folder.is_dir():
        raise TrainerRefused("Name the folder of all data sets with --data, or set SIGHTLINE_DATA.")
    target = out or settings.runs_dir / "train-all"
    table = Table("disease", "figure", "card", "made now", title="Validation images")
    bars = Bars(told)
    with bars.shown():
        for one in shipped(tuple(only or ())):
            told.print(f"{one.disease}: {one.recipe}", highlight=False)
            watch = Watch(log=bars.log, files=bars.files, callbacks=bars.callbacks)
            for row in compare(make(one, folder, target, settings, watch, laptop=laptop)):
                table.add_row(row.disease, row.figure, number(row.shipped), number(row.made))
    shown.print(table)
    shown.print(WARNING)
