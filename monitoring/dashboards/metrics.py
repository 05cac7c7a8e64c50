"""From a metric to the panels that show it, the alerts that are made of it, and what to do."""

import re
from collections import defaultdict
from collections.abc import Mapping

from monitoring.dashboards import BOARDS
from monitoring.dashboards.board import Board, Panel
from monitoring.dashboards.limits import rules

#: Metrics by their prefixes: ours, our processes', and those of exporters and Prometheus.
_METRIC = re.compile(
    r"\b(?:sightline|process|python|node|redis|nginx)_[a-z][A-Za-z0-9_]*\b"
    r"|\bup(?=[{ )]|$)|\bALERTS\b"
)
_HISTOGRAM_ENDS = re.compile(r"_(bucket|count|sum)$")
#: What is done for an alert.
_RUNBOOK = "../docs/operations.md"


def metrics_in(expr: str) -> set[str]:
    """The metrics that a query asks for, histograms by their base names.

    >>> sorted(metrics_in('sum(rate(node_cpu_seconds_total{mode="idle"}[1m])) / up'))
    ['node_cpu_seconds_total', 'up']
    """
    # Not what stands in quotes, and not what labels are called.
    bare = re.sub(r'"[^"]*"', '""', expr)
    bare = re.sub(r"(?:by|on|without|group_left|group_right) ?\([^)]*\)", "", bare)
    return {_base(name) for name in _METRIC.findall(bare)}


def _base(name: str) -> str:
    return _HISTOGRAM_ENDS.sub("", name) if name.startswith("sightline_") else name


def panels_by_metric() -> Mapping[str, list[tuple[Board, Panel]]]:
    """Where each metric is shown."""
    shown: dict[str, list[tuple[Board, Panel]]] = defaultdict(list)
    for board in BOARDS:
        for panel in board.panels:
            for metric in sorted({one for q in panel.queries for one in metrics_in(q.expr)}):
                shown[metric].append((board, panel))
    return shown


def alerts_by_metric() -> Mapping[str, list[str]]:
    """Which alerts are made of each metric, recordings between them included."""
    recorded: dict[str, set[str]] = defaultdict(set)
    made: dict[str, list[str]] = defaultdict(list)
    every = rules()
    for rule in every:
        if "record" in rule:
            key = f"{rule['record']} {rule['labels'].get('objective', '')}"
            recorded[key] |= metrics_in(rule["expr"])
    for rule in every:
        if "alert" in rule:
            asked = metrics_in(rule["expr"])
            for name, objective in re.findall(
                r'(sightline:\S+?)\{objective="(\w+)"\}', rule["expr"]
            ):
                asked |= recorded[f"{name} {objective}"]
            for metric in sorted(asked):
                if rule["alert"] not in made[metric]:
                    made[metric].append(rule["alert"])
    return made


def table() -> str:
    """Metric, panels, alerts, what to do: a table for people."""
    shown, alerts = panels_by_metric(), alerts_by_metric()
    return "\n".join(
        (
            "| metric | dashboard: panels | alerts: what to do |",
            "|---|---|---|",
            *(
                f"| `{one}` | {_where(shown.get(one, []))} | {_what(alerts.get(one, []))} |"
                for one in sorted({*shown, *alerts})
            ),
        )
    )


def _where(found: list[tuple[Board, Panel]]) -> str:
    by_board: dict[str, list[str]] = defaultdict(list)
    for board, panel in found:
        by_board[board.title].append(panel.title)
    return "; ".join(f"{board} {', '.join(titles)}" for board, titles in by_board.items()) or "-"


def _what(alerts: list[str]) -> str:
    # Every alert but two has the section of its own name.
    runbooks = {
        rule["alert"]: rule["annotations"]["runbook"].partition("#")[2]
        for rule in rules()
        if "alert" in rule
    }
    return ", ".join(f"[{one}]({_RUNBOOK}#{runbooks[one]})" for one in alerts) or "-"
