"""The dashboards: made of code, whole, readable, and of metrics that there are."""

import json
import re
from typing import Any

import pytest

from monitoring.dashboards import BOARDS
from monitoring.dashboards.__main__ import FOLDER, README, files
from monitoring.dashboards.board import COLOURS, Board
from monitoring.dashboards.limits import alert_limit, objectives, rules, seconds_of, windows
from monitoring.dashboards.making import ANNOTATIONS, TAG
from monitoring.dashboards.metrics import alerts_by_metric, metrics_in, panels_by_metric
from tests.fixtures.exposition import name_of, own_metrics

#: Metrics of ours that are on no panel and in no rule, each with the reason.
NOT_SHOWN: dict[str, str] = {
    "sightline_infer_files_total": "as sightline_posted_files_total, which outlasts the run",
    "sightline_infer_predictions_total": "as sightline_predictions_total, which outlasts the run",
}

PANELS = [(board, panel) for board in BOARDS for panel in board.panels]
ALERTS = {rule["alert"] for rule in rules() if "alert" in rule}
each_board = pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)


def made(board: Board) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((FOLDER / f"{board.uid}.json").read_text())
    return content


def test_the_files_are_up_to_date() -> None:
    hint = "python -m monitoring.dashboards"
    for path, content in files().items():
        assert path.read_text(encoding="utf-8") == content, f"{path}: {hint}"
    assert {path.name for path in FOLDER.iterdir()} == {f"{one.uid}.json" for one in BOARDS}


def test_every_metric_of_ours_is_on_a_panel_or_in_a_rule_or_listed() -> None:
    ours = {name_of(one) for one in own_metrics()}
    used = {*panels_by_metric(), *alerts_by_metric()}
    assert ours - used == set(NOT_SHOWN)


def test_a_query_is_read_for_the_metrics_in_it() -> None:
    asked = metrics_in(
        'sum by (up, redis_up) (rate(sightline_x_bucket{route="/node_up"}[5m])) / up{job="a"}'
    )
    assert asked == {"sightline_x", "up"}


def test_every_alert_is_seen_on_a_panel_and_every_panel_names_alerts_that_are() -> None:
    assert {name for _, panel in PANELS for name in panel.alerts} == ALERTS


@pytest.mark.parametrize("alert", sorted(ALERTS - {"SightlineWatchdog"}))
def test_a_panel_of_an_alert_asks_for_what_the_alert_is_made_of(alert: str) -> None:
    exprs = [q.expr for _, panel in PANELS if alert in panel.alerts for q in panel.queries]
    asked = {one for expr in exprs for one in metrics_in(expr)}
    recorded = any("sightline:bad:" in expr for expr in exprs)
    assert recorded or any(alert in alerts_by_metric().get(metric, ()) for metric in asked)


@pytest.mark.parametrize(
    "rule", [one for one in rules() if "alert" in one], ids=lambda one: one["alert"]
)
def test_the_section_of_an_alert_names_its_panels_and_a_command(rule: dict[str, Any]) -> None:
    operations = (README.parents[1] / "docs" / "operations.md").read_text()
    sections = re.split(r"^### ", operations, flags=re.MULTILINE)
    anchor = rule["annotations"]["runbook"].partition("#")[2]
    (section,) = [one for one in sections if one.partition("\n")[0].lower() == anchor]
    look, _, command = section.partition("\nLook at: ")[2].partition(" Type: ")
    for board, panel in PANELS:
        if rule["alert"] in panel.alerts:
            assert f"*{board.title}*" in look, (rule["alert"], board.title)
            assert f"*{panel.title}*" in look, (rule["alert"], panel.title)
    assert re.match(r"`[a-z]+ [^`]+`|`[a-z]+`", command), command


@each_board
def test_titles_are_told_apart(board: Board) -> None:
    titles = [panel.title for panel in board.panels]
    assert len(titles) == len(set(titles))


@each_board
def test_panels_fill_their_lines(board: Board) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in made(board)["panels"]:
        at = panel["gridPos"]
        x, y = at.get("x", 0), at.get("y", 0)
        cells = {(x + dx, y + dy) for dx in range(at["w"]) for dy in range(at["h"])}
        assert x + at["w"] <= 24, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells
    lines = {y for _, y in taken}
    assert taken == {(x, y) for x in range(24) for y in lines}


@each_board
def test_each_panel_says_what_it_shows_and_in_which_unit(board: Board) -> None:
    for panel in board.panels:
        assert panel.says.endswith("."), panel.title
        assert panel.unit
        assert panel.queries
        assert all(query.legend for query in panel.queries)


@each_board
def test_series_that_are_known_have_colours_that_everybody_tells_apart(board: Board) -> None:
    assert all(len(panel.names) <= len(COLOURS) for panel in board.panels)
    modes = {
        panel["fieldConfig"]["defaults"]["color"]["mode"]
        for panel in made(board)["panels"]
        if panel["type"] not in ("row", "heatmap")
    }
    # Grafana's own palette puts green beside red.
    assert modes <= {"thresholds", "shades"}


@each_board
def test_boards_lead_to_each_other_and_show_deployments_and_promotions(board: Board) -> None:
    content = made(board)
    assert content["tags"] == [TAG]
    assert content["links"][0]["tags"] == [TAG]
    shown = {one["name"]: one for one in content["annotations"]["list"]}
    assert set(shown) == {name for name, _, _ in ANNOTATIONS}
    assert "sightline_build_info" in shown["Deployments"]["expr"]
    assert "sightline_model_live" in shown["Promotions"]["expr"]


def test_lines_are_drawn_where_promises_and_alerts_say() -> None:
    board = next(one for one in BOARDS if one.uid == "sightline-service")
    panels = {panel.title: panel for panel in board.panels}
    for objective in objectives():
        kept = panels[f"Kept: {objective['name']}"]
        assert [limit.value for limit in kept.limits] == [objective["target"]]
        burns = panels[f"Budget burns: {objective['name']}"]
        assert {limit.value for limit in burns.limits} == {one["factor"] for one in windows()}
    assert seconds_of("readings") == 1.0
    assert alert_limit("SightlineDiskFull").value == 0.05
    assert not alert_limit("SightlineDiskFull").above
    assert alert_limit("SightlineNothingJudged", 0).value == 0.5


def test_the_readme_holds_the_table() -> None:
    text = README.read_text()
    assert "| `sightline_readings_total` | How well are the models doing? Readings an hour" in text
