"""Boards as Grafana's JSON, by Grafana's own Foundation SDK."""

import json
from collections.abc import Callable, Sequence
from string import ascii_uppercase
from typing import Any

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    table,
    timeseries,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as of_panels
from grafana_foundation_sdk.models import dashboard as of_boards
from grafana_foundation_sdk.models import prometheus as of_queries
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode

from monitoring.dashboards.board import BAD, COLOURS, WARNS, WELL, Board, Panel, Query, Variable

#: The data source that provisioning/datasources makes.
SOURCE = of_boards.DataSourceRef(type_val="prometheus", uid="sightline-prometheus")
TAG = "sightline"
#: Where an alert is written about, for who looks on from Grafana.
RUNBOOK = "docs/operations.md"

#: The moment that something new is there, for five minutes. Grafana titles an annotation by the
#: label `alertname` when it is told nothing else.
ANNOTATIONS = (
    (
        "Deployments",
        WARNS,
        """label_join(
  count by (service, version) (sightline_build_info)
  unless count by (service, version) (sightline_build_info offset 5m),
  "alertname", " ", "service", "version"
)""",
    ),
    (
        "Promotions",
        "#CC79A7",
        """label_join(
  max by (disease, version) (sightline_model_live)
  unless max by (disease, version) (sightline_model_live offset 5m),
  "alertname", " ", "disease", "version"
)""",
    ),
)


def text(board: Board) -> str:
    """The content of the board's file."""
    return json.dumps(_board(board), cls=JSONEncoder, indent=1, sort_keys=True) + "\n"


def _board(board: Board) -> of_boards.Dashboard:
    made = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.says)
        .tags([TAG])
        .readonly()
        .tooltip(of_boards.DashboardCursorSync.CROSSHAIR)
        .time(board.since, "now")
        .timezone("browser")
        .refresh("30s")
        .link(
            dashboard.DashboardLink("Other questions")
            .type(of_boards.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .keep_time(True)
            .include_vars(True)
        )
    )
    for variable in board.variables:
        made.with_variable(_variable(variable))
    for name, colour, expr in ANNOTATIONS:
        made.annotation(
            dashboard.AnnotationQuery()
            .name(name)
            .datasource(SOURCE)
            .enable(True)
            .icon_color(colour)
            .expr(expr)
        )
    number = 0
    for row in board.rows:
        number += 1
        made.with_row(dashboard.Row(row.title).id(number))
        for panel in row.panels:
            number += 1
            made.with_panel(_panel(panel).id(number))
    built = made.build()
    for one in (built.templating.list_val or []) if built.templating else []:
        # What the SDK says of a kind of variable that this is not.
        one.auto = one.auto_min = one.auto_count = None
    return built


