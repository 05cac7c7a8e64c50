"""How much the proxy lets one client ask, and how slowly: one list for settings and template."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[int, Field(ge=1, le=3600)]


class Limits(BaseModel):
    """The limits that whoever runs Sightline may set."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    requests_per_second: Count = 200
    """Requests a second and client address; more are answered with 429."""
    requests_burst: Count = 400
    """How many requests may come at once before the limit counts."""
    uploads_per_second: Count = 100
    """POST and PUT requests a second and client address."""
    uploads_burst: Count = 200
    """How many of those may come at once before the limit counts."""
    caller_requests_per_second: Count = 100
    """Requests a second that show the same key or session; more are answered with 429."""
    caller_requests_burst: Count = 200
    """How many of those may come at once before the limit counts."""
    caller_uploads_per_second: Count = 50
    """POST and PUT requests a second that show the same key or session."""
    caller_uploads_burst: Count = 100
    """How many of those may come at once before the limit counts."""
    connections: Count = 256
    """Requests of one client address that may be under way at once; more get 429. Each stream of
    HTTP/2 counts, and each list that waits for new readings."""
    caller_connections: Count = 64
    """The same for those that show the same key or session."""
    header_seconds: Seconds = 10
    """How long a client may take to send the headers of a request, all in all."""
    body_seconds: Seconds = 15
    """How long a client may pause within an upload."""
