"""Every package that ships says under which licence, and it is one that may ship."""

import pytest

from tests.supply_chain.licences import DOCUMENT, document
from tests.supply_chain.packages import (
    PERMITTED,
    Package,
    page_packages,
    pinned,
    shipped,
    terms,
)

PACKAGES = (*shipped(), *page_packages())


def test_there_is_something_to_check() -> None:
    assert len(shipped()) > 80
    assert {"bootstrap", "htmx.org"} <= {one.name for one in page_packages()}


@pytest.mark.parametrize("package", PACKAGES, ids=lambda one: one.name)
def test_a_package_is_under_a_licence_that_may_ship(package: Package) -> None:
    assert package.licence, f"{package.name} does not say; read its licence, then say it by hand"
    assert terms(package.licence) <= PERMITTED


def test_a_copyleft_licence_would_be_seen() -> None:
    for licence in (
        "GPL-3.0-or-later",
        "MIT AND AGPL-3.0-only",
        "LGPL-2.1",
        "BUSL-1.1",
        "SSPL-1.0",
    ):
        assert not terms(licence) <= PERMITTED


def test_what_a_gpu_needs_besides_is_jax_and_what_is_nvidias() -> None:
    """It does not ship: whoever has a GPU gets it from an index, under NVIDIA's licences."""
    named = {name: pinned(name) for name in ("gpu", "dev")}
    more = named["gpu"] - named["dev"]
    assert more
    assert {name for name in more if not name.startswith(("nvidia-", "jax-cuda12-"))} == set()


def test_the_document_lists_what_ships() -> None:
    assert DOCUMENT.read_text() == document(), "out of date: make licences"
