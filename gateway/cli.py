"""The command `gateway`: run the local stack, make keys and accounts, print the configuration."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from pydantic import ValidationError

from diagnosis import WARNING
from diagnosis.audit import AuditLog
from diagnosis.errors import SightlineError
from diagnosis.identity import Role
from diagnosis.telemetry import configure_logging
from gateway import audit_commands
from gateway.backup import BackupFailed, Kept, back_up, restore
from gateway.certbot import CertbotVariables, write_units
from gateway.identity import commands
from gateway.preparing import Place, prepare
from gateway.readiness import NotReady, wait_until_ready
from gateway.rendering import read_variables, render
from gateway.servers import ServerNotFound
from gateway.settings import Settings, deployed_identity
from gateway.stack import (
    CannotStart,
    Places,
    check_port,
    nginx_variables,
    processes,
    redis_url,
    running_url,
    sole_run,
)
from gateway.store import IdentityStore
from gateway.supervisor import Supervisor

app = typer.Typer(
    help="The one public door: the local stack and its proxy.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.add_typer(audit_commands.app, name="audit")

T = TypeVar("T")
Work = Callable[[IdentityStore, AuditLog], Awaitable[str]]

Port = Annotated[int | None, typer.Option(min=1, max=65535, help="The one TCP port, on 127.0.0.1.")]
RunDir = Annotated[
    Path | None,
    typer.Option(file_okay=False, help="Where data, logs and sockets of this stack lie."),
]


Tls = Annotated[
    bool | None,
    typer.Option("--tls/--no-tls", help="Speak TLS, with an authority made for this machine."),
]


def _settings(port: int | None, run_dir: Path | None, tls: bool | None) -> Settings:
    given = {"port": port, "run_dir": run_dir, "tls": tls}
    return Settings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]


@app.command()
def run(port: Port = None, run_dir: RunDir = None, tls: Tls = None) -> None:
    """Start Redis, the services and Nginx; stop them all on Ctrl-C."""
    settings = _settings(port, run_dir, tls)
    places = Places.under(settings.run_dir)
    try:
        with sole_run(places, settings.port, "https" if settings.tls else "http"):
            check_port(settings.port)
            places.prepare()
            try:
                status = _supervise(settings, places)
            finally:
                places.tidy()
    except (CannotStart, ServerNotFound, SightlineError) as problem:
        typer.echo(problem, err=True)
        raise typer.Exit(1) from None
    raise typer.Exit(status)


def _supervise(settings: Settings, places: Places) -> int:
    """Run the stack until it is stopped; the status to exit with."""
    failed = False

    def announce(supervisor: Supervisor) -> None:
        nonlocal failed
        try:
            if wait_until_ready(settings, places, given_up=lambda: supervisor.stopping):
                supervisor.ready()
                supervisor.say(f"READY: open {settings.url} (Ctrl-C stops it)")
                if settings.tls:
                    supervisor.say(_how_to_trust(settings, places))
                supervisor.say(WARNING)
                _invite_the_first_admin(settings, places, supervisor)
        except (NotReady, SightlineError) as problem:
            failed = True
            supervisor.say(str(problem))
            supervisor.terminate()

    supervisor = Supervisor(processes(settings, places), announce)
    supervisor.loop()
    if supervisor.first_to_stop is not None:
        typer.echo(f"{supervisor.first_to_stop} cannot run, so all was stopped.", err=True)
        return 1
    return 1 if failed else 0


def _invite_the_first_admin(settings: Settings, places: Places, supervisor: Supervisor) -> None:
    token = commands.with_store(redis_url(places, "identity"), commands.first_admin)
    if token is not None:
        supervisor.say("Nobody can administer Sightline yet. Open this link to become its admin;")
        supervisor.say("it works once, within 24 hours, and the next start prints a new one:")
        supervisor.say(f"{settings.url}/welcome/{token}")


@app.command("backup")
def backup(
    to: Annotated[Path, typer.Argument(dir_okay=False, help="The new file.")],
    run_dir: RunDir = None,
) -> None:
    """Write a backup of the run folder, of a running Sightline too."""
    _kept("Backed up", to, lambda places: back_up(places, to), run_dir)


@app.command("restore")
def restore_backup(
    backup: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A backup.")],
    run_dir: RunDir = None,
) -> None:
    """Make a run folder of a backup, where there is none yet."""
    _kept("Restored", backup, lambda places: restore(backup, places), run_dir)


def _kept(done: str, file: Path, work: Callable[[Places], Kept], run_dir: Path | None) -> None:
    places = Places.under(_settings(None, run_dir, None).run_dir)
    try:
        kept = work(places)
    except BackupFailed as problem:
        typer.echo(problem, err=True)
        raise typer.Exit(1) from None
    size = f"{kept.files} files, {kept.size / 1e6:.1f} MB"
    typer.echo(f"{done} {places.run_dir}: {size}.")
    typer.echo(f"{kept.digest}  {file}")


@app.command("redis-url")
def print_redis_url(run_dir: RunDir = None) -> None:
    """Print the address of the local stack's Redis for the trainer, password included."""
    try:
        typer.echo(redis_url(Places.under(_settings(None, run_dir, None).run_dir), "trainer"))
    except CannotStart as problem:
        typer.echo(problem, err=True)
        raise typer.Exit(1) from None


Roles = Annotated[list[Role], typer.Option("--role", help="May be given several times.")]


