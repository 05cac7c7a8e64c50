"""The proxy's configuration: one template, one set of variables.

The same template serves `make run`, the tests and the servers; they differ in `NginxVariables`.
"""

import re
import tomllib
from pathlib import Path
from typing import Annotated, Self

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from gateway.limits import Limits, Seconds
from gateway.proxy_problems import PROXY_PROBLEMS

TEMPLATES = Path(__file__).parent / "nginx"
TEMPLATE = "nginx.conf.j2"

#: Characters that would end a quoted string of Nginx's, or be read by it as a variable.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\"'\\$;{}]")


def _harmless(value: str) -> str:
    if _UNSAFE.search(value):
        raise ValueError("holds a character that has a meaning in an Nginx configuration")
    return value


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("must be an absolute path: Nginx reads others from its own folder")
    _harmless(str(path))
    return path


Folder = Annotated[Path, AfterValidator(_absolute)]
#: `unix:/absolute/path` or `host:port`.
Upstream = Annotated[
    str,
    StringConstraints(
        pattern=r"^(unix:/[^:]+|[A-Za-z0-9.\-]+:[0-9]{1,5}|\[[0-9a-f:]+\]:[0-9]{1,5})$"
    ),
    AfterValidator(_harmless),
]
#: `unix:/absolute/path` or `address:port`.
StatusListener = Annotated[
    str,
    StringConstraints(pattern=r"^(unix:/[^:]+|[0-9.]+:[0-9]{1,5})$"),
    AfterValidator(_harmless),
]
HostName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.\-_\[\]:*]+$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_\-]*$")]
#: A header's value between double quotes: no quotes, no line ends, nothing Nginx would expand.
HeaderValue = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9 ;:'=()*,/.\-]+$")]

#: OpenSSL's names, joined by colons.
CipherNames = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9\-]+(:[A-Z0-9\-]+)*$")]

#: For TLS 1.2: an ephemeral key exchange and an AEAD, nothing else.
TLS_1_2_CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)

