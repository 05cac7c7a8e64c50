"""`make drift`: the stop rule on real films, with and without drift; prints the tables.

`--write` writes them into `docs/drift.md`, with the day and the commit, and draws `docs/drift.svg`.
"""

import re
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from diagnosis.drift import COMPARED
from tests.drift.streams import DAYS, VOLUME
from tests.drift.trial import AT_MOST, TIMES, Row, run
from trainer.settings import PROJECT, Settings

DOCUMENT, DRAWING = PROJECT / "docs" / "drift.md", PROJECT / "docs" / "drift.svg"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
_BLUE, _GREY = "#0072b2", "#6b7280"


def tables(stable: Sequence[Row], shifted: Sequence[Row]) -> str:
    """Both tables as Markdown."""
    lines = []
    lines.append(
        f"Months in which nothing drifts, {VOLUME} judged films a day, {DAYS} days; in each month"
        " another half of the films is the reference, and the other half comes:\n\n"
        "| films | months | windows | past the limit: input, embedding, score | false stops |\n"
        "|---|---|---|---|---|"
    )
    lines += [
        f"| {row.what} | {len(row.months)} | {_windows(row)} | {_past(row)} | {len(row.stopped)} |"
        for row in stable
    ]
    lines.append(
        f"\nFilms that are not like those of the card, {VOLUME} sent a day, for at most {AT_MOST}"
        f" days, {TIMES} times each; days until the model is stopped:\n\n"
        "| films | the gate refuses | stopped | days: median (longest)"
        " | windows past the limit: input, embedding, score |\n"
        "|---|---|---|---|---|"
    )
    lines += [
        f"| {row.what} | {100 * row.refused:.0f} % | {len(row.stopped)} of {len(row.months)}"
        f" | {row.days} | {_past(row)} of {_windows(row)} |"
        for row in shifted
    ]
    return "\n".join(lines)


def _windows(row: Row) -> int:
    return sum(one.windows for one in row.months)


def _past(row: Row) -> str:
    return ", ".join(str(sum(one.past[name] for one in row.months)) for name in COMPARED)


def draw(shifted: Sequence[Row]) -> None:
    """Write the drawing: days until each shift stopped the model, every time."""
    figure = Figure(figsize=(8, 0.4 * len(shifted) + 1.3), layout="constrained")
    axes = figure.add_subplot()
    places = np.arange(len(shifted))[::-1]
    for place, row in zip(places, shifted, strict=True):
        days = list(row.stopped)
        missed = len(row.months) - len(days)
        apart = np.linspace(-0.25, 0.25, max(len(days), 1))
        axes.plot(days, place + apart[: len(days)], "o", color=_BLUE, ms=3.5)
        if missed:
            axes.text(AT_MOST, place, f"{missed} not stopped", color=_GREY, ha="right", va="center")
    axes.set_yticks(places, [row.what for row in shifted])
    axes.set_xlim(0, AT_MOST)
    axes.set_xlabel(f"days until the model is stopped, {VOLUME} films a day")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", color="#e5e7eb")
    FigureCanvasSVG(figure)
    # The same figures make the same file.
    with rc_context({"svg.hashsalt": "drift"}):
        figure.savefig(DRAWING, format="svg", metadata={"Date": None, "Creator": None})


def write(stable: Sequence[Row], shifted: Sequence[Row]) -> None:
    """Put the tables into the document and the drawing beside it."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    told = f"`make drift`, {datetime.now(UTC):%Y-%m-%d}, commit {commit}."
    text = DOCUMENT.read_text("utf-8")
    body = f"{BEGIN}\n{told}\n\n{tables(stable, shifted)}\n{END}"
    DOCUMENT.write_text(re.sub(f"{BEGIN}.*{END}", lambda _: body, text, flags=re.DOTALL), "utf-8")
    draw(shifted)


def main() -> int:
    settings = Settings()
    if settings.data is None:
        sys.stderr.write("Name the folder of all data sets: SIGHTLINE_DATA.\n")
        return 1
    log = sys.stderr.write
    stable, shifted = run(settings.data, settings, lambda line: log(f"{line}\n"))
    sys.stdout.write(f"{tables(stable, shifted)}\n")
    if "--write" in sys.argv:
        write(stable, shifted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
