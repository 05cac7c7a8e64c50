"""`make test-infra`: try the infrastructure for real, part by part, and say how each part went.

    python -m tests.infra.run [PART ...]

The last lines are one a part: `ok`, `failed`, or `not possible here: WHY`. With CI=true a part
whose tools are there and that is not possible all the same has failed. Exits with 1 where one has.
"""

import os
import sys
import time
import traceback
from collections.abc import Callable

from tests.infra.bench import Bench
from tests.infra.parts import (
    NotPossible,
    boot,
    carried,
    host,
    images,
    locks,
    reachability,
    stack,
    static,
    training,
    watching,
)

#: In the order to run; those before `destroy` may ask for the applied stack.
PARTS: dict[str, Callable[[Bench], None]] = {
    "terraform-validate": static.validate,
    "terraform-test": static.native_tests,
    "policies": static.policies,
    "checkov": static.checkov,
    "terraform-apply": stack.apply,
    "second-plan": stack.second_plan,
    "reachability": reachability.reachability,
    "boot-edge": boot.edge,
    "boot-app": boot.app,
    "boot-trainer": training.trainer,
    "boot-monitoring": watching.monitoring,
    "destroy": stack.destroy,
    "images": images.images,
    "compose-reading": images.compose_reading,
    "compose-monitoring": images.monitored,
    "compose-offline": carried.carried,
    "single-host": host.single_host,
    "aarch64": locks.aarch64,
}


def main(names: list[str]) -> int:
    """Run the parts of these names, all if there are none; the status to exit with."""
    unknown = set(names) - set(PARTS)
    if unknown:
        sys.stderr.write(
            f"No such part: {', '.join(sorted(unknown))}. There are {', '.join(PARTS)}.\n"
        )
        return 2
    verdicts: dict[str, str] = {}
    wanted = [name for name in PARTS if not names or name in names]
    boots = any(name.startswith("boot-") for name in wanted)
    with Bench(boots=boots, trains="boot-trainer" in wanted) as bench:
        for name in wanted:
            verdicts[name] = _tried(name, PARTS[name], bench)
    images.done()
    width = max(map(len, verdicts))
    sys.stdout.write("\n" + "".join(f"{name:{width}}  {said}\n" for name, said in verdicts.items()))
    return 1 if any(said.startswith("failed") for said in verdicts.values()) else 0


def _tried(name: str, part: Callable[[Bench], None], bench: Bench) -> str:
    sys.stdout.write(f"== {name}\n")
    sys.stdout.flush()
    began = time.monotonic()
    try:
        part(bench)
    except NotPossible as why:
        strict = os.environ.get("CI") == "true" and why.tool_is_there
        return f"failed: not possible here: {why}" if strict else f"not possible here: {why}"
    except Exception as error:  # noqa: BLE001 - whatever it was, the other parts are tried too
        traceback.print_exc()
        return (
            f"failed: {str(error).strip().splitlines()[0] if str(error) else type(error).__name__}"
        )
    return f"ok ({time.monotonic() - began:.0f} s)"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
