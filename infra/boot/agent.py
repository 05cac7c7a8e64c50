"""Download AWS's agent of sessions: agent.py FILE. Exits with 1 where it cannot be had."""

import json
import sys
from pathlib import Path
from urllib.request import urlopen

SETTINGS = Path("/etc/sightline/settings.json")


def main(file: str) -> int:
    """Write the package to `file`; the status to exit with."""
    region = json.loads(SETTINGS.read_text("utf-8"))["region"]
    address = (
        f"https://s3.{region}.amazonaws.com/amazon-ssm-{region}"
        "/latest/debian_amd64/amazon-ssm-agent.deb"
    )
    try:
        with urlopen(address, timeout=10) as answer:
            Path(file).write_bytes(answer.read())
    except OSError:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
