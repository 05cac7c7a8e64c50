"""`trainer`: audit, train, evaluate, publish, promote, roll back, retire, list.

A command that cannot do what was asked says so in a sentence on standard error and exits with 2.
"""

import json
from collections.abc import Callable
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from diagnosis import WARNING
from diagnosis.artifacts import Registry
from diagnosis.catalogue import catalogue
from diagnosis.catalogue import disease as disease_of
from diagnosis.contracts import OperatingPointName
from diagnosis.errors import SightlineError, UnknownDisease
from trainer import audit as auditing
from trainer.data import Split
from trainer.refusals import TrainerRefused
from trainer.runtime import hush
from trainer.settings import Settings

# Before any import of a runtime further down, on every command.
hush()

app = typer.Typer(
    name="trainer",
    help=f"Audits data, trains, evaluates and publishes models. {WARNING}",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
told = Console(stderr=True)
shown = Console()

P = ParamSpec("P")
R = TypeVar("R")

Data = Annotated[
    Path, typer.Option("--data", help="Folder of class folders, or of train/val/test.")
]
Manifest = Annotated[
    Path | None, typer.Option(help="manifest.csv, where it is not in DATA or above it.")
]
RegistryOption = Annotated[
    Path | None, typer.Option("--registry", help="Registry folder; default by the settings.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
DiseaseName = Annotated[str, typer.Argument(help="A disease of the catalogue.")]
VersionName = Annotated[str, typer.Argument(help="A version of the disease, for example 2.")]


def refusing(command: Callable[P, R]) -> Callable[P, R]:
    """Turn what is refused into a sentence on standard error and exit code 2."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except TrainerRefused as error:
            sentence = str(error)
        except UnknownDisease as error:
            sentence = f"{error.detail} It has: {', '.join(catalogue())}."
        except SightlineError as error:
            cause = f" ({error.cause})" if error.cause else ""
            sentence = f"{error.detail}{cause} {error.remedy}"
        except OSError as error:
            sentence = f"{error.filename or 'A file'} cannot be used: {error.strerror or error}."
        typer.echo(sentence, err=True)
        raise typer.Exit(2)

    return wrapped


@app.command()
@refusing
def audit(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Folder of class folders.")],
    disease: Annotated[str | None, typer.Option(help="Compare with its classes.")] = None,
    manifest: Manifest = None,
    as_json: AsJson = False,
) -> None:
    """Read every file of DATA and list what has to be mended before training."""
    settings = _settings()
    report = auditing.audit(
        data,
        disease_of(disease) if disease else None,
        manifest=manifest,
        workers=settings.workers,
    )
    if as_json:
        _print_json(report)
        return
    table = Table("split", "class", "images", title=f"{report['files']} files in {data}")
    for split, counts in report["splits"].items():
        for class_id, count in counts.items():
            table.add_row(split, class_id, str(count))
    shown.print(table)
    for name in ("sizes", "modes", "formats"):
        most = ", ".join(f"{key} ({count})" for key, count in list(report[name].items())[:5])
        shown.print(f"{name}: {most}", highlight=False)
    for one in report["unreadable"][:20]:
        shown.print(f"unreadable: {one['file']} ({one['reason']})", highlight=False)
    for problem in report["problems"]:
        shown.print(f"- {problem}", highlight=False)


@app.command()
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
) -> None:
    """Train a candidate and write its report; `publish` makes an artifact of it."""
    from trainer.progress import Bars
    from trainer.train import Request, Watch
    from trainer.train import train as run

    settings = _settings()
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
    )
    bars = Bars(told)
    with bars.shown():
        folder = run(
            request, settings, Watch(log=bars.log, files=bars.files, callbacks=bars.callbacks)
        )
    typer.echo(f"{folder}")
    told.print(f"Read {folder / 'report.html'}, then: trainer publish {folder}", highlight=False)


@app.command()
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
    settings = _settings()
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
        _print_json(result)
        return
    table = Table("figure", "value", "95 % interval", title=f"{found.card.disease} {result['n']}")
    for name in FIGURES:
        one = result[name]
        table.add_row(
            name, _number(one["value"]), f"{_number(one['low'])} - {_number(one['high'])}"
        )
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


@app.command()
@refusing
def publish(
    run: Annotated[Path, typer.Argument(help="Folder that `trainer train` wrote.")],
    registry: RegistryOption = None,
) -> None:
    """Convert a candidate, prove it unchanged, and publish it as the next version."""
    from trainer.publish import publish as publish_run

    settings = _settings()
    done = publish_run(run, _registry(registry, settings), settings, told.print)
    typer.echo(f"{done.folder}")
    told.print(
        f"It waits: trainer promote {done.card.disease} {done.card.version}", highlight=False
    )


@app.command()
@refusing
def promote(disease: DiseaseName, version: VersionName, registry: RegistryOption = None) -> None:
    """Make a published version live."""
    disease_of(disease)
    _registry(registry, _settings()).promote(disease, version)
    typer.echo(f"Version {version} of {disease} is live.")


@app.command()
@refusing
def rollback(disease: DiseaseName, registry: RegistryOption = None) -> None:
    """Return to the version that was live before."""
    disease_of(disease)
    version = _registry(registry, _settings()).rollback(disease)
    typer.echo(f"Version {version} of {disease} is live again.")


@app.command()
@refusing
def retire(disease: DiseaseName, version: VersionName, registry: RegistryOption = None) -> None:
    """Take a version out of use."""
    disease_of(disease)
    _registry(registry, _settings()).retire(disease, version)
    typer.echo(f"Version {version} of {disease} is retired.")


@app.command(name="list")
@refusing
def list_versions(registry: RegistryOption = None, as_json: AsJson = False) -> None:
    """What the registry holds: versions by disease, and which is live, shadow or retired."""
    found = _registry(registry, _settings())
    rows = []
    for disease in found.diseases():
        state = found.state(disease)
        roles = dict.fromkeys(state.retired, "retired")
        roles |= {version: "shadow" for version in (state.shadow,) if version}
        roles |= {version: "live" for version in (state.live,) if version}
        rows += [
            {"disease": disease, "version": version, "role": roles.get(version, "published")}
            for version in found.versions(disease)
        ]
    if as_json:
        _print_json({"versions": rows})
        return
    table = Table("disease", "version", "role")
    for row in rows:
        table.add_row(row["disease"], row["version"], row["role"])
    shown.print(table)


def _settings() -> Settings:
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = f"{Settings.model_config['env_prefix']}{first['loc'][0]}".upper()
        raise TrainerRefused(f"{name}: {first['msg']}.") from error


def _registry(choice: Path | None, settings: Settings) -> Registry:
    return Registry(choice or settings.registry_dir)


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, allow_nan=False))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    app()
