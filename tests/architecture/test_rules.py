"""The house rules that no linter knows."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("diagnosis", "gateway", "inference_service", "trainer", "web_ui")
#: What a module may not be called: such a name says nothing about what belongs in it.
NAMELESS = {"utils", "util", "helpers", "helper", "common", "misc"}
SOURCE_SUFFIXES = {".py", ".ts", ".scss", ".css", ".html", ".j2", ".toml", ".sh"}


def sources(*suffixes: str) -> list[Path]:
    """Every source file of ours, third-party and built files left out."""
    return [
        path
        for folder in (*PACKAGES, "tests")
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in (suffixes or SOURCE_SUFFIXES)
        and not {"node_modules", "dist", "__pycache__"} & set(path.parts)
    ]


def modules() -> list[Path]:
    """Every Python module of the packages."""
    return [path for path in sources(".py") if "tests" not in path.relative_to(ROOT).parts[:1]]


def calls(path: Path) -> Iterator[str]:
    """The dotted name of everything that a module calls or reads an attribute of."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute):
            yield ast.unparse(node)


def test_there_is_something_to_check() -> None:
    assert len(modules()) > 30


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_source_file_is_past_500_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 500


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert [path for path in sources() if path.stem in NAMELESS] == []


def test_only_the_image_reader_opens_an_image() -> None:
    openers = {
        path.relative_to(ROOT).parts[:2]
        for path in modules()
        for name in calls(path)
        if name in {"Image.open", "PIL.Image.open", "pydicom.dcmread"}
    }
    assert openers == {("diagnosis", "images")}


def readings_of_the_environment(source: str) -> int:
    """How often a source reads the environment; a default set for a library is no reading."""
    nodes = list(ast.walk(ast.parse(source)))
    written = {
        id(node.value)
        for node in nodes
        if isinstance(node, ast.Attribute) and node.attr == "setdefault"
    }
    names = [
        getattr(node, "attr", None) or getattr(node, "name", None)
        for node in nodes
        if id(node) not in written
    ]
    return sum(name in {"environ", "environb", "getenv", "getenvb"} for name in names)


@pytest.mark.parametrize(
    "way",
    [
        "os.environ['A']",
        "os.environ.items()",
        "os.getenv('A')",
        "from os import environ",
        "from os import getenv as g",
    ],
)
def test_every_way_to_read_the_environment_is_seen(way: str) -> None:
    assert readings_of_the_environment(way) == 1


def test_only_settings_read_the_environment() -> None:
    assert readings_of_the_environment("os.environ.setdefault('A', 'b')") == 0
    readers = {path.name for path in modules() if readings_of_the_environment(path.read_text())}
    assert readers == {"settings.py"}


def test_each_service_has_its_own_settings_prefix() -> None:
    prefixes = {}
    for package in PACKAGES[1:]:
        text = (ROOT / package / "settings.py").read_text()
        prefixes[package] = text.partition('env_prefix="')[2].partition('"')[0]
    assert len(set(prefixes.values())) == len(prefixes)
    assert all(prefix.startswith("SIGHTLINE_") for prefix in prefixes.values()), prefixes


def test_nothing_real_is_committed_with_the_tests() -> None:
    """Images in the repository are demo images of an artifact, screenshots, or our own icon."""
    images = [
        path.relative_to(ROOT)
        for folder in (*PACKAGES, "tests", "docs")
        for path in (ROOT / folder).rglob("*")
        if path.suffix.lower() in {".jpg", ".jpeg", ".png", ".dcm", ".tif", ".tiff", ".npz"}
        and not {"node_modules", "dist"} & set(path.parts)
    ]
    icons = {ROOT / f"web_ui/assets/public/icon-{one}.png" for one in (192, 512, "maskable-512")}
    found = [path for path in images if path.parts[:2] != ("docs", "screenshots")]
    assert [path for path in found if ROOT / path not in icons] == []


def test_the_service_reads_no_image_in_its_own_process() -> None:
    """Only the process that can do nothing else imports the reader."""
    readers = {
        path.name
        for path in (ROOT / "inference_service").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
        and any(alias.name == "read_image" for alias in node.names)
    }
    assert readers == {"decoding_worker.py"}
