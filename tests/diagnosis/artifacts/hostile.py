"""Ways to change one thing in a good `.keras` file."""

import io
import json
from collections.abc import Callable
from typing import Any

import h5py

from tests.fixtures.artifacts import pack, unpack


def with_config(content: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    """The same file with a changed configuration."""
    members = unpack(content)
    config = json.loads(members["config.json"])
    change(config)
    return pack(members | {"config.json": json.dumps(config).encode()})


def with_config_text(content: bytes, change: Callable[[str], str]) -> bytes:
    """The same file with a configuration changed as text."""
    members = unpack(content)
    text = change(members["config.json"].decode())
    return pack(members | {"config.json": text.encode("utf-8", "surrogateescape")})


def with_weights(content: bytes, change: Callable[[h5py.File], object]) -> bytes:
    """The same file with a changed weights file, rewritten by h5py."""
    members = unpack(content)
    file = io.BytesIO(members["model.weights.h5"])
    with h5py.File(file, "r+") as weights:
        change(weights)
    return pack(members | {"model.weights.h5": file.getvalue()})


def layer(config: dict[str, Any], name: str) -> dict[str, Any]:
    """The first layer of a class."""
    return next(one for one in config["config"]["layers"] if one["class_name"] == name)
