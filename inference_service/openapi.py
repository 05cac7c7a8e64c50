"""The OpenAPI description, made honest where the framework's default is not."""

from typing import Any

from fastapi import FastAPI

from diagnosis import WARNING
from inference_service.problems import MEDIA_TYPE

DESCRIPTION = f"""A second reader for medical images. {WARNING}

Send an image to `POST /api/v1/diseases/{{disease}}/predictions`; the answer is stored and can be
read again. A program sends an API key with every request, as `Authorization: Bearer KEY`; the
readings that it sees are those of its unit. Errors are RFC 9457 problems with a stable `code`, a
sentence and what to do."""


_KEYS = {
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key (`slk_…`), made on the page of your account.",
    }
}


def describe(app: FastAPI) -> None:
    """Replace the application's `openapi` by one that knows our problems."""
    framework = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = framework()
            schema["info"]["description"] = DESCRIPTION
            schema["components"]["securitySchemes"] = _KEYS
            schema["security"] = [{"key": []}]
            for path in schema["paths"].values():
                for operation in path.values():
                    _as_problems(operation["responses"])
            # Nothing refers to them any more.
            for name in ("HTTPValidationError", "ValidationError"):
                schema["components"]["schemas"].pop(name, None)
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _as_problems(responses: dict[str, Any]) -> None:
    """Errors are sent as problems, and some of them say when to come again."""
    for status in [one for one in responses if int(one) >= 400]:
        response = responses[status]
        schema = response["content"]["application/json"]["schema"]
        if schema["$ref"].endswith("/HTTPValidationError"):
            # The framework's guess for a route with a parameter that cannot be wrong.
            del responses[status]
            continue
        response["content"] = {MEDIA_TYPE: {"schema": schema}}
        if status == "503":
            response["headers"] = {
                "Retry-After": {
                    "description": "Seconds after which to try again.",
                    "schema": {"type": "integer", "minimum": 1},
                }
            }
