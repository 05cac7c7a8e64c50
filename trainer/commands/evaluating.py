"""Commands that measure models."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from diagnosis import WARNING
from diagnosis.contracts import OperatingPointName
from trainer.commands import (
    AsJson,
    Data,
    Manifest,
    number,
    print_json,
    read_settings,
    refusing,
    shown,
    told,
)
from trainer.data import Split
from trainer.refusals import TrainerRefused


@refusing
def evaluate(
    artifact: Annotated[str, typer.Argument(help="A disease (its live artifact) or a folder.")],
    data: Data,
    as_json: AsJson = False,
    operating_point: Annotated[
        OperatingPointName, typer.Option(help="The threshold that decides.")
    ] = "balanced",
    split: Annotated[
        Split | None, typer.Option(help="Default: test, else val, else everything.")
    ] = None,
    manifest: Manifest = None,
    out: Annotated[Path | None, typer.Option(help="Also write an HTML page here.")] = None,
) -> None:
    """Score the images of DATA as they would be served, with 95 % intervals."""
    from trainer import evaluate as evaluating
    from trainer.progress import Bars

    if out is not None and (out.is_dir() or not out.parent.is_dir()):
        raise TrainerRefused(f"{out} cannot be written: name a file in a folder that exists.")
    settings = read_settings()
    bars = Bars(told)
    with bars.shown():
        found = evaluating.evaluate(
            evaluating.find_artifact(artifact, settings),
            data,
            settings,
            split=split,
            operating_point=operating_point,
            manifest=manifest,
            progress=bars.files,
        )
    result = found.as_json()
    if out is not None:
        from trainer import plots, report

        facts = report.facts(found.card, found.scores, found.data, f"{data}, {result['split']}")
        out.write_text(report.page(facts, plots.Curves(found.scores, [])), encoding="utf-8")
    if as_json:
        print_json(result)
        return
    table = Table("figure", "value", "95 % interval", title=f"{found.card.disease} {result['n']}")
    for name in FIGURES:
        one = result[name]
        table.add_row(name, number(one["value"]), f"{number(one['low'])} - {number(one['high'])}")
    shown.print(table)
    shown.print(json.dumps(result["confusion"]))
    shown.print(f"split {result['split']}, skipped {result['skipped']['count']}. {WARNING}")


FIGURES = (
    "accuracy",
    "balanced_accuracy",
    "auc",
    "sensitivity",
    "specificity",
    "sensitivity_at_specificity_88",
    "ece",
)
