"""Documents are true: what exists is documented, and what is documented exists."""

import importlib
import re
import subprocess
from pathlib import Path

import pytest
from prometheus_client import Counter
from pydantic_settings import BaseSettings
from typer.main import get_command

from diagnosis import WARNING
from diagnosis.artifacts import Card
from diagnosis.telemetry import Metrics
from tests.fixtures.exposition import name_of, own_metrics

ROOT = Path(__file__).parents[2]
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
SETTINGS = (
    ("gateway", "Settings"),
    ("gateway", "IdentitySettings"),
    ("inference_service", "Settings"),
    ("trainer", "Settings"),
    ("web_ui", "Settings"),
)


def every_setting() -> set[str]:
    names = set()
    for package, name in SETTINGS:
        settings: type[BaseSettings] = getattr(importlib.import_module(f"{package}.settings"), name)
        prefix = settings.model_config["env_prefix"]
        names |= {f"{prefix}{field}".upper() for field in settings.model_fields}
    return names


def of_compose() -> set[str]:
    """The variables that docker-compose.yml itself takes."""
    return set(re.findall(r"\$\{(SIGHTLINE_\w+)", (ROOT / "docker-compose.yml").read_text()))


def every_metric() -> set[str]:
    return {name_of(one) for one in own_metrics()}


def every_command() -> set[str]:
    commands = set()
    for tool in ("trainer", "gateway"):
        group = get_command(importlib.import_module(f"{tool}.cli").app)
        commands |= {f"{tool} {name}" for name in group.commands}  # type: ignore[attr-defined]
    return commands


def every_verb() -> set[str]:
    text = (ROOT / "Makefile").read_text()
    return set(re.findall(r"^([a-z][a-z-]*):.*## ", text, flags=re.MULTILINE))


def test_every_setting_is_documented_and_no_other() -> None:
    written = set(re.findall(r"`(SIGHTLINE_[A-Z]+_[A-Z_]+)`", OPERATIONS))
    assert written == every_setting() | {one for one in of_compose() if one.count("_") > 1}


def test_every_variable_of_the_compose_file_is_documented() -> None:
    table = OPERATIONS[OPERATIONS.index("## In containers") : OPERATIONS.index("## A release")]
    rows = [line for line in table.splitlines() if line.startswith("| `SIGHTLINE_")]
    named = {name for row in rows for name in re.findall(r"`(SIGHTLINE_\w+)`", row.split("|")[1])}
    assert named == of_compose()


def test_every_setting_says_what_it_is_for() -> None:
    for package, name in SETTINGS:
        settings: type[BaseSettings] = getattr(importlib.import_module(f"{package}.settings"), name)
        for field, info in settings.model_fields.items():
            assert info.description, f"{package}: {field} has no description"


def test_every_metric_is_documented_and_no_other() -> None:
    assert isinstance(Metrics("test").requests, Counter)
    assert set(re.findall(r"`(sightline_[a-z_]+)`", OPERATIONS)) == every_metric()


def test_every_command_is_documented_and_no_other() -> None:
    written = set(re.findall(r"`\.venv/bin/((?:trainer|gateway) [a-z][a-z0-9-]*)", OPERATIONS))
    assert written == every_command()


def test_every_command_on_a_page_exists() -> None:
    pages = "".join(path.read_text() for path in (ROOT / "web_ui" / "templates").rglob("*.html"))
    written = set(re.findall(r"\.venv/bin/((?:trainer|gateway) [a-z][a-z0-9-]*)", pages))
    assert written
    assert written <= every_command()
    assert not re.search(r"<code>(trainer|gateway) ", pages), "not on the PATH"


def test_every_verb_is_documented_and_no_other() -> None:
    text = "\n".join(path.read_text() for path in DOCUMENTS)
    written = set(re.findall(r"\bmake ([a-z][a-z-]+)(?=[`\s])", text)) & _words_in_code(text)
    assert written == every_verb()


def _words_in_code(text: str) -> set[str]:
    """The verbs that stand in code: prose may say that somebody has to make something."""
    code = "\n".join(re.findall(r"```.*?```|`[^`\n]+`", text, flags=re.DOTALL))
    return set(re.findall(r"\bmake ([a-z][a-z-]+)", code))


def test_make_alone_lists_the_verbs() -> None:
    listed = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert every_verb() <= set(re.findall(r"[a-z-]+", listed))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_of_a_document_leads_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text())
    broken = [
        link
        for link in links
        if not link.startswith(("http://", "https://", "mailto:"))
        and not (path.parent / link).exists()
    ]
    assert broken == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_path_in_code_exists(path: Path) -> None:
    """A path such as `docs/x.md` or `gateway/y.py` in a document is one of the repository."""
    rooms = "docs|diagnosis|gateway|inference_service|web_ui|trainer|tests|models|requirements"
    pattern = rf"`((?:{rooms})/[\w./-]+)`"
    missing = [name for name in re.findall(pattern, path.read_text()) if not (ROOT / name).exists()]
    assert missing == []


def test_the_figures_in_the_readme_are_those_of_the_card() -> None:
    readme = (ROOT / "README.md").read_text()
    card = Card.from_json((ROOT / "models/chest_xray_pneumonia/2/card.json").read_bytes())
    for measured in (card.evaluation, *card.transfer):
        row = f"| {measured.images} |"
        for name in ("auc", "balanced_accuracy", "sensitivity", "specificity", "ece"):
            figure = measured.figures[name]
            row += f" {figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f}) |"
        assert row in readme


def test_the_warning_stands_in_the_readme() -> None:
    assert WARNING in " ".join((ROOT / "README.md").read_text().split())


def test_decisions_are_numbered_without_a_gap_and_share_their_headings() -> None:
    records = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [path.name[:4] for path in records] == [f"{n:04d}" for n in range(1, len(records) + 1)]
    for path in records:
        for heading in (
            "Status:",
            "## Context",
            "## Decision",
            "## Consequences",
            "## Alternatives",
        ):
            assert heading in path.read_text(), f"{path.name} lacks {heading}"
