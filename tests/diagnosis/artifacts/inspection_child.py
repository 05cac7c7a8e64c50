"""Inspects files in a process of its own and says what it did: `python THIS GOOD FILE...`.

Whatever Python itself can be seen to do is recorded by an audit hook, which cannot be taken away
again. What a C library would do is out of its sight, so the process gives up the right to open
anything at all: the limit of descriptors is lowered to none, and those it has go on.
"""

import errno
import json
import resource
import socket
import sys
import time
from pathlib import Path

from diagnosis.artifacts.opener import inspect_keras
from diagnosis.errors import ArtifactRefused

FRAMEWORKS = {"keras", "tensorflow", "torch", "jax", "openvino"}


def main(names: list[str]) -> None:
    contents = {name: Path(name).read_bytes() for name in names}
    events: list[str] = []
    # What the first inspection imports is imported before the watch begins.
    inspect_keras(contents[names[0]])
    sys.addaudithook(lambda event, _: events.append(event))
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
    found: dict[str, dict[str, object]] = {}
    for name, content in contents.items():
        events.clear()
        began = time.perf_counter()
        try:
            inspect_keras(content)
            cause = "accepted"
        except ArtifactRefused as error:
            cause = str(error.cause)
        seconds = time.perf_counter() - began
        found[name] = {"cause": cause, "seconds": seconds, "events": sorted(set(events))}
    frameworks = sorted(FRAMEWORKS & set(sys.modules))
    events.clear()
    planted = {"came": _planted(names[0]), "events": events}
    json.dump({"files": found, "frameworks": frameworks, "planted": planted}, sys.stdout)


def _planted(name: str) -> list[str]:
    """What came of opening a file, and a socket: the names of the errors."""
    came = []
    for attempt in (lambda: Path(name).read_bytes(), socket.socket):
        try:
            attempt()
            came.append("opened")
        except OSError as error:
            came.append(errno.errorcode[error.errno or 0])
    return came


if __name__ == "__main__":
    main(sys.argv[1:])
