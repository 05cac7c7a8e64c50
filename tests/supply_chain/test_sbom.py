"""The software bill of materials is valid, and holds what ships with its licences."""

from typing import Any

import pytest

from tests.supply_chain.packages import ROOT
from tests.supply_chain.sbom import bill, problem


@pytest.fixture(scope="module")
def bom() -> dict[str, Any]:
    return bill()


def test_it_is_valid(bom: dict[str, Any]) -> None:
    # Of each kind some: the whole takes seconds, and `make sbom` looks at it.
    some = bom | {"components": bom["components"][:8] + bom["components"][-8:], "dependencies": []}
    assert problem(some) is None
    assert problem(some | {"components": [{"name": "no type"}]})


def test_it_holds_what_ships_and_no_tool(bom: dict[str, Any]) -> None:
    names = {one["name"].lower() for one in bom["components"]}
    assert {"fastapi", "redis", "openvino", "keras", "bootstrap", "htmx.org"} <= names
    assert not {"pytest", "mypy", "moto", "pip-audit", "vite"} & names
    assert bom["metadata"]["component"]["name"] == "sightline"


def test_every_component_has_a_licence_a_version_and_an_address(bom: dict[str, Any]) -> None:
    for one in bom["components"]:
        assert one["licenses"], one["name"]
        assert one["version"]
        assert one["purl"].startswith(("pkg:pypi/", "pkg:npm/"))


def test_every_dependency_is_listed_and_no_path_of_a_machine(bom: dict[str, Any]) -> None:
    references = {one["bom-ref"] for one in bom["components"]}
    for one in bom["dependencies"]:
        assert set(one["dependsOn"]) <= references
    assert str(ROOT) not in str(bom)
