"""What a deployment needs before its services start: users, keys, certificate and settings.

`make run` keeps all of it in one folder (gateway/stack.py). Where each service is a container or a
unit of its own, it finds what it needs below `/etc/sightline`:

    NAME.env                            settings of identity, chainer, inference (and workers), web
    identity.pub                        of inference and web: the key that identities are checked by
    redis/redis.conf, redis/users.acl
    redis.json                          password of the exporter of Redis' figures
    nginx.conf, tls/{ca,server}.pem, tls/server.key

Data lie below `/var/lib/sightline`, the private key that signs who is asking among them. All of it
can be written again at any time: passwords, keys and certificates that are there stay.
"""

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field

from diagnosis.durable import replace_file
from gateway.certificates import TlsFiles, ensure_certificates
from gateway.identity.signing import ensure_key
from gateway.redis_users import ACL_NAME, write_acl_file
from gateway.rendering import Name, NginxVariables, StatusListener, Upstream, render
from gateway.stack import redis_settings

PLACES = Path(__file__).parent / "places"

#: Where a release lies on a server and in an image, whatever its version.
PROGRAM = Path("/opt/sightline/current")
CONFIGURATION = Path("/etc/sightline")
DATA = Path("/var/lib/sightline")
PUBLIC_KEY = "identity.pub"

Port = Annotated[int, Field(ge=1, le=65535)]


class Place(BaseModel):
    """Where the parts of one deployment listen; a TOML file of `gateway/places/`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    redis: Upstream
    """`unix:/absolute/path` or `host:port`, as for the three services."""
    identity: Upstream
    inference: Upstream
    web: Upstream
    status: StatusListener | None = None
    """Where Nginx tells its exporter how it is."""
    worker: Upstream | None = None
    """Where a worker tells how it is, where Prometheus cannot ask it by itself."""
    metrics_port: Port | None = None
    """A port of 127.0.0.1 on which Nginx hands on the figures of all services, if wanted."""
    grafana: Upstream | None = None
    """Where Grafana listens, if there is one."""
    https_port: Port
    """The port that Nginx listens on for TLS."""
    http_port: Port
    """The port that redirects to it."""
    proxy_run_dir: Path
    """Where nginx.pid and uploads that are under way lie."""
    proxy_log_dir: Path
    """Where access.log lies."""
    configuration: str = str(CONFIGURATION)
    """The folder to write the configuration of a `{service}` to; the service sees it as
    `/etc/sightline`. Containers see their own alone."""
    proxy_user: Name | None = None
    """The user of Nginx' workers where its master is root."""

    @classmethod
    def read(cls, name: str) -> "Place":
        """The place of this name.

        Raises:
            OSError: there is none.
        """
        return cls.model_validate(tomllib.loads((PLACES / f"{name}.toml").read_text("utf-8")))

    def redis_url(self, user: str, password: str) -> str:
        """Redis' address for one of its users; without a password where that is told elsewhere."""
        kind, _, rest = self.redis.partition(":")
        who = f"{user}:{password}" if password else user
        return f"unix://{who}@{quote(rest)}" if kind == "unix" else f"redis://{who}@{self.redis}"


def prepare(
    place: Place,
    names: Sequence[str],
    *,
    public_port: int = 443,
    certificate: tuple[Path, Path] | None = None,
    root: Path = Path("/"),
) -> None:
    """Write all of it for `place`.

    Args:
        names: host names that people use; the first is the one that links begin with.
        public_port: the port that people use.
        certificate: a certificate with its chain and its key to take in, in place of one of an own
            authority; it stays for later calls.
        root: of the file system, for tests.

    Raises:
        OSError: something cannot be written.
        KeyRefused: the key that signs identities is there and cannot be used.
        pydantic.ValidationError: a name is not one.
    """

    def folder(service: str) -> Path:
        return root / place.configuration.format(service=service).lstrip("/")

    data = root / DATA.relative_to("/")
    served = tuple(dict.fromkeys((*names, "localhost", "127.0.0.1")))
    port = "" if public_port == 443 else f":{public_port}"
    public_url = f"https://{names[0]}{port}"

    _certificate(folder("proxy") / "tls", data / "gateway" / "authority", served, certificate)
    variables = nginx_variables(place, served, public_port)
    _write(folder("proxy") / "nginx.conf", render(variables))

    passwords = write_acl_file(folder("redis") / "redis" / ACL_NAME)
    _write(folder("redis") / "redis" / "redis.conf", _redis_configuration(place))

    key = data / "gateway" / "identity" / "identity.key"
    for made in (key.parent, data / "gateway" / "audit", data / "inference", data / "redis"):
        made.mkdir(mode=0o700, parents=True, exist_ok=True)
    ensure_key(key, key.with_suffix(".pub"))
    for service in ("inference", "web"):
        _write(folder(service) / PUBLIC_KEY, key.with_suffix(".pub").read_text("ascii"), False)

    # As the exporter takes it: by the address that it is told to ask, in which the user may stand.
    asked = place.redis_url("exporter", "")
    known = dict.fromkeys((asked, asked.replace("exporter@", "")), passwords["exporter"])
    exporter = json.dumps(known)
    _write(folder("redis-exporter") / "redis.json", exporter)

    urls = {user: place.redis_url(user, word) for user, word in passwords.items()}
    for service, values in settings(place, urls, public_url).items():
        lines = [f'{name}="{value}"\n' for name, value in values.items()]
        _write(folder(service) / f"{service}.env", "".join(lines))


