"""What `evaluate` and `compare` print for people: tables in the terminal."""

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from trainer.commands import number
from trainer.metrics.points import PREVALENCES, predictive_name

FIGURES = (
    "accuracy",
    "balanced_accuracy",
    "auc",
    "sensitivity",
    "specificity",
    "ppv",
    "npv",
    "sensitivity_at_specificity_88",
    "ece",
    "ece_uncalibrated",
    "brier",
)
_CLASS = ("auc", "sensitivity", "specificity", "ppv", "npv")
_POINT = ("sensitivity", "specificity", "ppv", "npv")
_SUBGROUP = ("auc", "balanced_accuracy", "sensitivity", "specificity")


def show_evaluation(result: dict[str, Any], screen: Console) -> None:
    """The tables of `trainer evaluate`, from its JSON."""
    said = f"{result['disease']} version {result['version']}: {result['n']} images of "
    screen.print(
        f"{said}{result['groups']} groups, split {result['split']}, "
        f"{result['skipped']['count']} files skipped.",
        highlight=False,
    )
    _figures(result, screen)
    _confusion(result, screen)
    rows = {
        name: [_interval(one[key]) for key in _CLASS]
        for name, one in result["class_figures"].items()
    }
    _grid(screen, "Each class against the rest", ("class", *_CLASS), rows)
    _points(result, screen)
    rows = {name: [_interval(one)] for name, one in result["conformal_coverage"].items()}
    _grid(screen, "Sets with the true class", ("class", "share"), rows)
    _subgroups(result, screen)
    refused = result.get("not_judged")
    if refused is not None:
        screen.print(
            f"The gate would not judge {refused['count']} of {result['n']} images; the figures "
            "count them all the same.",
            highlight=False,
        )


def show_comparison(result: dict[str, Any], screen: Console) -> None:
    """The table of `trainer compare`, from its JSON."""
    a, b = result["a"]["name"], result["b"]["name"]
    screen.print(f"First: {a}. Second: {b}.", highlight=False)
    rows = {
        name: [number(one["a"]), number(one["b"]), _difference(one), number(one["p"])]
        for name, one in result["differences"].items()
    }
    title = f"The same {result['n']} images of {result['groups']} groups"
    _grid(screen, title, ("figure", "first", "second", "difference", "p"), rows)
    for sentence in result["sentences"]:
        screen.print(sentence, highlight=False)
    one = result["decisions_mcnemar"]["accuracy"]
    screen.print(
        f"Decisions: only {a} right on {one['only_a']}, only {b} on {one['only_b']} "
        f"(McNemar exact, p {number(one['p'])}).",
        highlight=False,
    )
    screen.print(f"In short: {result['verdict']}", highlight=False)


def _figures(result: dict[str, Any], screen: Console) -> None:
    table = Table(box=SIMPLE_HEAD)
    table.add_column("figure", no_wrap=True)
    majority = f"always\n{result['majority_class']}"
    for head in ("value", "95 %\ninterval", "always the\nfinding", majority):
        table.add_column(head, justify="right", no_wrap=True)
    for name in FIGURES:
        if name in result:
            one = result[name]
            table.add_row(
                name,
                number(one["value"]),
                f"{number(one['low'])}-{number(one['high'])}",
                number(result["baseline_always_finding"].get(name)),
                number(result["baseline_majority"].get(name)),
            )
    screen.print(table)
    chance = result["chance_ece"]
    screen.print(
        f"ece: a calibrated model would show {number(chance['value'])} "
        f"({number(chance['low'])}-{number(chance['high'])}) on these images by chance.",
        highlight=False,
    )
    at = result["at_specificity_88"]
    if at:
        screen.print(
            f"sensitivity_at_specificity_88 is read at the threshold {number(at['threshold'])} "
            f"of {result['finding']}.",
            highlight=False,
        )


def _confusion(result: dict[str, Any], screen: Console) -> None:
    rows = {
        f"is {true}": [str(count) for count in row.values()]
        for true, row in result["confusion"].items()
    }
    heads = ("", *(f"called {name}" for name in result["confusion"]))
    decided = f"at {result['operating_point']}" if result["threshold"] is not None else "argmax"
    _grid(screen, f"Confusion ({decided})", heads, rows)


def _points(result: dict[str, Any], screen: Console) -> None:
    points = result["operating_points"]
    if not points:
        return
    rows = {
        f"{name} at {number(one['threshold'])}": [_interval(one[key]) for key in _POINT]
        for name, one in points.items()
    }
    _grid(screen, "Operating points, on these images", ("point", *_POINT), rows)
    rows = {
        f"{100 * prevalence:.0f} %": [
            _interval(one[predictive_name("ppv", prevalence)]) for one in points.values()
        ]
        for prevalence in PREVALENCES
    }
    _grid(
        screen,
        "PPV by how common the finding is",
        ("prevalence", *points),
        rows,
    )


def _subgroups(result: dict[str, Any], screen: Console) -> None:
    rows = {}
    for one in result["subgroups"]:
        found = ["too few", "", "", ""]
        if not one["too_few"]:
            found = [_interval(one["figures"][name]) for name in _SUBGROUP]
        rows[f"{one['column']}: {one['level']}"] = [str(one["n"]), *found]
    if rows:
        _grid(screen, "Subgroups", ("part", "n", *_SUBGROUP), rows)


def _grid(screen: Console, title: str, heads: tuple[str, ...], rows: dict[str, list[str]]) -> None:
    # No lines between columns: six columns with intervals fit into 80 characters so.
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for place, head in enumerate(heads):
        if place:
            table.add_column(head, justify="right", no_wrap=True, min_width=11)
        else:
            table.add_column(head, overflow="fold")
    for name, cells in rows.items():
        table.add_row(name, *cells)
    screen.print(table)
    screen.print()


def _difference(one: dict[str, Any]) -> str:
    if one["value"] is None:
        return "-"
    return f"{one['value']:+.3f}\n{one['low']:+.3f} to {one['high']:+.3f}"


def _interval(one: dict[str, float | None]) -> str:
    if one["low"] is None:
        return number(one["value"])
    return f"{number(one['value'])}\n{number(one['low'])}-{number(one['high'])}"
