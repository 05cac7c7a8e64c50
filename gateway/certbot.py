"""The systemd units that get and renew a server's certificate: two templates, one set of variables.

They are for servers. Where `make run` runs, `gateway.certificates` makes what TLS needs.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Self

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from gateway.rendering import TEMPLATES

#: Each unit, from the template of the same name with `.j2`.
UNITS = ("certbot.service", "certbot.timer")

# Narrow on purpose: a unit file gives meaning to quotes, `%`, `$` and spaces.
_PublicName = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9\-]*[a-z0-9])?(\.[a-z0-9\-]+)+$")
]
_Address = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._+\-]+@[A-Za-z0-9.\-]+$")]
_UnitPath = Annotated[str, StringConstraints(pattern=r"^/[A-Za-z0-9._/\-]+$")]


class CertbotVariables(BaseModel):
    """Everything that differs between the servers."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    names: Annotated[tuple[_PublicName, ...], Field(min_length=1)]
    """The names that the certificate is for; it is filed under the first."""
    email: _Address
    """Where the certificate authority writes to when something is wrong."""
    acme_dir: _UnitPath
    """The proxy's variable of the same name."""
    certbot: _UnitPath = "/usr/bin/certbot"
    systemctl: _UnitPath = "/usr/bin/systemctl"

    @classmethod
    def read(cls, file: Path) -> Self:
        """The variables in a TOML file; see `certbot.toml` beside the templates.

        Raises:
            tomllib.TOMLDecodeError: it is not TOML.
            pydantic.ValidationError: a variable is missing, unknown or not allowed.
        """
        return cls.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))


def write_units(variables: CertbotVariables, folder: Path) -> tuple[Path, ...]:
    """Write `sightline-certbot.service` and `.timer` into `folder`; their paths."""
    # Not HTML: what could be dangerous in a unit is refused by the variables.
    environment = Environment(  # noqa: S701
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, keep_trailing_newline=True
    )
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for unit in UNITS:
        path = folder / f"sightline-{unit}"
        text = environment.get_template(f"{unit}.j2").render(variables.model_dump())
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return tuple(written)
