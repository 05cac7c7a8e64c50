"""What every test shares: real servers, and no silent skips where everything must be there."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest

from diagnosis.process import settle

pytest_plugins = [
    "tests.fixtures.artifacts",
    "tests.fixtures.bucket",
    "tests.fixtures.logs",
    "tests.fixtures.redis",
    "tests.fixtures.stack",
]

_NOTHING_MAY_SKIP = os.environ.get("CI") == "true"


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--whole`: what `make test` only samples is run as a whole, by `make security`."""
    parser.addoption("--whole", action="store_true", help="run whole corpora, not a sample")
    parser.addoption("--ray", action="store_true", help="run what needs Ray, as `make ray` does")
    parser.addoption(
        "--watched",
        action="store_true",
        help="run what watches a whole stack for minutes, as `make test-monitoring` does",
    )


#: Option to how the names begin of the files that are left out without it, and what runs them.
_LEFT_OUT = {
    "--ray": ("test_ray", "make ray"),
    "--watched": ("test_watched", "make test-monitoring"),
}


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """What needs a package or minutes of its own is no part of `make test`."""
    for option, (name, _) in _LEFT_OUT.items():
        if collection_path.stem.startswith(name) and not config.getoption(option):
            return True
    return None


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say what is left out."""
    return [
        f"without {name}*: `{verb}` runs it"
        for option, (name, verb) in _LEFT_OUT.items()
        if not config.getoption(option)
    ]


def pytest_collection_finish() -> None:
    """All tests and what they import stay to the end. A collection of garbage that goes through
    them takes a second on a busy machine, as long as the services wait for a Redis to connect."""
    settle()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Under `CI=true` a skipped test is a failed one: there, every tool and file is expected."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        _fail_where_nothing_may_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a module that skips itself while it is imported."""
    report = yield
    if report.skipped:
        _fail_where_nothing_may_skip(report)
    return report


def _fail_where_nothing_may_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if _NOTHING_MAY_SKIP:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"CI=true allows no skip. {reason}"
