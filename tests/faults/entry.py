"""`gateway run`, with two changes that only a test makes: `python -m tests.faults.entry RUN_DIR`.

Services reach Redis by a cable that can be cut (`tests.faults.cable`), and those that keep readings
are started by `tests.faults.hooked`, which lets them die at a step of their work. Each process
writes its id where the test finds it.
"""

import sys
from dataclasses import replace
from pathlib import Path

from gateway import cli, stack
from gateway.settings import Settings
from gateway.stack import Places
from gateway.supervisor import ProcessSpec

#: Who reaches Redis by the cable; the chainer reads the run folder by itself.
CABLED = ("identity", "inference", "worker")
HOOKED = {
    "inference_service.app:create_app": "tests.faults.hooked:create_app",
    "inference_service.worker:create_app": "tests.faults.hooked:create_worker",
}
CABLE = "cable.sock"


def changed(spec: ProcessSpec, places: Places, control: Path) -> ProcessSpec:
    """A process of the stack as the test starts it."""
    environment = dict(spec.environment) | {"FAULTS_CONTROL": str(control)}
    if spec.name.startswith(CABLED):
        environment = {
            name: value.replace(str(places.redis_socket), str(places.sockets / CABLE))
            for name, value in environment.items()
        }
    command = tuple(HOOKED.get(part, part) for part in spec.command)
    # The shell becomes the program, so its id is the program's.
    say = 'echo $$ > "$0.new" && mv "$0.new" "$0" && exec "$@"'
    command = ("/bin/sh", "-c", say, str(control / f"{spec.name}.pid"), *command)
    return replace(spec, command=command, environment=environment)


def main() -> None:
    """Run the stack of a run folder; what controls it lies beside."""
    run_dir, control, port = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    specs = stack.processes

    def processes(settings: Settings, places: Places) -> tuple[ProcessSpec, ...]:
        return tuple(changed(one, places, control) for one in specs(settings, places))

    cli.processes = processes  # type: ignore[attr-defined]
    sys.argv[1:] = ["run", "--run-dir", str(run_dir), "--port", port]
    cli.app()


if __name__ == "__main__":
    main()
