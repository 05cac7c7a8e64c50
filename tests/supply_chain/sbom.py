"""Writes a software bill of materials of what ships, CycloneDX 1.6 in JSON: `make sbom`.

cyclonedx-py lists what is installed, tools of development included; what is in no lock of a
service or of the trainer is taken out, and the packages of the pages are added.
"""

import base64
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.supply_chain.packages import PAGES, ROOT, npm_lock, page_packages, shipped

Bom = dict[str, Any]


def bill() -> Bom:
    """The bill of what is installed here and ships."""
    made = subprocess.run(
        [
            *(sys.executable, "-m", "cyclonedx_py", "environment", sys.executable),
            *("--pyproject", str(ROOT / "pyproject.toml"), "--output-reproducible"),
            *("--spec-version", "1.6", "--output-format", "JSON", "--no-validate"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    bom: Bom = json.loads(made.stdout)
    ships = {one.name: one for one in shipped()}
    bom["components"] = [one for one in bom["components"] if _name(one["name"]) in ships]
    for component in bom["components"]:
        package = ships[_name(component["name"])]
        if "licenses" not in component and package.licence:
            component["licenses"] = [{"expression": package.licence}]
        component["properties"] = [
            *component.get("properties", ()),
            *({"name": "sightline:used-by", "value": user} for user in package.used_by),
        ]
    bom["components"] += _pages()
    references = {one["bom-ref"] for one in bom["components"]}
    root = bom["metadata"]["component"]["bom-ref"]
    bom["dependencies"] = [
        {**one, "dependsOn": [ref for ref in one.get("dependsOn", ()) if ref in references]}
        for one in bom["dependencies"]
        if one["ref"] in references | {root}
    ]
    return bom


def _pages() -> list[Bom]:
    """The components of the pages, with the digests of their lock."""
    made = []
    for package in page_packages():
        version = package.versions[0]
        integrity = npm_lock()[f"node_modules/{package.name}"]["integrity"]
        algorithm, _, digest = integrity.partition("-")
        made.append(
            {
                "type": "library",
                "bom-ref": f"npm:{package.name}@{version}",
                "name": package.name,
                "version": version,
                "purl": f"pkg:npm/{package.name.replace('@', '%40')}@{version}",
                "licenses": [_licence(package.licence or "NOASSERTION")],
                "hashes": [
                    {
                        "alg": algorithm.upper().replace("SHA", "SHA-"),
                        "content": base64.b64decode(digest).hex(),
                    }
                ],
                "properties": [{"name": "sightline:used-by", "value": PAGES}],
            }
        )
    return made


def _licence(stated: str) -> Bom:
    """A licence, or several as an expression, the way the schema tells them apart."""
    one = stated.strip("()")
    return {"expression": one} if " " in one else {"license": {"id": one}}


def _name(written: str) -> str:
    """A package's name as locks write it."""
    return re.sub(r"[-_.]+", "-", written).lower()


def problem(bom: Bom) -> str | None:
    """What is wrong with a bill by the schema of CycloneDX; None: nothing."""
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bom))
    return None if error is None else str(error)[:500]


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    made = bill()
    if wrong := problem(made):
        sys.exit(f"The bill is not valid: {wrong}")
    target.write_text(json.dumps(made, indent=2) + "\n")
    sys.stdout.write(f"{target}: {len(made['components'])} components\n")
