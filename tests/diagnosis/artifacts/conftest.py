"""The good file that every hostile one is made from."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def good(tiny_artifact: Path) -> bytes:
    """A `.keras` file that is accepted."""
    return (tiny_artifact / "model.keras").read_bytes()