def _variable(one: Variable) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(one.name)
        .label(one.label)
        .datasource(SOURCE)
        .query(f"label_values({one.metric}, {one.of})")
        .refresh(of_boards.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(of_boards.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(of_boards.VariableOption(selected=True, text="All", value="$__all"))
    )


# ---- panels ------------------------------------------------------------------------------------


def _panel(panel: Panel) -> Any:
    """A builder; the SDK has one class a kind of panel, with the same methods and no base."""
    made = _KINDS[panel.kind](panel)
    low, high = panel.ends
    made = (
        made.title(panel.title)
        .description(_description(panel))
        .datasource(SOURCE)
        .span(panel.width)
        .height(panel.height)
        .unit(panel.unit)
        .no_value("nothing in this time")
        .thresholds(_thresholds(panel))
    )
    if low is not None:
        made.min(low)
    if high is not None:
        made.max(high)
    if panel.decimals is not None:
        made.decimals(panel.decimals)
    if panel.words:
        made.mappings([_words(panel)])
    for letter, query in zip(ascii_uppercase, panel.queries, strict=False):
        made.with_target(_query(panel, query, letter))
    for name, colour in zip(panel.names, COLOURS, strict=False):
        fixed = {"mode": "fixed", "fixedColor": colour}
        made.override_by_name(name, [of_boards.DynamicConfigValue(id_val="color", value=fixed)])
    return made


def _description(panel: Panel) -> str:
    parts = [panel.says]
    if panel.only_with:
        parts.append(f"Only with {panel.only_with}.")
    if panel.alerts:
        parts.append(f"Alerts: {', '.join(panel.alerts)}; what to do: {RUNBOOK}.")
    return " ".join(parts)


def _query(panel: Panel, query: Query, letter: str) -> prometheus.Dataquery:
    made = (
        prometheus.Dataquery()
        .expr(query.expr)
        .legend_format(query.legend)
        .ref_id(letter)
        .datasource(SOURCE)
    )
    if panel.kind == "heat":
        made.format(of_queries.PromQueryFormat.HEATMAP)
    if panel.kind == "table":
        made.format(of_queries.PromQueryFormat.TABLE)
    return made.range() if panel.kind in _OVER_TIME else made.instant()


def _thresholds(panel: Panel) -> dashboard.ThresholdsConfig:
    """Colours between limits; from bad to well where more is better."""
    above = not panel.limits or panel.limits[0].above
    bad = [WARNS] * (len(panel.limits) - 1) + [BAD]
    colours = [WELL, *bad] if above else [*reversed(bad), WELL]
    steps = [of_boards.Threshold(value=None, color=colours[0])]
    for limit, colour in zip(panel.limits, colours[1:] if panel.limits else (), strict=True):
        steps.append(of_boards.Threshold(value=limit.value, color=colour))
    return dashboard.ThresholdsConfig().mode(of_boards.ThresholdsMode.ABSOLUTE).steps(steps)


def _words(panel: Panel) -> of_boards.ValueMap:
    return of_boards.ValueMap(
        options={
            str(value): of_boards.ValueMappingResult(text=word, color=colour, index=place)
            for place, (value, word, colour) in enumerate(panel.words)
        }
    )


def _colour(panel: Panel) -> dashboard.FieldColor:
    """Shades of one colour where nobody knows the names of series beforehand: they differ by
    lightness, which everybody sees."""
    if panel.kind in ("number", "table") or (panel.kind == "bars" and panel.limits):
        return dashboard.FieldColor().mode(of_boards.FieldColorModeId.THRESHOLDS)
    return dashboard.FieldColor().mode(of_boards.FieldColorModeId.SHADES).fixed_color(WELL)


def _over_time(panel: Panel) -> timeseries.Panel:
    made = (
        timeseries.Panel()
        .color_scheme(_colour(panel))
        .line_width(2)
        .show_points(of_panels.VisibilityMode.AUTO)
        .legend(
            common.VizLegendOptions()
            .display_mode(of_panels.LegendDisplayMode.LIST)
            .placement(of_panels.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(
            common.VizTooltipOptions()
            .mode(of_panels.TooltipDisplayMode.MULTI)
            .sort(of_panels.SortOrder.DESCENDING)
        )
    )
    if panel.limits:
        made.thresholds_style(
            common.GraphThresholdsStyleConfig().mode(of_panels.GraphThresholdsStyleMode.DASHED)
        )
    if panel.kind in _STACKED:
        made.fill_opacity(60).stacking(common.StackingConfig().mode(_STACKED[panel.kind]))
    return made


def _latest() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"]).values(False)


def _number(panel: Panel) -> stat.Panel:
    return (
        stat.Panel()
        .color_scheme(_colour(panel))
        .reduce_options(_latest())
        .graph_mode(of_panels.BigValueGraphMode.NONE)
        .color_mode(of_panels.BigValueColorMode.VALUE)
        .text_mode(of_panels.BigValueTextMode.VALUE_AND_NAME)
    )


def _bars(panel: Panel) -> bargauge.Panel:
    return (
        bargauge.Panel()
        .color_scheme(_colour(panel))
        .reduce_options(_latest())
        .orientation(of_panels.VizOrientation.HORIZONTAL)
        .display_mode(of_panels.BarGaugeDisplayMode.BASIC)
    )


def _table(panel: Panel) -> table.Panel:
    hidden = of_boards.DataTransformerConfig(
        id_val="organize", options={"excludeByName": {"Time": True}}
    )
    return table.Panel().color_scheme(_colour(panel)).with_transformation(hidden)


def _heat(panel: Panel) -> heatmap.Panel:
    return (
        heatmap.Panel()
        .color(
            heatmap.HeatmapColorOptions()
            .mode(HeatmapColorMode.SCHEME)
            # Even in lightness, and told apart by people who see fewer colours.
            .scheme("Viridis")
            .steps(64)
        )
        .y_axis(heatmap.YAxisConfig().unit(panel.unit))
    )


_STACKED = {"stack": of_panels.StackingMode.NORMAL, "share": of_panels.StackingMode.PERCENT}
_OVER_TIME = frozenset({"lines", "stack", "share", "heat"})
_KINDS: dict[str, Callable[[Panel], Any]] = {
    "lines": _over_time,
    "stack": _over_time,
    "share": _over_time,
    "number": _number,
    "bars": _bars,
    "table": _table,
    "heat": _heat,
}


def queries(boards: Sequence[Board]) -> list[tuple[Board, Panel, Query]]:
    """Every query of every panel."""
    return [
        (one, panel, query) for one in boards for panel in one.panels for query in panel.queries
    ]
