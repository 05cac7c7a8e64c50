"""The dashboards are what Grafana takes, by its own types (`@grafana/schema`), checked by tsc.

Node and the two packages are installed by `make test-monitoring`.
"""

import copy
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gateway.settings import PROJECT
from monitoring.dashboards import BOARDS
from monitoring.dashboards.__main__ import FOLDER

SCHEMA = Path(__file__).parent / "schema"
TSC = SCHEMA / "node_modules" / "typescript" / "bin" / "tsc"
#: Options and fields of each kind of panel, which the type of a whole dashboard leaves open.
PANELS = {
    "bargauge": "BarGauge",
    "heatmap": "Heatmap",
    "stat": "Stat",
    "table": "Table",
    "timeseries": "TimeSeries",
}
#: Kinds of panel whose fields have settings of their own.
WITH_FIELDS = ("heatmap", "table", "timeseries")


def node() -> str:
    found = shutil.which("node") or str(PROJECT / ".venv" / "node" / "bin" / "node")
    if not TSC.exists() or not Path(found).exists():
        pytest.fail("Node or the types are missing: make test-monitoring installs them")
    return found


#: Queries of annotations have a field that only the data source of Prometheus knows.
BOARD = """\
import type { Dashboard, AnnotationQuery } from "@grafana/schema";
import type { Wire } from "./wire";
type Annotations = { list: (AnnotationQuery & { expr: string })[] };
type Board = Wire<Omit<Dashboard, "annotations"> & { annotations: Annotations }>;
"""


def source(board: dict[str, Any]) -> str:
    """TypeScript that compiles where Grafana takes the dashboard."""
    lines = [BOARD]
    for kind, name in PANELS.items():
        file = f"composable/{kind}/panelcfg/x/{name}PanelCfg_types.gen.d.ts"
        lines.append(f'import type * as {kind} from "@grafana/schema/dist/esm/raw/{file}";')
    lines.append(f"export const board: Board = {json.dumps(board)};")
    for number, panel in enumerate(board["panels"]):
        kind = panel["type"]
        if kind == "row":
            continue
        options = json.dumps(panel.get("options", {}))
        lines.append(f"export const o{number}: Wire<Partial<{kind}.Options>> = {options};")
        if kind in WITH_FIELDS:
            fields = json.dumps(panel["fieldConfig"]["defaults"].get("custom", {}))
            lines.append(f"export const f{number}: Wire<Partial<{kind}.FieldConfig>> = {fields};")
    return "\n".join(lines) + "\n"


def compiled(boards: dict[str, dict[str, Any]], folder: Path) -> str:
    """What tsc says of the dashboards; nothing where all are right."""
    for name in ("tsconfig.json", "wire.ts"):
        shutil.copy(SCHEMA / name, folder)
    (folder / "node_modules").symlink_to(SCHEMA / "node_modules")
    for name, board in boards.items():
        (folder / f"{name}.ts").write_text(source(board))
    command = [node(), str(TSC), "-p", str(folder)]
    done = subprocess.run(
        command, capture_output=True, text=True, env={"PATH": os.environ["PATH"]}, check=False
    )
    assert (done.returncode == 0) == (done.stdout == ""), done.stderr
    return done.stdout


def every_board() -> dict[str, dict[str, Any]]:
    return {board.uid: json.loads((FOLDER / f"{board.uid}.json").read_text()) for board in BOARDS}


def test_grafanas_types_take_every_dashboard(tmp_path: Path) -> None:
    boards = every_board()
    panels = sum(panel["type"] != "row" for one in boards.values() for panel in one["panels"])
    assert compiled(boards, tmp_path) == ""
    print(f"schema: {len(boards)} dashboards, {panels} panels")  # noqa: T201


@pytest.mark.parametrize(
    ("what", "spoil"),
    [
        ("an unknown field of a dashboard", lambda one: one.update(titel="x")),
        ("an unknown field of a panel", lambda one: last(one).update(datasoruce=1)),
        ("a wrong mode of colours", lambda one: defaults(one)["color"].update(mode="rainbow")),
        ("an option of a panel that is none", lambda one: last(one)["options"].update(shwo=1)),
        ("a wrong kind of line", lambda one: defaults(one)["custom"].update(drawStyle="zigzag")),
        ("a text in place of a number", lambda one: last(one)["gridPos"].update(w="12")),
    ],
)
def test_they_would_not_take(what: str, spoil: Any, tmp_path: Path) -> None:
    board = copy.deepcopy(every_board()["sightline-steps"])
    spoil(board)
    assert "error TS" in compiled({"spoilt": board}, tmp_path), what


def last(board: dict[str, Any]) -> dict[str, Any]:
    """The last panel, which draws lines."""
    panel: dict[str, Any] = board["panels"][-1]
    assert panel["type"] == "timeseries"
    return panel


def defaults(board: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = last(board)["fieldConfig"]["defaults"]
    return found
