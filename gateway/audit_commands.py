"""The commands `gateway audit`: write the trail, check it, carry parts of it away."""

import asyncio
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from diagnosis.audit import connect_stream
from diagnosis.contracts import now
from diagnosis.errors import KeyRefused
from diagnosis.keys import read_private_key, read_public_key
from diagnosis.process import keep_memory
from diagnosis.telemetry import configure_logging
from gateway.audit_export import ExportFailed, Format, export
from gateway.audit_search import Query
from gateway.chain import Chain, ChainDamaged, ChainHeld
from gateway.chain_checks import verify
from gateway.chain_heads import Head
from gateway.chainer import Chainer
from gateway.settings import Settings
from gateway.stack import CannotStart, Places, redis_url

#: More findings than these are counted, not shown.
MOST_SHOWN = 20

#: What `verify` exits with where something is wrong with the trail.
TAMPERED = 2

app = typer.Typer(help="The audit trail: who did what, chained and signed.", no_args_is_help=True)

RunDir = Annotated[
    Path | None, typer.Option(file_okay=False, help="Where the stack's data lies; .run if not set.")
]


def _places(run_dir: Path | None) -> tuple[Settings, Places]:
    settings = Settings() if run_dir is None else Settings(run_dir=run_dir)
    return settings, Places.under(settings.run_dir)


@app.command("chain")
def chain(run_dir: RunDir = None) -> None:
    """Move events from Redis into the chain until stopped; one process at a time."""
    settings, places = _places(run_dir)
    try:
        key = read_private_key(places.identity_key)
        given = settings.audit_redis_url
        address = redis_url(places, "chainer") if given is None else given.get_secret_value()
        held = Chain.open(places.audit)
    except (CannotStart, ChainHeld, ChainDamaged, KeyRefused) as problem:
        typer.echo(problem, err=True)
        raise typer.Exit(1) from None

    configure_logging()
    keep_memory()

    async def work() -> None:
        stopping = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        stream = connect_stream(address, settings.redis_ca_file)
        try:
            await Chainer(stream, held, key).run(stopping)
        finally:
            await stream.close()

    try:
        asyncio.run(work())
    except ChainDamaged as problem:
        typer.echo(problem, err=True)
        raise typer.Exit(1) from None
    finally:
        held.close()


@app.command("verify")
def verify_trail(
    run_dir: RunDir = None,
    key: Annotated[
        list[Path] | None,
        typer.Option(help="Public key (PEM) that signed heads; by default the gateway's own."),
    ] = None,
    head: Annotated[
        list[Path] | None, typer.Option(help="A head that an export carried away.")
    ] = None,
) -> None:
    """Check every record, link and signed head; exit 2 where one was changed, dropped or moved."""
    _, places = _places(run_dir)
    try:
        keys = [read_public_key(one) for one in key or ()] or [_own_key(places)]
        kept = [_read_head(one) for one in head or ()]
    except (KeyRefused, ExportFailed) as problem:
        typer.echo(problem, err=True)
        raise typer.Exit(1) from None
    verdict = verify(places.audit, keys, kept)
    for finding in verdict.findings[:MOST_SHOWN]:
        typer.echo(finding)
    if verdict.findings:
        typer.echo(
            f"{len(verdict.findings)} findings in {verdict.records} records: the audit trail is not"
            " as it was written.",
            err=True,
        )
        raise typer.Exit(TAMPERED)
    signed = verdict.last_head
    typer.echo(
        f"{verdict.records} records are as they were written; "
        + ("no head is signed yet." if signed is None else f"signed up to record {signed.seq}.")
    )


@app.command("export")
def export_trail(
    run_dir: RunDir = None,
    since: Annotated[
        datetime | None,
        typer.Option("--from", formats=["%Y-%m-%d"], help="First day, in UTC; all if not set."),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option("--to", formats=["%Y-%m-%d"], help="Last day, in UTC; today if not set."),
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="How it is written.")] = Format.JSONL,
    to_folder: Annotated[
        Path | None, typer.Option(file_okay=False, help="Folder to write to.")
    ] = None,
    to_s3: Annotated[
        str | None, typer.Option(help="s3://BUCKET/PREFIX to write to; needs boto3.")
    ] = None,
) -> None:
    """Write a part of the trail and a signed head to a folder or a bucket."""
    if (to_folder is None) == (to_s3 is None):
        raise typer.BadParameter("Name --to-folder or --to-s3, one of them.")
    _, places = _places(run_dir)
    query = Query(
        since=None if since is None else since.replace(tzinfo=UTC),
        until=None if until is None else until.replace(tzinfo=UTC) + timedelta(days=1),
    )
    target = to_s3 if to_s3 is not None else str(to_folder)
    try:
        key = read_private_key(places.identity_key)
        made = export(places.audit, query, form, key, now(), target)
    except (ExportFailed, KeyRefused) as problem:
        typer.echo(problem, err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{made.records} records")
    for place in made.places:
        typer.echo(place)


def _own_key(places: Places) -> Ed25519PublicKey:
    return read_private_key(places.identity_key).public_key()


def _read_head(path: Path) -> Head:
    try:
        found = Head.read(path.read_bytes().removesuffix(b"\n"))
    except OSError:
        found = None
    if found is None:
        raise ExportFailed(f"{path} holds no head of an audit trail.")
    return found
