"""The API's OpenAPI document, arranged for a page: one entry a call, in the document's order."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True)
class Field:
    """A parameter or a form field of a call."""

    name: str
    place: str
    """`path`, `query`, `header` or `form`."""
    kind: str
    required: bool
    description: str


@dataclass(frozen=True)
class Answer:
    """One answer that a call can give."""

    status: str
    description: str
    kind: str


@dataclass(frozen=True)
class Operation:
    """One call of the API."""

    method: str
    path: str
    anchor: str
    title: str
    description: str
    fields: tuple[Field, ...]
    answers: tuple[Answer, ...]


def operations(document: dict[str, Any]) -> tuple[Operation, ...]:
    """Every call that an OpenAPI 3 document describes."""
    return tuple(
        _operation(document, method, path, item)
        for path, item in document.get("paths", {}).items()
        for method in _METHODS
        if method in item
    )


def _operation(document: dict[str, Any], method: str, path: str, item: Any) -> Operation:
    described = item[method]
    anchor = described.get("operationId") or f"{method}{path}"
    return Operation(
        method=method.upper(),
        path=path,
        anchor="".join(letter if letter.isalnum() else "-" for letter in anchor),
        title=described.get("summary") or f"{method.upper()} {path}",
        description=described.get("description", ""),
        fields=(
            *_parameters(document, [*item.get("parameters", ()), *described.get("parameters", ())]),
            *_form_fields(document, described.get("requestBody", {})),
        ),
        answers=tuple(
            Answer(status, answer.get("description", ""), _content_kind(answer))
            for status, answer in described.get("responses", {}).items()
        ),
    )


def _parameters(document: dict[str, Any], parameters: list[Any]) -> Iterator[Field]:
    for reference in parameters:
        parameter = _resolve(document, reference)
        yield Field(
            name=parameter["name"],
            place=parameter["in"],
            kind=_kind(parameter.get("schema", {})),
            required=parameter.get("required", False),
            description=parameter.get("description", ""),
        )


def _form_fields(document: dict[str, Any], body: Any) -> Iterator[Field]:
    content = _resolve(document, body).get("content", {})
    for media in content.values():
        schema = _resolve(document, media.get("schema", {}))
        for name, field in schema.get("properties", {}).items():
            yield Field(
                name=name,
                place="form",
                kind=_kind(field),
                required=name in schema.get("required", ()),
                description=field.get("description", ""),
            )


def _content_kind(answer: Any) -> str:
    """The model of an answer's body, or its media type."""
    for media_type, media in answer.get("content", {}).items():
        schema = media.get("schema", {})
        return _kind(schema) if "$ref" in schema else str(media_type)
    return ""


def _kind(schema: Any) -> str:
    """A schema in a word or two."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "enum" in schema:
        return " or ".join(str(value) for value in schema["enum"])
    if choices := schema.get("anyOf"):
        return " or ".join(_kind(choice) for choice in choices if choice.get("type") != "null")
    if schema.get("format") == "binary" or "contentMediaType" in schema:
        return "file"
    return str(schema.get("format") or schema.get("type") or "any")


def _resolve(document: dict[str, Any], value: Any) -> Any:
    """Follow a reference into the document's own components; anything else stays as it is."""
    if not isinstance(value, dict) or "$ref" not in value:
        return value
    target: Any = document
    for part in str(value["$ref"]).removeprefix("#/").split("/"):
        target = target.get(part, {})
    return target
