"""The alerts: each is right, is tested, and leads to what there is to do."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitoring.objectives import MADE, RULES, SOURCE, made, written
from tests.fixtures.exposition import own_metrics

ROOT = Path(__file__).parents[2]
FILES = sorted(RULES.glob("*.yml"))
TESTS = sorted((RULES / "tests").glob("*_test.yml"))
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()


def every_rule() -> list[dict[str, Any]]:
    groups = [group for path in FILES for group in yaml.safe_load(path.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


ALERTS = [rule for rule in every_rule() if "alert" in rule]
NAMES = sorted({rule["alert"] for rule in ALERTS})


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name}: Debian's prometheus and prometheus-alertmanager bring it")
    return found


def test_the_rules_of_the_objectives_are_up_to_date() -> None:
    assert MADE.read_text() == written(made(SOURCE.read_text()))


def test_prometheus_takes_the_rules() -> None:
    subprocess.run([tool("promtool"), "check", "rules", *FILES], check=True, capture_output=True)


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_alerts_fire_when_they_should_and_not_before(path: Path) -> None:
    done = subprocess.run(
        [tool("promtool"), "test", "rules", path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_each_alert_is_seen_firing_and_not_firing(name: str) -> None:
    seen = {
        sample["value"] > 0
        for path in TESTS
        for case in yaml.safe_load(path.read_text())["tests"]
        for check in case["promql_expr_test"]
        if f'alertname="{name}"' in check["expr"]
        for sample in check["exp_samples"]
    }
    assert seen == ({True} if name == "SightlineWatchdog" else {True, False})


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_each_alert_says_what_it_is_and_where_to_look(rule: dict[str, Any]) -> None:
    assert re.fullmatch("Sightline([A-Z][a-z]+)+", rule["alert"])
    assert rule["labels"]["severity"] in {"page", "ticket", "none"}
    assert rule["labels"]["owner"] in {"ops", "engineers", "clinical"}
    assert {"summary", "description", "runbook"} <= rule["annotations"].keys()
    document, anchor = rule["annotations"]["runbook"].split("#")
    assert document == "docs/operations.md"
    headings = {line[4:].lower() for line in OPERATIONS.splitlines() if line.startswith("### ")}
    assert anchor in headings


def test_every_section_of_an_alert_is_of_one_that_exists() -> None:
    assert set(re.findall(r"^### (Sightline\w+)", OPERATIONS, flags=re.MULTILINE)) <= set(NAMES)


def test_every_alert_stands_in_the_table() -> None:
    table = (ROOT / "monitoring" / "README.md").read_text()
    assert set(re.findall(r"Sightline[A-Z]\w+", table)) == set(NAMES)


def test_the_rules_ask_for_metrics_that_exist() -> None:
    known = {sample for one in own_metrics() for sample in _series(one.name, one.type)}
    asked = set(re.findall(r"\bsightline_[a-z_]+", " ".join(rule["expr"] for rule in every_rule())))
    assert asked
    assert asked <= known


def _series(name: str, kind: str) -> set[str]:
    if kind == "counter":
        return {f"{name}_total"}
    return {name, *(f"{name}_{end}" for end in ("bucket", "count", "sum"))}


def test_alertmanager_takes_its_configuration_and_sends_each_where_it_belongs() -> None:
    configuration = ROOT / "monitoring" / "alertmanager" / "alertmanager.yml"
    amtool = tool("amtool")
    subprocess.run([amtool, "check-config", configuration], check=True, capture_output=True)
    for rule in ALERTS:
        severity = rule["labels"]["severity"]
        sent = subprocess.run(
            [amtool, "config", "routes", "test", f"--config.file={configuration}",
             f"alertname={rule['alert']}", f"severity={severity}"],
            check=True, capture_output=True, text=True,
        ).stdout.strip()  # fmt: skip
        assert sent == ("watchdog" if severity == "none" else severity)