def settings(
    place: Place, redis_urls: Mapping[str, str], public_url: str
) -> dict[str, dict[str, str]]:
    """The settings of each service, by their names in its environment, but for what may stay as it
    is by default. `LISTEN` is what uvicorn is told about where to listen."""
    gateway, inference = DATA / "gateway", DATA / "inference"
    public_key = str(CONFIGURATION / PUBLIC_KEY)
    return {
        "identity": {
            "LISTEN": _listen(place.identity),
            "SIGHTLINE_GATEWAY_IDENTITY_REDIS_URL": redis_urls["identity"],
            "SIGHTLINE_GATEWAY_IDENTITY_KEY_FILE": str(gateway / "identity" / "identity.key"),
            "SIGHTLINE_GATEWAY_IDENTITY_AUDIT_DIR": str(gateway / "audit"),
            "SIGHTLINE_GATEWAY_IDENTITY_PUBLIC_URL": public_url,
        },
        "chainer": {
            "SIGHTLINE_GATEWAY_RUN_DIR": str(gateway),
            "SIGHTLINE_GATEWAY_AUDIT_REDIS_URL": redis_urls["chainer"],
        },
        "inference": {
            "LISTEN": _listen(place.inference),
            "SIGHTLINE_INFERENCE_REDIS_URL": redis_urls["inference"],
            "SIGHTLINE_INFERENCE_IDENTITY_KEY_FILE": public_key,
            "SIGHTLINE_INFERENCE_MODELS_DIR": str(PROGRAM / "models"),
            "SIGHTLINE_INFERENCE_IMAGE_DIR": str(inference / "images"),
            "SIGHTLINE_INFERENCE_REGISTRY": str(inference / "registry"),
            "SIGHTLINE_INFERENCE_REGISTRY_CACHE_DIR": str(inference / "registry-cache"),
            "SIGHTLINE_INFERENCE_CONVERSION_CACHE_DIR": str(inference / "converted"),
            "SIGHTLINE_INFERENCE_PATIENT_REFERENCE_KEY_FILE": str(
                inference / "patient_reference.key"
            ),
        },
        "web": {
            "LISTEN": _listen(place.web),
            "SIGHTLINE_WEB_IDENTITY_KEY_FILE": public_key,
            **_reached_at("SIGHTLINE_WEB_API", place.inference),
            **_reached_at("SIGHTLINE_WEB_IDENTITY", place.identity),
        },
    }


def nginx_variables(place: Place, names: Sequence[str], public_port: int) -> NginxVariables:
    """The proxy's variables for this place."""
    files = TlsFiles.under(CONFIGURATION / "tls")
    static = PROGRAM / "static"
    return NginxVariables(
        listen_address="0.0.0.0",  # noqa: S104 - the one public door
        listen_port=place.https_port,
        redirect_port=place.http_port,
        public_port=public_port,
        server_names=tuple(names),
        tls_certificate=files.certificate,
        tls_certificate_key=files.key,
        web_upstream=place.web,
        inference_upstream=place.inference,
        identity_upstream=place.identity,
        grafana_upstream=place.grafana,
        worker_upstream=place.worker if place.metrics_port else None,
        metrics_port=place.metrics_port,
        status_listen=place.status,
        static_dir=static,
        error_pages_dir=static / "dist" / "errors",
        run_dir=place.proxy_run_dir,
        log_dir=place.proxy_log_dir,
        temp_dir=place.proxy_run_dir / "temp",
        worker_user=place.proxy_user,
        worker_processes=2,
        # Nginx 1.25.1 and newer take this way too, and say that they know a better one.
        http2_in_listen=True,
    )


def _certificate(
    folder: Path, authority: Path, names: Sequence[str], given: tuple[Path, Path] | None
) -> None:
    """The proxy's certificate: a given one, else one of an authority that is made for these names.

    The authority's key stays in a folder that the proxy does not see.
    """
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    files, own = TlsFiles.under(folder), TlsFiles.under(authority)
    if given is not None:
        files.authority.unlink(missing_ok=True)
        certificate, key = given
    elif files.certificate.exists() and not files.authority.exists():
        return  # one that was given before
    else:
        ensure_certificates(authority, names)
        replace_file(files.authority, own.authority.read_bytes())
        certificate, key = own.certificate, own.key
    replace_file(files.key, key.read_bytes(), private=True)
    replace_file(files.certificate, certificate.read_bytes())


def _redis_configuration(place: Place) -> str:
    kind, _, rest = place.redis.partition(":")
    listen = (
        ("port 0", f'unixsocket "{rest}"', "unixsocketperm 660")
        # Nothing but the networks that it is in reaches it; each user has a password.
        if kind == "unix"
        else (f"port {rest}", "bind * -::*")
    )
    acl = CONFIGURATION / "redis" / ACL_NAME
    return "\n".join((*listen, *redis_settings(DATA / "redis", acl), ""))


def _listen(upstream: str) -> str:
    kind, _, rest = upstream.partition(":")
    # Every address: inside its container or subnet a service does not know its own.
    return f"--uds {rest}" if kind == "unix" else f"--host 0.0.0.0 --port {rest}"


def _reached_at(prefix: str, upstream: str) -> dict[str, str]:
    kind, _, rest = upstream.partition(":")
    return {f"{prefix}_SOCKET": rest} if kind == "unix" else {f"{prefix}_URL": f"http://{upstream}"}


def _write(path: Path, text: str, private: bool = True) -> None:
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    replace_file(path, text.encode("utf-8"), private=private)
