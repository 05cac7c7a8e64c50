"""docs/scaling.md says what its formula gives with the figures of docs/performance.md."""

import os
import re
from dataclasses import fields, replace
from pathlib import Path

import pytest

from tests.load.scaling import RATES, TABLES, Assumed, Measured, plan

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "scaling.md"


@pytest.mark.parametrize("name", TABLES)
def test_the_document_has_the_table(name: str) -> None:
    text = DOCUMENT.read_text()
    mark = re.compile(rf"(<!-- {name} -->\n)(.*?)(<!-- end -->)", re.DOTALL)
    if os.environ.get("SIGHTLINE_WRITE_TABLES"):
        text = mark.sub(lambda found: found[1] + TABLES[name]() + found[3], text)
        DOCUMENT.write_text(text)
    found = mark.search(text)
    assert found is not None
    assert found[2] == TABLES[name](), "write it: SIGHTLINE_WRITE_TABLES=1 make test"


def test_the_measured_throughput_is_that_of_the_performance_page() -> None:
    page = (ROOT / "docs" / "performance.md").read_text()
    row = re.search(r"^\| through Nginx, stored \| \d+ .*?\| (\d+) ", page, re.MULTILINE)
    assert row is not None
    assert Measured().readings_per_core_second == int(row[1]) / 2


def test_every_assumption_stands_in_the_document() -> None:
    text = DOCUMENT.read_text()
    for kind in (Measured(), Assumed()):
        for field in fields(kind):
            assert f"`{field.name}`" in text, field.name
            value = re.search(rf"\| `{field.name}` \| ([\d.]+) ", text)
            assert value is not None, field.name
            assert float(value[1]) == pytest.approx(getattr(kind, field.name), rel=0.02)


def test_more_readings_never_take_less() -> None:
    plans = [plan(rate) for rate in (1, 10, *RATES[1:], 50_000)]
    hours = [one.dollars_hour for one in plans]
    assert hours == sorted(hours)
    assert plan(100, replace(Measured(), readings_per_core_second=44)).cores == 100 / 44