@app.command("create-key")
def create_key(
    role: Roles,
    name: Annotated[str, typer.Option(help="What the key is called in lists.")] = "command line",
    days: Annotated[float, typer.Option(min=0.001, max=366, help="How long it works.")] = 90,
    run_dir: RunDir = None,
) -> None:
    """Make an API key for scripts; the last line of the output is the key alone."""
    _, key = _at_the_running_one(
        run_dir,
        lambda store, audit: commands.create_key(store, audit, tuple(role), name=name, days=days),
    )
    typer.echo(f"A key with the roles {', '.join(role)} for {days:g} days:", err=True)
    typer.echo(key)


@app.command("create-user")
def create_user(
    name: str,
    role: Roles,
    unit: Annotated[str, typer.Option(help="Whose readings they see.")] = "default",
    run_dir: RunDir = None,
) -> None:
    """Make an account and print a one-time link that sets its password."""
    _print_link(
        run_dir,
        lambda store, audit: commands.create_user(store, audit, name, tuple(role), unit=unit),
    )


@app.command("reset-user")
def reset_user(name: str, run_dir: RunDir = None) -> None:
    """Let somebody in again: password, codes and sessions end, a one-time link is printed."""
    _print_link(run_dir, lambda store, audit: commands.reset_user(store, audit, name))


def _print_link(run_dir: Path | None, work: Work) -> None:
    url, token = _at_the_running_one(run_dir, work)
    typer.echo("A link that works once, within 24 hours:", err=True)
    typer.echo(f"{url}/welcome/{token}")


def _at_the_running_one(run_dir: Path | None, work: Callable[..., Awaitable[T]]) -> tuple[str, T]:
    """The address that people use, and what some work with the store of accounts gave: of the
    deployment whose settings the environment holds, else of the stack that runs from a folder."""
    configure_logging("WARNING")
    try:
        deployed = deployed_identity() if run_dir is None else None
        if deployed is not None:
            url = deployed.redis_url.get_secret_value()
            done = commands.with_store(url, work, deployed.redis_ca_file)
            return deployed.public_url, done
        places = Places.under(_settings(None, run_dir, None).run_dir)
        return running_url(places), commands.with_store(redis_url(places, "identity"), work)
    except (CannotStart, SightlineError) as problem:
        typer.echo(problem, err=True)
    except ValidationError as problem:
        wrong = ", ".join(str(one["loc"][0]) for one in problem.errors())
        typer.echo(f"Not a possible value: {wrong}.", err=True)
    raise typer.Exit(1)


@app.command("invite-admin")
def invite_admin(run_dir: RunDir = None) -> None:
    """Print a one-time link for the first admin, while nobody can administer Sightline yet."""
    url, token = _at_the_running_one(run_dir, commands.first_admin)
    if token is None:
        typer.echo("Somebody can administer Sightline; reset-user lets them in again.", err=True)
        raise typer.Exit(1)
    typer.echo("A link that works once, within 24 hours:", err=True)
    typer.echo(f"{url}/welcome/{token}")


@app.command("prepare")
def prepare_deployment(
    place: Annotated[str, typer.Argument(help="host: units on one server. compose: containers.")],
    host_name: Annotated[
        list[str], typer.Option(help="A name that people use; links begin with the first.")
    ],
    public_port: Annotated[int, typer.Option(min=1, max=65535, help="That people use.")] = 443,
    certificate: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="With its chain (PEM).")
    ] = None,
    certificate_key: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Its private key (PEM).")
    ] = None,
    grafana: Annotated[
        str, typer.Option(help="Where Grafana listens, HOST:PORT; shown to the role ops.")
    ] = "",
    metrics_port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Of 127.0.0.1, for a Prometheus on this server."),
    ] = None,
) -> None:
    """Write what the services of a server or of containers start with, below /etc/sightline and
    /var/lib/sightline: users of Redis, keys, a certificate, the proxy's configuration, settings.
    Passwords, keys and certificates that are there stay."""
    if (certificate is None) != (certificate_key is None):
        raise typer.BadParameter("a certificate and its key belong together")
    given = (certificate, certificate_key) if certificate and certificate_key else None
    try:
        chosen = Place.read(place)
        more = {"grafana": grafana or None, "metrics_port": metrics_port}
        chosen = Place.model_validate({**chosen.model_dump(), **more})
        prepare(chosen, host_name, public_port=public_port, certificate=given)
    except ValidationError as problem:
        wrong = ", ".join(str(one["input"]) for one in problem.errors())
        typer.echo(f"Not a possible value: {wrong}.", err=True)
    except (OSError, SightlineError) as problem:
        typer.echo(problem, err=True)
    else:
        return
    raise typer.Exit(1)


def _how_to_trust(settings: Settings, places: Places) -> str:
    authority = places.tls.authority
    return (
        f"Its certificate is from an authority made for this machine: {authority}."
        " A browser trusts it once the file is imported as an authority in its settings;"
        f" curl trusts it with --cacert {authority} {settings.url}/"
    )


@app.command("render-nginx")
def render_nginx(
    port: Port = None,
    run_dir: RunDir = None,
    tls: Tls = None,
    variables: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="A TOML file of all variables, in place of those of the local stack.",
        ),
    ] = None,
) -> None:
    """Print the proxy's configuration: the local stack's, or that of a server's variables."""
    if variables is not None:
        text = render(read_variables(variables))
    else:
        settings = _settings(port, run_dir, tls)
        text = render(nginx_variables(settings, Places.under(settings.run_dir)))
    typer.echo(text, nl=False)


@app.command("render-certbot")
def render_certbot(
    variables: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="A TOML file, as certbot.toml is.")
    ],
    out: Annotated[Path, typer.Option(file_okay=False, help="Where to write the two units.")],
) -> None:
    """Write the systemd service and timer that get and renew a server's certificate."""
    for path in write_units(CertbotVariables.read(variables), out):
        typer.echo(path)


if __name__ == "__main__":
    app()
