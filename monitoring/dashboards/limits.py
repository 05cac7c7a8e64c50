"""Where panels draw a line: what is promised, and where alerts begin. Nothing is typed twice."""

import re
import tomllib
from functools import cache
from typing import Any

import yaml

from monitoring.dashboards.board import Limit
from monitoring.objectives import RULES, SOURCE

_COMPARED = re.compile(r"(<|>)=? ([0-9.]+)")


@cache
def _objectives() -> dict[str, Any]:
    return tomllib.loads(SOURCE.read_text(encoding="utf-8"))


def objectives() -> tuple[dict[str, Any], ...]:
    """Each promise, as in `objectives.toml`."""
    return tuple(_objectives()["objective"])


def windows() -> tuple[dict[str, Any], ...]:
    """Each window of the alerts about promises."""
    return tuple(_objectives()["window"])


def seconds_of(objective: str) -> float:
    """How fast is fast enough by a promise about time: the bucket that it counts by."""
    bad = next(one["bad"] for one in objectives() if one["name"] == objective)
    found = re.search(r'le="([0-9.]+)"', bad)
    assert found is not None, f"the objective {objective} is not about time"
    return float(found[1])


@cache
def rules() -> tuple[dict[str, Any], ...]:
    """Every rule of Prometheus, of alerts and of recordings."""
    return tuple(
        rule
        for file in sorted(RULES.glob("*.yml"))
        for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
    )


def alert_limit(alert: str, which: int = -1) -> Limit:
    """The figure that an alert compares with, by default the last one in its rule."""
    expr = next(rule["expr"] for rule in rules() if rule.get("alert") == alert)
    sign, value = _COMPARED.findall(expr)[which]
    return Limit(float(value), above=sign == ">")
