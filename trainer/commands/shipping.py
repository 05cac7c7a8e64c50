"""The command that makes the artifacts that ship."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.table import Table

from diagnosis import WARNING
from trainer.commands import number, read_settings, refusing, shown, told
from trainer.commands.tables import show_comparison
from trainer.refusals import TrainerRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from trainer.compare import Comparison
    from trainer.run import Watch
    from trainer.settings import Settings
    from trainer.shipping import Shipped


_AllData = Annotated[Path | None, typer.Option("--data", help="Folder of all data sets.")]
_Only = Annotated[list[str] | None, typer.Option("--only", help="DISEASE; may be repeated.")]
Added = TypeVar("Added")


@refusing
def add_reliability(data: _AllData = None, only: _Only = None) -> None:
    """Write into the shipped cards how often a class was there at which probability."""
    from trainer.reliability import add_reliability as add

    table = Table("disease", "images", "AUC of the card", "AUC now", "card")
    for found in _added(add, data, only):
        table.add_row(
            found.disease,
            str(found.images),
            number(found.card_auc),
            number(found.measured_auc),
            "written" if found.written else "left as it was: the AUC is another one",
        )
    shown.print(table)
    shown.print(WARNING, highlight=False)


@refusing
def add_reference(data: _AllData = None, only: _Only = None) -> None:
    """Write into the shipped cards what validation images look like, to watch for drift."""
    from trainer.reference import add_reference as add

    table = Table("disease", "AUC of the card", "AUC now", "images", "limits", "card")
    for found in _added(add, data, only):
        made = found.reference
        limits = {} if made is None else made.limits
        table.add_row(
            found.disease,
            number(found.card_auc),
            number(found.measured_auc),
            "" if made is None else str(made.images),
            ", ".join(f"{name} {value:.3f}" for name, value in limits.items()),
            "left as it was" if made is None else "written",
        )
    shown.print(table)
    shown.print(WARNING, highlight=False)


def _added(
    add: "Callable[[Shipped, Path, Settings, Watch], Added]",
    data: Path | None,
    only: list[str] | None,
) -> list[Added]:
    """Add something to each card that ships with the project; what became of each."""
    from trainer.progress import Bars
    from trainer.run import Watch
    from trainer.shipping import shipped

    settings = read_settings()
    folder = _all_data_sets(data, settings)
    bars = Bars(told)
    with bars.shown():
        watch = Watch(log=bars.log, files=bars.files)
        return [
            add(one, folder, settings, watch)
            for one in shipped(tuple(only or ()))
            if not one.bundled
        ]


@refusing
def train_all(
    data: _AllData = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            help="DISEASE, or DISEASE-RECIPE for the bundle; may be repeated.",
        ),
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
    from trainer.shipping import beside, compare, make, shipped

    settings = read_settings()
    folder = _all_data_sets(data, settings)
    target = out or settings.runs_dir / "train-all"
    table = Table("disease", "figure", "card", "made now", title="Validation images")
    comparisons: list[Comparison] = []
    bars = Bars(told)
    with bars.shown():
        for one in shipped(tuple(only or ())):
            told.print(f"{one.name}: {one.recipe}", highlight=False)
            watch = Watch(log=bars.log, files=bars.files, callbacks=bars.callbacks)
            card = make(one, folder, target, settings, watch, laptop=laptop)
            for row in compare(card):
                table.add_row(one.name, row.figure, number(row.shipped), number(row.made))
            if one.bundled:
                found = beside(one, folder, target, settings, watch)
                comparisons += [found] if found else []
    shown.print(table)
    for found in comparisons:
        show_comparison(found.as_json(), shown)
    shown.print(WARNING)


def _all_data_sets(named: Path | None, settings: "Settings") -> Path:
    """The folder of all data sets: the one that was named, else that of the settings."""
    folder = named or settings.data
    if folder is None or not folder.is_dir():
        raise TrainerRefused("Name the folder of all data sets with --data, or set SIGHTLINE_DATA.")
    return folder
