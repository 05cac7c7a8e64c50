"""The command about the gate of an artifact."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from diagnosis import WARNING
from diagnosis.gate import GateCheck
from trainer.commands import (
    AsJson,
    Data,
    Manifest,
    Others,
    print_json,
    read_settings,
    refusing,
    shown,
    told,
)


@refusing
def gate(
    artifact: Annotated[
        str, typer.Argument(help="The folder of a run, a disease (its live artifact) or a folder.")
    ],
    data: Data,
    others: Others = None,
    without: Annotated[
        list[str] | None, typer.Option("--without", help="A kind of OTHERS to pass over.")
    ] = None,
    manifest: Manifest = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1)] = 0,
    laptop: Annotated[bool, typer.Option(help="Shrink everything: a try in seconds.")] = False,
    as_json: AsJson = False,
) -> None:
    """Give a run a gate that refuses other kinds of images; measure that of an artifact."""
    from trainer.candidate import RUN_NAME
    from trainer.evaluate import find_artifact
    from trainer.gate import Limits, fit_gate, measure_gate
    from trainer.progress import Bars

    settings = read_settings()
    limits = Limits.laptop() if laptop else Limits()
    bars = Bars(told)
    folders, passed_over = tuple(others or ()), tuple(without or ())
    with bars.shown():
        if (Path(artifact) / RUN_NAME).is_file():
            made = fit_gate(
                Path(artifact), data, folders, settings, limits=limits, without=passed_over,
                manifest=manifest, seed=seed, log=bars.log,
            )  # fmt: skip
            checks, threshold = made.checks, made.threshold
        else:
            opened = find_artifact(artifact, settings)
            checks = measure_gate(
                opened, data, folders, settings, limits=limits, without=passed_over,
                manifest=manifest, seed=seed,
            )  # fmt: skip
            threshold = opened.card.gate.threshold if opened.card.gate else 0.0
    if as_json:
        print_json(
            {
                "artifact": artifact,
                "threshold": threshold,
                "checks": [one.model_dump(mode="json") for one in checks],
                "warning": WARNING,
            }
        )
        return
    table = Table("images of", "ought to", "fitted", "images", "groups", "refused", "95 % interval")
    for one in checks:
        table.add_row(*_row(one))
    shown.print(table)
    shown.print(WARNING)


def _row(one: GateCheck) -> tuple[Any, ...]:
    value, low, high = (
        f"{100 * part:.1f} %" for part in (one.refused.value, one.refused.low, one.refused.high)
    )
    return (
        one.kind, "pass" if one.good else "be refused", "yes" if one.fitted else "no",
        str(one.images), str(one.groups), value, f"{low} - {high}",
    )  # fmt: skip
