"""The texts of the pages, taken from where they are used, and the catalogues brought up to them.

`make translations` runs this: new texts are added to each catalogue without a translation, texts
that are used no more are dropped, and nothing is guessed.
"""

import ast
import json
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from babel.messages import Catalog
from babel.messages.pofile import read_po, write_po
from jinja2.ext import babel_extract

from diagnosis import WARNING, errors
from diagnosis.audit import Action
from diagnosis.errors import SightlineError
from web_ui import labels, printing, read_first
from web_ui.languages import LANGUAGES

ROOT = Path(__file__).parents[2]
LOCALES = ROOT / "web_ui" / "locales"
TRANSLATED = tuple(code for code in LANGUAGES if code != "en")

_JINJA = {"extensions": "jinja2.ext.i18n", "trimmed": "false", "silent": "false"}
_JINJA |= {"trim_blocks": "true", "lstrip_blocks": "true", "newstyle_gettext": "true"}
_SHOWN = ("title", "default_detail", "default_remedy", "detail", "remedy")
#: What is shown to people; the messages of other exceptions are for engineers.
_ERRORS = {
    name
    for module in (errors, printing, read_first)
    for name, one in vars(module).items()
    if isinstance(one, type) and issubclass(one, SightlineError)
} | {"Notice"}
#: Tables of the pages whose texts are looked up where they are shown.
_TABLES = ("_AT_THE_PROVIDER", "_NOT_KNOWN_THERE", "_PAGE_REMEDIES", "_SECTIONS")
#: What takes the name of a part of a card first, to be looked up where it is shown.
_NAMED = ("fact_of", "part_of", "Part")
#: Words of a closed set that pages show; they stand in the code as values.
_WORDS = ("clinician", "engineer", "ops", "auditor", "admin", "sensitivity", "specificity")
_WORDS += ("prevalence",)
_WORDS += ("a {0}", "an {0}")
#: Names of figures that are made of their field's name.
_FIGURES = (
    "balanced_accuracy", "brier", "sensitivity", "specificity", "disease", "version", "dataset",
    "description", "recipe", "seed", "backbone", "loss", "classes", "finding", "training",
    "threshold", "coverage", "method", "temperature", "settings", "licence",
    "allowed", "augmentations", "bytes", "channels_first", "components", "conformal_coverage",
    "data_listing", "data_sign_off", "data_sign_off_by", "digest", "explanation", "features",
    "fewest_images", "fitted_on", "flipped_decisions", "greyscale", "half_precision_storage",
    "height", "keras_version", "largest_probability_change", "largest_randomised", "layer",
    "limits", "measured_on", "node", "per_class", "population", "posture", "quantiles", "refused",
    "resize", "rgb", "scaled_decode", "share", "smallest_deletion", "smallest_repeated",
    "strength", "subgroups", "weighting", "width",
)  # fmt: skip

#: Steps of a reading, whose times its page tells.
_STEPS = ("queue", "decode", "preprocess", "gate", "infer", "store")
#: Sentences of cards into which the trainer puts values.
_ON_CARDS = (
    "{0}: recipe {1}, {2} training images. AUC {3} on held-out images.",
    "{0} held-out images of {1}.",
    "{0} validation images",
    "{0} validation images of the run.",
    "{0}, validation split",
    "{0} ({1} images)",
    "{0}: {1}, left out of training",
    "{0} images of {1}; other kinds: {2}",
    "Highest threshold with a sensitivity of {0} or more, on {1}.",
    "Threshold at which the smaller of sensitivity and specificity is largest, on {0}.",
    "Lowest threshold with a specificity of {0} or more, on {1}.",
    (
        "images of left-out acquisition families, altered as other devices would; measured on the"
        " validation images"
    ),
    "female",
    "male",
    "unknown",
)


