"""Commands about the registry: what is published, live, shadow or retired."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from diagnosis import WARNING
from diagnosis.artifacts import Registry
from diagnosis.catalogue import disease as disease_of
from diagnosis.keys import make_key, read_public_key
from trainer.commands import (
    AsJson,
    DiseaseName,
    RegistryOption,
    VersionName,
    open_registry,
    print_json,
    read_settings,
    refusing,
    shown,
    told,
)
from trainer.differences import differences
from trainer.settings import Settings


def _checking(choice: str | None, settings: Settings) -> Registry:
    """The registry, which asks for signatures where the settings name a public key."""
    key = settings.card_key_file
    return open_registry(choice, settings, None if key is None else read_public_key(key))


@refusing
def make_key_pair(
    out: Annotated[Path, typer.Option("--out", help="File of the private key; it must not exist.")],
) -> None:
    """Make a key that signs cards; print the public key, which the service is given."""
    public = make_key(out)
    typer.echo(public, nl=False)
    told.print(f"The private key is {out}; only its owner may read it.", highlight=False)


@refusing
def publish(
    run: Annotated[Path, typer.Argument(help="Folder that `trainer train` wrote.")],
    registry: RegistryOption = None,
    half: Annotated[
        bool, typer.Option("--half", help="Store the weights in half precision: half the bytes.")
    ] = False,
    int8: Annotated[
        bool,
        typer.Option("--int8", help="Let the 8-bit version travel too, where it is allowed."),
    ] = False,
) -> None:
    """Convert a candidate, prove it unchanged, and publish it as the next version."""
    from trainer.publish import publish as publish_run

    settings = read_settings()
    done = publish_run(
        run, _checking(registry, settings), settings, told.print, half=half, int8=int8
    )
    typer.echo(f"{done.folder}")
    told.print(
        f"It waits: trainer promote {done.card.disease} {done.card.version}", highlight=False
    )


@refusing
def promote(
    disease: DiseaseName,
    version: VersionName,
    registry: RegistryOption = None,
    acknowledged_by: Annotated[
        str | None,
        typer.Option(
            "--acknowledge-lower-sensitivity",
            metavar="NAME",
            help="Who accepts that it catches fewer of the ill than the live one; kept.",
        ),
    ] = None,
) -> None:
    """Make a published version live; refused where that would lower sensitivity."""
    disease_of(disease)
    _checking(registry, read_settings()).promote(disease, version, acknowledged_by)
    typer.echo(f"Version {version} of {disease} is live.")


@refusing
def rollback(disease: DiseaseName, registry: RegistryOption = None) -> None:
    """Return to the version that was live before."""
    disease_of(disease)
    version = _checking(registry, read_settings()).rollback(disease)
    typer.echo(f"Version {version} of {disease} is live again.")


@refusing
def retire(disease: DiseaseName, version: VersionName, registry: RegistryOption = None) -> None:
    """Take a version out of use."""
    disease_of(disease)
    open_registry(registry, read_settings()).retire(disease, version)
    typer.echo(f"Version {version} of {disease} is retired.")


@refusing
def list_versions(registry: RegistryOption = None, as_json: AsJson = False) -> None:
    """What the registry holds: versions by disease, and which is live, shadow or retired."""
    found = open_registry(registry, read_settings())
    rows = []
    for disease in found.diseases():
        state = found.state(disease)
        roles = dict.fromkeys(state.retired, "retired")
        roles |= {version: "shadow" for version in (state.shadow,) if version}
        roles |= {version: "live" for version in (state.live,) if version}
        for version in found.versions(disease):
            since = state.changed_at(version)
            rows.append(
                {
                    "disease": disease,
                    "version": version,
                    "role": roles.get(version, "published"),
                    "changed_at": None if since is None else since.isoformat(timespec="seconds"),
                }
            )
    if as_json:
        print_json({"versions": rows})
        return
    table = Table("disease", "version", "role", "changed")
    for row in rows:
        table.add_row(row["disease"], row["version"], row["role"], row["changed_at"] or "-")
    shown.print(table)


@refusing
def diff(
    disease: DiseaseName,
    before: Annotated[str, typer.Argument(metavar="A", help="A version, for example 1.")],
    after: Annotated[str, typer.Argument(metavar="B", help="Another version of the disease.")],
    registry: RegistryOption = None,
    as_json: AsJson = False,
) -> None:
    """What differs between the cards of two versions; the same measurements, read side by side."""
    disease_of(disease)
    found = open_registry(registry, read_settings())
    rows = differences(found.card(disease, before), found.card(disease, after))
    if as_json:
        print_json(
            {
                "disease": disease,
                "a": before,
                "b": after,
                "differences": [asdict(one) for one in rows],
            }
        )
        return
    if not rows:
        typer.echo(f"The cards of {disease} {before} and {after} say the same.")
        return
    table = Table("part", "field", before, after)
    for one in rows:
        table.add_row(one.part, escape(one.field), _cell(one.before), _cell(one.after))
    shown.print(table)
    told.print(
        "Figures of two cards may come from different images: `trainer compare` measures both on"
        f" the same ones. {WARNING}",
        highlight=False,
    )


def _cell(value: str | float | int | bool | None) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else escape(str(value))