ERROR_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class NginxVariables(Limits):
    """Everything that differs between the places where the proxy runs."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    listen_address: Annotated[str, StringConstraints(pattern=r"^[0-9a-f.:\[\]]+$")] = "127.0.0.1"
    """The address to listen on; loopback unless somebody decides otherwise."""
    listen_port: int = Field(ge=1, le=65535)
    tls_certificate: Folder | None = None
    """The certificate with its chain. With it, the port speaks TLS (1.2 and 1.3) and HTTP/2, and
    whoever comes without TLS is redirected or refused; without it, the port is plain HTTP."""
    tls_certificate_key: Folder | None = None
    """The private key of that certificate."""
    tls_ciphers: CipherNames = TLS_1_2_CIPHERS
    """The suites of TLS 1.2; those of TLS 1.3 are not chosen."""
    hsts: HeaderValue = "max-age=63072000; includeSubDomains"
    """How long a browser shall come with TLS only; sent under TLS alone."""
    redirect_port: int | None = Field(default=None, ge=1, le=65535)
    """A second port, of plain HTTP, that redirects to the first; None: there is none."""
    public_port: int | None = Field(default=None, ge=1, le=65535)
    """The port that a redirect names, where it is not the one that is listened on."""
    acme_dir: Folder | None = None
    """Where certbot puts what the certificate authority asks for over plain HTTP."""
    http2_in_listen: bool = True
    """How HTTP/2 is switched on: a word of `listen` before Nginx 1.25.1, a directive since."""
    server_names: tuple[HostName, ...] = ("localhost", "127.0.0.1")
    """The host names that are served; others get 421, so that no foreign page reaches this one
    through a name of its own that points here. Empty: every name is served."""
    web_upstream: Upstream
    """Where web_ui listens."""
    inference_upstream: Upstream
    """Where inference_service listens."""
    identity_upstream: Upstream
    """Where the identity service listens."""
    grafana_upstream: Upstream | None = None
    """Where Grafana listens, for whoever has the role ops; None: there is none."""
    worker_upstream: Upstream | None = None
    """Where a worker tells how it is; None: nobody asks it through here."""
    metrics_port: int | None = Field(default=None, ge=1, le=65535)
    """A port of 127.0.0.1 on which Prometheus, on the same machine, finds each service's figures
    below its role (`/web/metrics`); None: there is none."""
    status_listen: StatusListener | None = None
    """Where Nginx tells its exporter how it is (`stub_status`): an address of the private side, or
    a unix socket. None: nowhere."""
    static_dir: Folder
    """Served under /static/; built assets with hashed names lie in its folder dist/assets."""
    error_pages_dir: Folder
    """Holds `<status>.html` for every answer that Nginx gives by itself."""
    run_dir: Folder
    """Where nginx.pid lies."""
    log_dir: Folder
    """Where access.log lies."""
    temp_dir: Folder
    """Where a large upload waits until it is whole; readable by the proxy's user alone."""
    tls_before: bool = False
    """Whether something before this proxy speaks TLS with people, so that `public_url` of the
    identity service begins with https, and its cookie is called accordingly."""
    worker_user: Name | None = None
    """The user of the workers where the master is root; None where it is not."""
    worker_processes: Annotated[int, Field(ge=1, le=128)] = 1
    worker_connections: Annotated[int, Field(ge=64, le=65536)] = 2048
    body_limit_bytes: int = Field(default=26 * 1024 * 1024, ge=1024)
    """Larger bodies get 413 from Nginx. A little above the largest image with its form around
    it, so that the service itself answers for an image that is just too large."""
    batch_limit_bytes: int = Field(default=2 * 1000**3 + 16 * 1024 * 1024, ge=1024)
    """The same where the files of a whole batch come in one body; a little above what a batch may
    hold, for the form around it."""
    keepalive_requests: int = Field(default=1000, ge=1)
    """Requests on one connection before it is closed; streams that were reset count."""
    concurrent_streams: int = Field(default=32, ge=1, le=1000)
    """Streams that may be open at once on one connection of HTTP/2."""
    send_timeout: Seconds = 15
    """Seconds that may pass between two reads of a client that takes an answer."""
    connect_timeout: Seconds = 2
    """Seconds to reach a service."""
    answer_timeout: Seconds = 35
    """Seconds for a service to answer; a reading is refused by the service after 30."""
    batch_timeout: Seconds = 600
    """The same for a service that looks through the files of a whole batch."""
    static_policy: HeaderValue = ERROR_PAGE_POLICY
    """The Content-Security-Policy of whatever does not bring one: files, API, error pages."""

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_certificate_key is None):
            raise ValueError("tls_certificate and tls_certificate_key belong together")
        if self.tls_certificate is None and (self.redirect_port or self.acme_dir):
            raise ValueError("redirect_port and acme_dir need tls_certificate")
        if self.tls_certificate is not None and not self.server_names:
            raise ValueError("with TLS, server_names must be given: a redirect names one of them")
        return self


def read_variables(file: Path) -> NginxVariables:
    """The variables in a TOML file; see `deployment.toml` beside the template.

    Raises:
        tomllib.TOMLDecodeError: it is not TOML.
        pydantic.ValidationError: a variable is missing, unknown or not allowed.
    """
    return NginxVariables.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))


def render(variables: NginxVariables) -> str:
    """The text of nginx.conf for these variables.

    Raises:
        jinja2.UndefinedError: the template names a variable that does not exist.
    """
    # Not HTML: what could be dangerous in an Nginx configuration is refused by the variables.
    environment = Environment(  # noqa: S701
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["quoted"] = _quoted
    return environment.get_template(TEMPLATE).render(
        variables.model_dump(),
        problems=PROXY_PROBLEMS,
    )


def _quoted(text: str) -> str:
    """`text` as a single-quoted string of Nginx's; variables in it are still expanded."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
