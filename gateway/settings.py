"""What the gateway takes from its environment, and what it hands on to the services it starts."""

import os
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

#: The folder of the clone: `models/` and the built page assets lie in it.
PROJECT = Path(__file__).resolve().parents[1]

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
    audit_redis_url: SecretStr | None = None
    """Redis for the process that chains audit events, as its user `chainer`; by default the one
    of the run folder."""
    redis_ca_file: Path | None = None
    """Where a Redis is reached by `rediss://`: the authority (PEM) that signed its certificate; by
    default those that the system trusts."""
    models_dir: Path = PROJECT / "models"
    """The artifacts that ship; they seed the registry."""
    static_dir: Path = PROJECT / "web_ui" / "static"
    """Served under /static/; the built page assets lie in its folder dist."""
    error_pages_dir: Path = PROJECT / "web_ui" / "static" / "dist" / "errors"
    """Where `<status>.html` lies for what Nginx has to answer by itself."""
    requests_per_second: int = Field(default=200, ge=1)
    """Requests a second and client address; more are answered with 429."""
    requests_burst: int = Field(default=400, ge=1)
    """How many requests may come at once before the limit counts."""
    uploads_per_second: int = Field(default=50, ge=1)
    """POST requests a second and client address."""
    uploads_burst: int = Field(default=100, ge=1)
    """How many POST requests may come at once before the limit counts."""
    start_timeout_seconds: float = Field(default=60.0, gt=0)
    """How long the stack may take until it is ready, models loaded."""


def child_environment() -> dict[str, str]:
    """What a child process inherits of this one's environment: names from a closed list."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in INHERITED or name.startswith(INHERITED_PREFIXES)
    }
