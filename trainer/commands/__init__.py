"""The commands of `trainer`, one module a noun, and what they share.

A command that cannot do what was asked says so in a sentence on standard error and exits with 2.
"""

import json
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar

import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import ValidationError
from rich.console import Console

from diagnosis.artifacts import Registry, storage_at
from diagnosis.catalogue import catalogue
from diagnosis.errors import SightlineError, UnknownDisease
from trainer.refusals import TrainerRefused
from trainer.settings import Settings

told = Console(stderr=True)
shown = Console()

P = ParamSpec("P")
R = TypeVar("R")

Data = Annotated[
    Path, typer.Option("--data", help="Folder of class folders or of train/val/test, or an .npz.")
]
Manifest = Annotated[
    Path | None, typer.Option(help="manifest.csv, where it is not in DATA or above it.")
]
SignOffFile = Annotated[
    Path | None,
    typer.Option("--sign-off", help="File of sign-offs, where it is not beside DATA."),
]
RegistryOption = Annotated[
    str | None,
    typer.Option(
        "--registry", help="Folder or s3://BUCKET/PREFIX of the registry; default by the settings."
    ),
]
Others = Annotated[
    list[Path] | None,
    typer.Option("--others", help="Folder with a folder a kind of other images; may be repeated."),
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


def read_settings() -> Settings:
    """The settings of the environment.

    Raises:
        TrainerRefused: one of them is not valid.
    """
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = f"{Settings.model_config['env_prefix']}{first['loc'][0]}".upper()
        raise TrainerRefused(f"{name}: {first['msg']}.") from error


def open_registry(
    choice: str | None, chosen: Settings, key: Ed25519PublicKey | None = None
) -> Registry:
    """The registry of `--registry`, or the settings'; with a key it asks for signatures."""
    return Registry(storage_at(choice or chosen.registry, chosen.registry_cache_dir), key)


def print_json(value: Any) -> None:
    """One JSON value on standard output."""
    typer.echo(json.dumps(value, indent=2, allow_nan=False))


def number(value: float | None) -> str:
    """A figure to three decimals, or a dash."""
    return "-" if value is None else f"{value:.3f}"
