"""The rules of the service-level objectives, made of `objectives.toml`.

python -m monitoring.objectives            writes prometheus/rules/objectives.yml
python -m monitoring.objectives --check    exits with 1 where that file is not up to date
python -m monitoring.objectives --windows FILE.toml --to FILE.yml
                                           writes the same rules with other windows, such as some
                                           that end within a minute
"""

import argparse
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
SOURCE = HERE / "objectives.toml"
RULES = HERE / "prometheus" / "rules"
MADE = RULES / "objectives.yml"
HEAD = "# Made by `python -m monitoring.objectives` from objectives.toml; edit that.\n"
OWNER = "ops"

Rules = dict[str, Any]
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def made(text: str, windows: str | None = None) -> Rules:
    """The rules of some objectives.

    Args:
        text: as in `objectives.toml`.
        windows: other windows than those of the text, written as there.
    """
    content = tomllib.loads(text)
    taken = content if windows is None else tomllib.loads(windows)
    groups = [_group(one, taken["window"]) for one in content["objective"]]
    return {"groups": groups}


def _group(objective: Mapping[str, Any], windows: list[Mapping[str, Any]]) -> Rules:
    name = objective["name"]
    spans = sorted({one[end] for one in windows for end in ("short", "long")}, key=seconds)
    recorded = [
        {
            "record": _series(span),
            "labels": {"objective": name},
            "expr": f"{_ask(objective['bad'], span)}\n/\n{_ask(objective['all'], span)}",
        }
        for span in spans
    ]
    return {
        "name": f"objective-{name}",
        "rules": [*recorded, *(_alert(objective, one) for one in windows)],
    }


def _alert(objective: Mapping[str, Any], window: Mapping[str, Any]) -> Rules:
    budget = round(1 - objective["target"], 6)
    limit = f"{window['factor']} * {budget}"
    of = f'{{objective="{objective["name"]}"}}'
    ends = (f"{_series(window[end])}{of}" for end in ("long", "short"))
    return {
        "alert": objective["runbook"],
        "expr": "\nand on (objective)\n".join(f"{one} > {limit}" for one in ends),
        "for": window["for"],
        "labels": {"severity": window["severity"], "owner": OWNER, "window": window["long"]},
        "annotations": {
            "summary": f"The promise is broken too often: {objective['promise']}",
            "description": f"In the last {window['long']} {{{{ $value | humanizePercentage }}}} "
            f"went wrong, {window['factor']} times or more of what the objective of "
            f"{100 * objective['target']:g} % allows.",
            "runbook": f"docs/operations.md#{objective['runbook'].lower()}",
        },
    }


def _series(span: str) -> str:
    return f"sightline:bad:ratio_rate{span}"


def _ask(query: str, span: str) -> str:
    return str(query).strip().replace("WINDOW", span)


def seconds(duration: str) -> int:
    """A duration of one unit, such as `5m`, in seconds."""
    return int(duration[:-1]) * _UNITS[duration[-1]]


def written(rules: Rules) -> str:
    """The text of a file of rules."""
    text: str = yaml.dump(rules, Dumper=_Readable, sort_keys=False, width=1000, allow_unicode=True)
    return HEAD + text


class _Readable(yaml.SafeDumper):  # type: ignore[misc]
    """Text of several lines as such."""


_Readable.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None
    ),
)


def main(arguments: list[str]) -> int:
    """Write the file, or compare it."""
    asked = argparse.ArgumentParser(prog="python -m monitoring.objectives")
    asked.add_argument("--check", action="store_true", help="only say whether it is up to date")
    asked.add_argument("--windows", type=Path, help="take the windows of this file")
    asked.add_argument("--to", type=Path, default=MADE, help="write this file")
    asks = asked.parse_args(arguments)
    windows = None if asks.windows is None else asks.windows.read_text(encoding="utf-8")
    text = written(made(SOURCE.read_text(encoding="utf-8"), windows))
    if asks.check:
        stale = not asks.to.is_file() or asks.to.read_text(encoding="utf-8") != text
        if stale:
            sys.stderr.write(f"{asks.to} is not up to date: python -m monitoring.objectives\n")
        return int(stale)
    asks.to.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
