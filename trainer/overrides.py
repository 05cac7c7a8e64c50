"""Settings of a recipe as words of the command line: `--set weighting=class`.

A key is a field of the recipe, or PHASE.field of one of its phases. Its value is read by the
field's own type, so every recipe is changed in the same way and nothing is guessed.
"""

import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from trainer.recipes import Phase, Recipe
from trainer.refusals import RecipeRefused

#: What a recipe is, rather than how it is set.
_FIXED = {"name", "preprocessing", "build", "phases", "backbone", "weights_named"}
_YES_NO = {"true": True, "yes": True, "false": False, "no": False}


@dataclass(frozen=True)
class Key:
    """A setting of a recipe: its name on the command line, its type and its value now."""

    name: str
    kind: Any
    value: Any


def keys(recipe: Recipe) -> dict[str, Key]:
    """Every setting of a recipe, by the name that `--set` takes."""
    found = [Key(name, kind, getattr(recipe, name)) for name, kind in _kinds(recipe) if kind]
    for phase in recipe.phases:
        found += [
            Key(f"{phase.name}.{name}", kind, getattr(phase, name))
            for name, kind in _kinds(phase)
            if kind
        ]
    return {key.name: key for key in found}


def overridden(recipe: Recipe, words: Sequence[str]) -> Recipe:
    """The recipe with `key=value` words taken in; the last of two for the same key counts.

    Raises:
        RecipeRefused: a word without `=`, a key that the recipe does not have (with those it
            has), or a value that is not of the key's type.
    """
    chosen: dict[str, Any] = {}
    known = keys(recipe)
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise RecipeRefused(
                f"--set takes key=value, for example weighting=class; not {word!r}."
            )
        if name not in known:
            raise RecipeRefused(
                f"{recipe.name} has no setting {name!r}. It has: {', '.join(known)}."
            )
        chosen[name] = read_value(known[name], text)
    return with_values(recipe, chosen)


def with_values(recipe: Recipe, chosen: Mapping[str, Any]) -> Recipe:
    """The recipe with other values of some of its `keys`."""
    own = {name: value for name, value in chosen.items() if "." not in name}
    phases = tuple(_changed(phase, chosen) for phase in recipe.phases)
    return replace(recipe, phases=phases, **own)


def read_value(key: Key, text: str) -> Any:
    """A value from its word.

    Raises:
        RecipeRefused: it is not of the key's type.
    """
    for kind in _alternatives(key.kind):
        try:
            return _read(kind, text.strip())
        except ValueError:
            continue
    raise RecipeRefused(f"{key.name} takes {_described(key.kind)}, not {text!r}.")


def as_word(name: str, value: Any) -> str:
    """`key=value`, as `--set` takes it; a value that is not set has no word behind the sign."""
    if value is None:
        return f"{name}="
    if isinstance(value, tuple | list):
        return f"{name}={','.join(map(str, value))}"
    if isinstance(value, bool):
        return f"{name}={str(value).lower()}"
    return f"{name}={value:.6g}" if isinstance(value, float) else f"{name}={value}"


def _kinds(owner: Recipe | Phase) -> list[tuple[str, Any]]:
    """Name and type of the settings of a recipe or a phase; None for what a word cannot say."""
    hints = get_type_hints(type(owner))
    return [
        (one.name, hints[one.name] if _described(hints[one.name]) else None)
        for one in fields(owner)
        if one.name not in _FIXED
    ]


def _changed(phase: Phase, chosen: Mapping[str, Any]) -> Phase:
    beginning = f"{phase.name}."
    own = {
        name.removeprefix(beginning): value
        for name, value in chosen.items()
        if name.startswith(beginning)
    }
    return replace(phase, **own)


def _alternatives(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)


def _read(kind: Any, text: str) -> Any:
    """A value of a type from its word; ValueError where it is none."""
    words: Mapping[str, Any] = {}
    if kind in (int, float, str):
        return kind(text)
    if kind is bool:
        words = _YES_NO
    elif kind is type(None):
        # `none` may be a word of its own, as it is for a policy; it is looked for first.
        words = {"": None, "none": None}
    elif get_origin(kind) is Literal:
        words = {one: one for one in get_args(kind)}
    elif get_origin(kind) is tuple:
        parts = [part.strip() for part in text.split(",") if part.strip()]
        return tuple(_read(get_args(kind)[0], part) for part in parts)
    if text not in words:
        raise ValueError(text)
    return words[text]


def _described(kind: Any) -> str:
    """A type in words; empty for one that a word of the command line cannot say."""
    plain = {
        int: "a whole number",
        float: "a number",
        str: "a word",
        bool: "true or false",
        type(None): "none",
    }
    if isinstance(kind, type) and kind in plain:
        return plain[kind]
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(str, get_args(kind)))}"
    if get_origin(kind) is tuple:
        inner = _described(get_args(kind)[0])
        return inner and f"words with commas between them, each {inner}"
    parts = _alternatives(kind)
    described = [_described(one) for one in parts] if len(parts) > 1 else [""]
    return " or ".join(described) if all(described) else ""
