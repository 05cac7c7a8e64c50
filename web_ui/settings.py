"""What the pages need to know about where they run; nothing else here reads the environment."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PACKAGE = Path(__file__).parent


class Settings(BaseSettings):
    """Settings of web_ui, each from `SIGHTLINE_WEB_<NAME>`."""

    model_config = SettingsConfigDict(
        env_prefix="SIGHTLINE_WEB_", frozen=True, extra="forbid", use_attribute_docstrings=True
    )

    api_socket: Path | None = None
    """Unix socket of inference_service; goes before `api_url`."""
    api_url: str | None = None
    """Address of inference_service without a path, where it is not on a socket."""
    identity_key_file: Path
    """Public key (PEM, Ed25519) of the gateway, which signs who is asking."""
    identity_socket: Path | None = None
    """Unix socket of the gateway's identity service (accounts, keys and the audit trail); goes
    before `identity_url`."""
    identity_url: str | None = None
    """Address of the identity service without a path, where it is not on a socket."""
    organisation_sign_in: bool = False
    """Whether the page to sign in offers the accounts of an organisation (OIDC), too."""
    connect_seconds: Annotated[float, Field(gt=0, le=60)] = 2.0
    """How long to wait for a connection to inference_service."""
    answer_seconds: Annotated[float, Field(gt=0, le=300)] = 35.0
    """How long to wait for its answer: a little more than a reading may take (30 s)."""
    max_upload_bytes: Annotated[int, Field(gt=0)] = 25 * 1024 * 1024
    """Largest image that is passed on. The service that opens it has the same limit."""
    page_size: Annotated[int, Field(ge=1, le=100)] = 20
    """Readings on one page of the worklist."""
    read_first: Literal["off", "choice", "always"] = "choice"
    """Whether an own opinion comes before the model's answer: never, by each person's choice on the
    page of the account, or for everybody."""
    report_seconds: Annotated[float, Field(gt=0, le=300)] = 30.0
    """How long writing a report as PDF may take, the wait for its turn included."""
    static_dir: Path = PACKAGE / "static" / "dist"
    """The built assets and their `manifest.json`."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """The least severe line that is logged."""
    traces_url: str | None = None
    """Where traces go, by OTLP over HTTP; None: nothing is traced."""

    @model_validator(mode="after")
    def _services_to_talk_to(self) -> Self:
        if self.api_socket is None and self.api_url is None:
            raise ValueError(
                "the pages need the service that reads images: set SIGHTLINE_WEB_API_SOCKET to its"
                " unix socket, or SIGHTLINE_WEB_API_URL to its address"
            )
        if self.identity_socket is None and self.identity_url is None:
            raise ValueError(
                "the pages need the service that knows who is asking: set"
                " SIGHTLINE_WEB_IDENTITY_SOCKET to its unix socket, or SIGHTLINE_WEB_IDENTITY_URL"
                " to its address"
            )
        return self
