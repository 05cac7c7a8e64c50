"""What `evaluate` and `compare` print for people: tables in the terminal."""

from typing import Any

from rich.console import Console
from rich.table import Table

from trainer.commands import number

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
_POINT = ("sensitivity", "specificity", "ppv", "npv", "ppv_at_prevalence_1", "ppv_at_prevalence_10")
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
    points = {
        f"{name} at {one['threshold']:.3f}": [_interval(one[key]) for key in _POINT]
        for name, one in result["operating_points"].items()
    }
    if points:
        heads = ("point", "sensitivity", "specificity", "ppv", "npv", "ppv at 1 %", "ppv at 10 %")
        _grid(screen, "Operating points", heads, points)
        screen.print(
            "ppv and npv are at these images' prevalence, which is not a clinic's; at 1 % and 10 % "
            "by Bayes' theorem (more in the JSON and on the page of --out).",
            highlight=False,
        )
    coverage = ", ".join(
        f"{name} {_interval(one)}" for name, one in result["conformal_coverage"].items()
    )
    screen.print(f"Conformal sets hold the true class: {coverage}.", highlight=False)
    _subgroups(result, screen)


def show_comparison(result: dict[str, Any], screen: Console) -> None:
    """The table of `trainer compare`, from its JSON."""
    a, b = result["a"]["name"], result["b"]["name"]
    table = Table(title=f"The same {result['n']} images of {result['groups']} groups")
    for head in ("figure", a, b, "difference", "95 % interval", "p"):
        table.add_column(head, justify="left" if head == "figure" else "right")
    for name, one in result["differences"].items():
        between = "-"
        if one["low"] is not None:
            between = f"{one['low']:+.3f} to {one['high']:+.3f}"
        by = "-" if one["value"] is None else f"{one['value']:+.3f}"
        table.add_row(name, number(one["a"]), number(one["b"]), by, between, number(one["p"]))
    screen.print(table)
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
    table = Table()
    table.add_column("figure")
    majority = f"always {result['majority_class']}"
    for head in ("value", "95 % interval", "always the finding", majority):
        table.add_column(head, justify="right")
    for name in FIGURES:
        if name in result:
            one = result[name]
            table.add_row(
                name,
                number(one["value"]),
                f"{number(one['low'])} - {number(one['high'])}",
                number(result["baseline_always_finding"].get(name)),
                number(result["baseline_majority"].get(name)),
            )
    screen.print(table)
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
    table = Table(title=title, title_justify="left")
    for place, head in enumerate(heads):
        table.add_column(head, justify="right" if place else "left")
    for name, cells in rows.items():
        table.add_row(name, *cells)
    screen.print(table)


def _interval(one: dict[str, float | None]) -> str:
    if one["low"] is None:
        return number(one["value"])
    return f"{number(one['value'])} ({number(one['low'])}-{number(one['high'])})"
