"""The command `gateway`: run the local stack, or print the proxy's configuration."""

from pathlib import Path
from typing import Annotated

import typer

from diagnosis import WARNING
from gateway import audit_commands
from gateway.readiness import NotReady, wait_until_ready
from gateway.rendering import render
from gateway.servers import ServerNotFound
from gateway.settings import Settings
from gateway.stack import (
    HOST,
    CannotStart,
    Places,
    check_port,
    nginx_variables,
    processes,
    sole_run,
)
from gateway.supervisor import Supervisor

app = typer.Typer(
    help="The one public door: the local stack and its proxy.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.add_typer(audit_commands.app, name="audit")

Port = Annotated[int | None, typer.Option(min=1, max=65535, help="The one TCP port, on 127.0.0.1.")]
RunDir = Annotated[
    Path | None,
    typer.Option(file_okay=False, help="Where data, logs and sockets of this stack lie."),
]


def _settings(port: int | None, run_dir: Path | None) -> Settings:
    given = {"port": port, "run_dir": run_dir}
    return Settings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]


@app.command()
def run(port: Port = None, run_dir: RunDir = None) -> None:
    """Start Redis, inference_service, web_ui and Nginx; stop them all on Ctrl-C."""
    settings = _settings(port, run_dir)
    places = Places.under(settings.run_dir)
    try:
        with sole_run(places, settings.port):
            check_port(settings.port)
            places.prepare()
            try:
                status = _supervise(settings, places)
            finally:
                places.tidy()
    except (CannotStart, ServerNotFound) as problem:
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
                supervisor.say(f"READY: open http://{HOST}:{settings.port} (Ctrl-C stops it)")
                supervisor.say(WARNING)
        except NotReady as problem:
            failed = True
            supervisor.say(str(problem))
            supervisor.terminate()

    supervisor = Supervisor(processes(settings, places), announce)
    supervisor.loop()
    if supervisor.first_to_stop is not None:
        typer.echo(f"{supervisor.first_to_stop} cannot run, so all was stopped.", err=True)
        return 1
    return 1 if failed else 0


@app.command("render-nginx")
def render_nginx(port: Port = None, run_dir: RunDir = None) -> None:
    """Print the proxy's configuration as the local stack would use it."""
    settings = _settings(port, run_dir)
    typer.echo(render(nginx_variables(settings, Places.under(settings.run_dir))), nl=False)


if __name__ == "__main__":
    app()
