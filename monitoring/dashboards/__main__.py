"""The files that Grafana reads, and the table of monitoring/README.md.

python -m monitoring.dashboards            writes them
python -m monitoring.dashboards --check    exits with 1 where one is not up to date
"""

import sys
from pathlib import Path

from monitoring.dashboards import BOARDS
from monitoring.dashboards.making import text
from monitoring.dashboards.metrics import table
from monitoring.objectives import HERE

FOLDER = HERE / "grafana" / "dashboards"
README = HERE / "README.md"
BEGIN, END = "<!-- metrics: begin -->", "<!-- metrics: end -->"


def files() -> dict[Path, str]:
    """Every file that is made, and its content."""
    before, _, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    readme = f"{before}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}"
    return {FOLDER / f"{one.uid}.json": text(one) for one in BOARDS} | {README: readme}


def main(arguments: list[str]) -> int:
    """Write the files, or compare them."""
    made = files()
    stale = [
        path
        for path, content in made.items()
        if not path.is_file() or path.read_text(encoding="utf-8") != content
    ]
    stale += [path for path in FOLDER.glob("*.json") if path not in made]
    if "--check" in arguments:
        for path in stale:
            sys.stderr.write(f"{path} is not up to date: python -m monitoring.dashboards\n")
        return int(bool(stale))
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path in stale:
        if path in made:
            path.write_text(made[path], encoding="utf-8")
        else:
            path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
