"""What must hold of every value in `config.json`, whatever it means.

The text is parsed strictly and surveyed without recursion: depth, number of values, strings that
are paths, and classes outside the closed list, wherever they stand.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from diagnosis.artifacts.allowed import ALLOWED
from diagnosis.artifacts.fields import Allowed
from diagnosis.errors import ConfigRefused

MAX_DEPTH = 40
MAX_VALUES = 400_000

_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
# The dots of module names and of names such as mobilenetv2_1.00_224.
_TEXT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_PATH = re.compile(r"[/\\~:]|\.\.|^\.|^\s*$")
_DATE = re.compile(r"\d{4}-\d\d-\d\d@\d\d:\d\d:\d\d")
_VERSION = re.compile(r"3\.\d{1,3}\.\d{1,3}[a-z0-9.]{0,16}")
_CLASS_KEYS = frozenset({"class_name", "module", "registered_name"})


def read_metadata(data: bytes) -> None:
    """Check `metadata.json`: the Keras version and the date, and nothing else.

    Raises:
        ConfigRefused: `cause` begins with the rule that was broken.
    """
    parsed = parse(data)
    if not isinstance(parsed, dict) or set(parsed) != {"keras_version", "date_saved"}:
        refuse("metadata-keys", "metadata.json holds something else than version and date")
    for key, pattern in (("keras_version", _VERSION), ("date_saved", _DATE)):
        if not isinstance(parsed[key], str) or not pattern.fullmatch(parsed[key]):
            refuse("metadata-value", f"{key} is not one that Keras 3 writes")


def parse(data: bytes) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) != len(pairs):
            refuse("config-duplicate-key", "a key stands twice in one object")
        return result

    def constant(name: str) -> NoReturn:
        refuse("config-not-finite", f"{name} stands for a number")

    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=unique, parse_constant=constant)
    except RecursionError as error:
        raise refused("config-depth", "nested too deep to be parsed") from error
    except ValueError as error:
        raise refused("config-json", f"not JSON ({type(error).__name__})") from error


def survey(parsed: object) -> None:
    """What must hold of every value, whatever it means. Iterative: depth costs no stack."""
    pending: list[tuple[Any, int]] = [(parsed, 0)]
    values = 0
    while pending:
        value, depth = pending.pop()
        values += 1
        if values > MAX_VALUES:
            refuse("config-size", f"more than {MAX_VALUES} values")
        if isinstance(value, str):
            _check_text(value)
        elif isinstance(value, float) and not math.isfinite(value):
            refuse("config-not-finite", "a number is infinite")
        elif isinstance(value, int) and abs(value) > 2**63:
            refuse("config-number", "a number is too large")
        elif isinstance(value, dict):
            for key in value:
                if not _KEY.fullmatch(key):
                    _check_text(key)
                    refuse("config-key", f"{key[:40]!r} is not a key that Keras writes")
            if not _CLASS_KEYS.isdisjoint(value):
                find_entry(value)
            pending.extend((item, depth + 1) for item in value.values())
        elif isinstance(value, list):
            pending.extend((item, depth + 1) for item in value)
        if depth > MAX_DEPTH:
            refuse("config-depth", f"nested deeper than {MAX_DEPTH}")


def _check_text(text: str) -> None:
    if _TEXT.fullmatch(text) and ".." not in text:
        return
    if _PATH.search(text):
        # Keras 3 allows no slash in a layer's name and writes none, so every one is a path.
        refuse("config-path", f"{text[:80]!r} looks like a path or an address")
    refuse("config-string", f"{text[:80]!r} is too long or holds odd characters")


def find_entry(node: Mapping[str, Any]) -> Allowed:
    """The closed list's entry for an object, by module, class and registered name."""
    module, name = node.get("module"), node.get("class_name")
    registered = node.get("registered_name")
    if not isinstance(name, str) or not (module is None or isinstance(module, str)):
        refuse("config-class", "an object names its class or module by something else than text")
    entry = ALLOWED.get((module, name))
    if entry is None:
        refuse("config-class", f"{module}.{name} is not in the closed list")
    if registered is not None and registered != entry.registered_name:
        refuse("config-registered-name", f"{name} is registered as {str(registered)[:80]!r}")
    return entry


def refuse(rule: str, what: str) -> NoReturn:
    raise refused(rule, what)


def refused(rule: str, what: str) -> ConfigRefused:
    return ConfigRefused(cause=f"{rule}: {what}")
