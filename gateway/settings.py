"""What the gateway takes from its environment, and what it hands on to the services it starts."""

import os
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, StringConstraints, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from diagnosis.identity import Role
from gateway.limits import Limits
from gateway.rendering import Upstream

#: The folder of the clone: `models/` and the built page assets lie in it.
PROJECT = Path(__file__).resolve().parents[1]

#: The address that the stack listens on: this machine alone reaches it.
HOST = "127.0.0.1"

#: A host name as a browser sends it, without wildcards.
HostName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.\-]*[A-Za-z0-9])?$")]

#: What a child process may inherit by name. Proxies, credentials and tracing switches of the
#: shell stay out, so that a service behaves the same whoever starts it.
INHERITED = ("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "TERM", "TMPDIR", "TZ")


class Settings(BaseSettings, Limits):
    """Settings of the local stack, its proxy and its limits; each can be set as
    `SIGHTLINE_GATEWAY_<NAME>`."""

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
    tls: bool = False
    """Speak TLS on that port, with a certificate of an authority that is made for this machine."""
    host_names: Annotated[tuple[HostName, ...], NoDecode] = ()
    """Host names that are served besides 127.0.0.1 and localhost, separated by commas."""
    grafana: Upstream | None = None
    """Where a Grafana of one's own listens, `127.0.0.1:3000` for example: it is then shown at
    `/grafana/` to whoever has the role ops."""
    drift_stops: bool = False
    """Whether a model that drifts is stopped until two people have lifted that, as it is on a
    server; else it is shown and alerted. Whoever tries Sightline sends images that no ward has."""
    workers: int = Field(default=1, ge=0, le=64)
    """Processes that read files of batches; they take only what interactive readings leave."""
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


class IdentitySettings(BaseSettings):
    """Settings of the identity service; each can be set as `SIGHTLINE_GATEWAY_IDENTITY_<NAME>`.

    None of them turns identity off.
    """

    model_config = SettingsConfigDict(
        env_prefix="SIGHTLINE_GATEWAY_IDENTITY_",
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
    )

    redis_url: SecretStr
    """Where accounts are kept: `unix:///path`, `redis://` or `rediss://`, with the password if
    there is one. It has no default, so that no account lands in a Redis that happens to run."""
    key_file: Path
    """Private key (PEM, Ed25519) that identities are signed with; made where there is none, with
    the public key beside it (`.pub`), which every service is given."""
    redis_ca_file: Path | None = None
    """Where Redis is reached by `rediss://`: the authority (PEM) that signed its certificate; by
    default those that the system trusts."""
    audit_dir: Path
    """Where the audit trail lies, as the process that chains it writes it."""
    public_url: Annotated[str, StringConstraints(pattern=r"^https?://[^/?#\s]+$")]
    """The address that people use, without a path. Links begin with it; where it is `https`,
    cookies are sent over TLS only."""
    code_required_for: tuple[Role, ...] = ()
    """Roles whose holders must set up one-time codes (TOTP) when they sign in with a password, as
    JSON: `["admin"]`. Everybody else may."""
    oidc_issuer: Annotated[str, StringConstraints(pattern=r"^https?://[^?#\s]+$")] | None = None
    """Address of the OpenID Connect provider whose accounts may sign in; unset, none is asked."""
    oidc_client_id: str | None = None
    """What the provider calls this installation."""
    oidc_client_secret: SecretStr | None = None
    """The secret that goes with it."""
    oidc_scope: str = "openid profile"
    """What the provider is asked for."""
    oidc_roles_claim: str | None = None
    """The claim of the provider's answer that lists somebody's groups, for `oidc_roles`; unset,
    only people whom an admin has entered with their `subject` may sign in."""
    oidc_roles: dict[str, Role] = Field(default_factory=dict)
    """Which of those groups stands for which role, as JSON: `{"radiology": "clinician"}`. Whoever
    is in one gets an account, and at each sign-in the roles of the day."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """The least severe line that is logged."""
    traces_url: str | None = None
    """Where traces go, by OTLP over HTTP; None: nothing is traced."""

    @property
    def secure(self) -> bool:
        """Whether people come by TLS."""
        return urlsplit(self.public_url).scheme == "https"

    @property
    def cookie_name(self) -> str:
        """What the session's cookie is called; under TLS browsers hold it to this host."""
        return "__Host-sightline_session" if self.secure else "sightline_session"

    @model_validator(mode="after")
    def _a_whole_provider(self) -> Self:
        if self.oidc_issuer is not None and not (self.oidc_client_id and self.oidc_client_secret):
            raise ValueError(
                "a provider needs SIGHTLINE_GATEWAY_IDENTITY_OIDC_CLIENT_ID and"
                " SIGHTLINE_GATEWAY_IDENTITY_OIDC_CLIENT_SECRET"
            )
        return self


def deployed_identity() -> IdentitySettings | None:
    """The identity service's own settings where this process is given them, as the commands of a
    server or a container are; None where a stack runs from a folder.

    Raises:
        pydantic.ValidationError: they are not whole.
    """
    given = "SIGHTLINE_GATEWAY_IDENTITY_REDIS_URL" in os.environ
    return IdentitySettings() if given else None


def child_environment(prefix: str | None = None) -> dict[str, str]:
    """What a child process inherits of this one's environment: names from a closed list.

    Args:
        prefix: of the child's own settings, which may be set in the shell that runs `make run`.
            No process is handed those of another, some of which are secrets.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if name in INHERITED or (prefix is not None and name.startswith(prefix))
    }
