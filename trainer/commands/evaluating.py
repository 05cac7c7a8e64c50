"""Commands that measure models."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from diagnosis import WARNING
from diagnosis.artifacts import VerifiedArtifact
from diagnosis.contracts import OperatingPointName
from diagnosis.durable import replace_file
from trainer.commands import (
    AsJson,
    Data,
    Manifest,
    print_json,
    read_settings,
    refusing,
    shown,
    told,
)
from trainer.commands.tables import show_comparison, show_evaluation
from trainer.data import Split
from trainer.refusals import TrainerRefused

if TYPE_CHECKING:
    from trainer.evaluate import Evaluation

Point = Annotated[OperatingPointName, typer.Option(help="The threshold that decides.")]
Part = Annotated[Split | None, typer.Option(help="Default: test, else val, else everything.")]
Artifact = Annotated[
    str, typer.Argument(help="A disease (its live artifact), DISEASE@VERSION, or a folder.")
]
Page = Annotated[Path | None, typer.Option("--out", help="Also write an HTML page here.")]


@refusing
def evaluate(
    artifact: Artifact,
    data: Data,
    as_json: AsJson = False,
    operating_point: Point = "balanced",
    split: Part = None,
    manifest: Manifest = None,
    out: Page = None,
    images: Annotated[
        bool, typer.Option(help="Show the worst mistakes on the page: images of patients.")
    ] = True,
) -> None:
    """Score the images of DATA as they would be served, with 95 % intervals."""
    from trainer.evaluate import find_artifact

    _check_page(out)
    run = _evaluator(data, split, operating_point, manifest)
    found = run(find_artifact(artifact, read_settings()))
    result = found.as_json()
    if out is not None:
        from trainer import mistakes, plots, report

        facts = report.facts(found.card, found.measures, found.data, f"{data}, {result['split']}")
        tiles = mistakes.sheet(found.scores, found.data.examples) if images else None
        page = report.page(facts, plots.draw(plots.Curves(found.measures, [])), tiles)
        replace_file(out, page.encode())
    if as_json:
        print_json(result)
        return
    show_evaluation(result, shown)
    shown.print(WARNING, highlight=False)


@refusing
def compare(
    first: Artifact,
    second: Artifact,
    data: Data,
    as_json: AsJson = False,
    operating_point: Point = "balanced",
    split: Part = None,
    manifest: Manifest = None,
    out: Page = None,
) -> None:
    """Say which of two artifacts is better on the images of DATA, and on what."""
    from trainer import compare as comparing
    from trainer.evaluate import find_artifact

    _check_page(out)
    settings, names = read_settings(), (_short(first), _short(second))
    a, b = (find_artifact(one, settings) for one in (first, second))
    comparing.check_same_task(a.card, b.card, names)
    run = _evaluator(data, split, operating_point, manifest)
    found = comparing.compare(run(a), run(b), names)
    result = found.as_json()
    if out is not None:
        from trainer import plots, report

        models = dict(zip(found.names, (found.a.scores, found.b.scores), strict=True))
        drawn = plots.draw_comparison(models, found.differences)
        replace_file(out, report.comparison_page(result, drawn, comparing.NAMES).encode())
    if as_json:
        print_json(result)
        return
    show_comparison(result, shown)
    shown.print(WARNING, highlight=False)


def _evaluator(
    data: Path, split: Split | None, operating_point: OperatingPointName, manifest: Path | None
) -> Callable[[VerifiedArtifact], "Evaluation"]:
    """What evaluates an artifact, with a bar on standard error."""
    from trainer import evaluate as evaluating
    from trainer.progress import Bars

    settings = read_settings()

    def run(artifact: VerifiedArtifact) -> "Evaluation":
        bars = Bars(told)
        with bars.shown():
            return evaluating.evaluate(
                artifact,
                data,
                settings,
                split=split,
                operating_point=operating_point,
                manifest=manifest,
                progress=bars.files,
            )

    return run


def _check_page(out: Path | None) -> None:
    """Before the work is done, not after it."""
    if out is not None and (out.is_dir() or not out.parent.is_dir()):
        raise TrainerRefused(f"{out} cannot be written: name a file in a folder that exists.")


def _short(artifact: str) -> str:
    """A folder by its last two names; other names as they are."""
    return "/".join(Path(artifact).parts[-2:])