def texts() -> Catalog:
    """Every text of the pages, with the file that it stands in and no line."""
    found = Catalog(project="sightline", charset="utf-8")

    def add(message: str | tuple[str, ...], place: str, context: str | None = None) -> None:
        if message and (message if isinstance(message, str) else message[0]).strip():
            found.add(message, locations=[(place, 0)], context=context)

    for path in sorted((ROOT / "web_ui" / "templates").rglob("*.html")):
        with path.open("rb") as file:
            for _line, function, message, _comments in babel_extract(
                file, ("_", "gettext", "ngettext", "pgettext"), (), _JINJA
            ):
                if function == "pgettext":
                    assert isinstance(message, tuple)
                    add(str(message[1]), _place(path), str(message[0]))
                elif function == "ngettext":
                    assert isinstance(message, tuple)
                    add(tuple(str(one) for one in message[:2]), _place(path))
                else:
                    add(str(message[0] if isinstance(message, tuple) else message), _place(path))
    for package in ("web_ui", "diagnosis", "inference_service", "gateway/identity"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for message in _of_python(ast.parse(path.read_text()), package):
                add(message, _place(path))
    for path in sorted((ROOT / "diagnosis" / "catalogue").glob("*.toml")):
        for message in _of_catalogue(tomllib.loads(path.read_text())):
            add(message, _place(path))
    for path in sorted((ROOT / "models").glob("*/*/card.json")):
        for message in _of_card(json.loads(path.read_text())):
            add(message, _place(path))
    named = (*labels._NAMES, *_FIGURES, *_STEPS, *Action)
    figures = [labels.figure_name(one) for one in named]
    for word in (*_WORDS, *_ON_CARDS, *figures, *labels._POINTS.values(), WARNING):
        add(word, "diagnosis")
    return found


def _place(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _of_python(tree: ast.AST, package: str) -> Iterator[str | tuple[str, ...]]:
    """What is looked up, and the sentences of errors: a page shows those of every service."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else ""
            arguments = [text for one in node.args if (text := _text(one))]
            if package == "web_ui" and name == "_" and arguments:
                yield arguments[0]
            elif package == "web_ui" and name == "ngettext":
                yield tuple(arguments[:2])
            elif name == "ProblemView":
                yield from arguments
            elif name in _ERRORS:
                shown = [*node.args[:1], *(one.value for one in node.keywords if one.arg in _SHOWN)]
                yield from filter(None, map(_text, shown))
            elif package == "web_ui" and name in _NAMED and arguments:
                yield arguments[0]
        if package == "web_ui" and isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(one, ast.Name) and one.id in _TABLES for one in targets):
                yield from _words_of(node.value)
        if isinstance(node, ast.ClassDef) and node.name in _ERRORS:
            yield from _of_class(node)


def _words_of(node: ast.expr | None) -> Iterator[str]:
    """What is said in a table of the pages, without its keys."""
    if isinstance(node, ast.Dict):
        for value in node.values:
            yield from _words_of(value)
    elif isinstance(node, ast.Tuple):
        for value in node.elts:
            yield from _words_of(value)
    elif node is not None and (text := _text(node)):
        yield text


def _of_class(node: ast.ClassDef) -> Iterator[str]:
    for statement in node.body:
        target, value = None, None
        if isinstance(statement, ast.Assign):
            target, value = statement.targets[0], statement.value
        elif isinstance(statement, ast.AnnAssign):
            target, value = statement.target, statement.value
        shown = isinstance(target, ast.Name) and target.id in _SHOWN
        if shown and value is not None and (text := _text(value)):
            yield text


def _text(node: ast.expr) -> str | None:
    """A text as it stands in the code; with numbered places where values are put into it."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if not isinstance(node, ast.JoinedStr):
        return None
    parts, place = "", 0
    for part in node.values:
        if isinstance(part, ast.Constant):
            parts += str(part.value)
        else:
            parts += f"{{{place}}}"
            place += 1
    return parts


def _of_catalogue(disease: object) -> Iterator[str]:
    """Names and sentences of a disease, at whatever depth they stand."""
    if isinstance(disease, dict):
        for key, value in disease.items():
            if isinstance(value, str) and key in _SENTENCES:
                yield value
            else:
                yield from _of_catalogue(value)
    elif isinstance(disease, list):
        for one in disease:
            yield from _of_catalogue(one)


def _of_card(card: dict[str, Any]) -> Iterator[str]:
    """What the card of a model that ships says in free text, to everybody who reads it."""
    yield from card["limitations"]
    yield card["population"]["description"]
    yield card["training"]["dataset"]
    yield card["gate"]["measured_on"]
    for check in card["gate"]["checks"]:
        if "_" not in check["kind"]:
            yield check["kind"]


_SENTENCES = {"name", "modality", "summary", "intended_use", "suitable_image", "maturity_reason"}
_SENTENCES |= {"sentence"}


def path_of(code: str) -> Path:
    """Where the catalogue of a language lies."""
    return LOCALES / code / "LC_MESSAGES" / "sightline.po"


def read(code: str) -> Catalog:
    """The catalogue of a language as it is kept."""
    if not path_of(code).is_file():
        return Catalog(locale=code, project="sightline", charset="utf-8")
    with path_of(code).open("rb") as file:
        return read_po(file, locale=code, charset="utf-8")


def update(code: str, wanted: Catalog) -> tuple[int, int]:
    """Bring a catalogue up to the texts; how many there are, and how many lack a translation."""
    catalogue = read(code)
    catalogue.update(wanted, no_fuzzy_matching=True)
    catalogue.obsolete.clear()
    path_of(code).parent.mkdir(parents=True, exist_ok=True)
    with path_of(code).open("wb") as file:
        write_po(file, catalogue, width=100, no_location=True, omit_header=True, sort_output=True)
    lacking = sum(1 for one in catalogue if one.id and not is_translated(one.string))
    return len(catalogue), lacking


def is_translated(string: str | tuple[str, ...]) -> bool:
    """Whether each of its forms is there."""
    return all(string) if isinstance(string, tuple) else bool(string)


def main() -> int:
    """Update every catalogue; 1 where a text lacks its translation."""
    wanted, lacking = texts(), 0
    for code in TRANSLATED:
        whole, missing = update(code, wanted)
        lacking += missing
        sys.stdout.write(f"{code}: {whole} texts, {missing} without a translation\n")
    return 1 if lacking else 0


if __name__ == "__main__":
    sys.exit(main())
