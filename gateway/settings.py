"""What the gateway takes from its environment, and what it hands on to the services it starts."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

#: The folder of the clone: `models/` and the built page assets lie in it.
PROJECT = Path(__file__).resolve().parents[1]

#: The address that the stack listens on: this machine alone reaches it.
HOST = "127.0.0.1"

#: A host name as a browser sends it, without wildcards.
HostName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.\-]*[A-Za-z0-9])?$")]

#: What a child process may inherit by name. Proxies, credentials and tracing switches of the
#: shell stay out, so that a service behaves the same whoever starts it.
INHERITED = ("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "TERM", "TMPDIR", "TZ")

#: Settings of the services, which may be set in the shell that runs `make run`.
INHERITED_PREFIXES = ("SIGHTLINE_INFERENCE_", "SIGHTLINE_WEB_")


class Settings(BaseSettings):
    """Settings of the local stack and its proxy; each can be set as `SIGHTLINE_GATEWAY_<NAME>`."""

    model_config = SettingsConfigDict(
        env_prefix="SIGHTLINE_GATEWAY_", frozen=True, use_attribute_docstrings=True
    )

    port: int = Field(default=8080, ge=1, le=65535)
    """The one TCP port, on 127.0.0.1; Nginx listens on it."""
    run_dir: Path = PROJECT / ".run"
    """Everything the stack writes: Redis data, images, the registry, logs and sockets."""
    models_dir: Path = PROJECT / "models"
    """The artifacts that ship; they seed the registry."""
    static_dir: Path = PROJECT / "web_ui" / "static"
    """Served under /static/; the built page assets lie in its folder dist."""
    error_pages_dir: Path = PROJECT / "web_ui" / "static" / "dist" / "errors"
    """Where `<status>.html` lies for what Nginx has to answer by itself."""
    tls: bool = False
    """Speak TLS on that port, with a certificate of an authority that is made for this machine."""
    host_names: Annotated[tuple[HostName, ...], NoDecode] = ()
    """Host names that are served besides 127.0.0.1 and localhost, separated by commas."""
    requests_per_second: int = Field(default=200, ge=1)
    """Requests a second and client address; more are answered with 429."""
    requests_burst: int = Field(default=400, ge=1)
    """How many requests may come at once before the limit counts."""
    uploads_per_second: int = Field(default=100, ge=1)
    """POST requests a second and client address."""
    uploads_burst: int = Field(default=200, ge=1)
    """How many POST requests may come at once before the limit counts."""
    caller_requests_per_second: int = Field(default=100, ge=1)
    """Requests a second that show the same key or session; more are answered with 429."""
    caller_requests_burst: int = Field(default=200, ge=1)
    """How many of those may come at once before the limit counts."""
    caller_uploads_per_second: int = Field(default=50, ge=1)
    """POST requests a second that show the same key or session."""
    caller_uploads_burst: int = Field(default=100, ge=1)
    """How many of those may come at once before the limit counts."""
    connections: int = Field(default=64, ge=1)
    """Requests of one client address that may be under way at once; more get 429."""
    header_seconds: int = Field(default=10, ge=1, le=3600)
    """How long a client may take to send the headers of a request, all in all."""
    body_seconds: int = Field(default=15, ge=1, le=3600)
    """How long a client may pause within an upload."""
    start_timeout_seconds: float = Field(default=60.0, gt=0)
    """How long the stack may take until it is ready, models loaded."""

    @field_validator("host_names", mode="before")
    @classmethod
    def _separate(cls, given: object) -> object:
        if isinstance(given, str):
            return tuple(name.strip() for name in given.split(",") if name.strip())
        return given

    @property
    def names(self) -> tuple[str, ...]:
        """Every host name that is served."""
        return tuple(dict.fromkeys((HOST, "localhost", *self.host_names)))

    @property
    def url(self) -> str:
        """Where a browser on this machine opens Sightline."""
        return f"{'https' if self.tls else 'http'}://{HOST}:{self.port}"


def child_environment() -> dict[str, str]:
    """What a child process inherits of this one's environment: names from a closed list."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in INHERITED or name.startswith(INHERITED_PREFIXES)
    }
