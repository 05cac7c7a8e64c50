"""One hostile archive a rule, refused by that rule; other formats; and damage at random."""

import io
import json
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from diagnosis.artifacts import archive
from diagnosis.artifacts.archive import read_archive
from diagnosis.artifacts.opener import inspect_keras
from diagnosis.errors import ArchiveRefused, ArtifactRefused, FormatRefused
from tests.fixtures.artifacts import pack, unpack

RULE = re.compile(r"accepted$|(archive|config|metadata|weights|format)-[a-z0-9-]+: ")
NAMES = ("metadata.json", "config.json", "model.weights.h5")


def _entries(data: bytes) -> list[int]:
    """Where the entries of the central directory begin."""
    found, at = [], data.find(b"PK\x01\x02")
    while at >= 0:
        found.append(at)
        at = data.find(b"PK\x01\x02", at + 4)
    return found


def _patch(data: bytes, at: int, value: bytes) -> bytes:
    return data[:at] + value + data[at + len(value) :]


def _directory(offset: int, value: bytes) -> Callable[[bytes], bytes]:
    """Change a field of the last member's directory entry."""
    return lambda data: _patch(data, _entries(data)[-1] + offset, value)


def _local(offset: int, value: bytes) -> Callable[[bytes], bytes]:
    """Change a field of the first member's own header."""
    return lambda data: _patch(data, offset, value)


def _end(offset: int, value: bytes) -> Callable[[bytes], bytes]:
    """Change a field of the end of the directory."""
    return lambda data: _patch(data, len(data) - 22 + offset, value)


def _rename(new: str) -> Callable[[bytes], bytes]:
    return lambda data: pack({new if n == "config.json" else n: c for n, c in unpack(data).items()})


def _twice(data: bytes) -> bytes:
    """Two configurations: which one a reader sees depends on the reader."""
    members = unpack(data)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("metadata.json", members["metadata.json"])
        made.writestr("config.json", members["config.json"])
        with pytest.warns(UserWarning, match="Duplicate"):
            made.writestr("config.json", members["config.json"])
    return file.getvalue()


def _link(data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        for name, content in unpack(data).items():
            info = zipfile.ZipInfo(name)
            if name == "config.json":
                info.external_attr = 0o120777 << 16
            made.writestr(info, content)
    return file.getvalue()


def _hidden(data: bytes) -> bytes:
    """Bytes between the last member and the directory."""
    where = _entries(data)[0]
    moved = data[:where] + b"hidden" + data[where:]
    return _end(16, struct.pack("<L", where + 6))(moved)


def _zip64(data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        for name, content in unpack(data).items():
            with made.open(name, "w", force_zip64=True) as member:
                member.write(content)
    return file.getvalue()


def _bomb(data: bytes) -> bytes:
    return pack(unpack(data) | {"model.weights.h5": bytes(50_000_000)}, zipfile.ZIP_DEFLATED)


def _lying_bomb(data: bytes) -> bytes:
    """A bomb that declares a modest size, in both headers."""
    bomb = _bomb(data)
    packed = struct.unpack_from("<L", bomb, _entries(bomb)[-1] + 20)[0]
    modest = struct.pack("<L", packed * 50)
    bomb = _directory(24, modest)(bomb)
    offset = struct.unpack_from("<L", bomb, _entries(bomb)[-1] + 42)[0]
    return _patch(bomb, offset + 22, modest)


CASES: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "member missing": (
        "archive-members",
        lambda data: pack({n: c for n, c in unpack(data).items() if n != "metadata.json"}),
    ),
    "member too many": (
        "archive-members",
        lambda data: pack(unpack(data) | {"assets/vocabulary.txt": b"x"}),
    ),
    "other member": ("archive-members", _rename("config.jsn")),
    "other case": ("archive-members", _rename("CONFIG.json")),
    "path upwards": ("archive-path", _rename("../config.json")),
    "absolute path": ("archive-path", _rename("/config.json")),
    "Windows path": (
        "archive-path",
        lambda d: _rename("x@config.json")(d).replace(b"x@", b"x\\"),
    ),
    "zero in the name": ("archive-path", lambda d: _rename("config.jso@")(d).replace(b"@", b"\0")),
    "member twice": ("archive-duplicate", _twice),
    "link": ("archive-not-a-file", _link),
    "encrypted": ("archive-encrypted", _directory(8, b"\x01\0")),
    "flags": ("archive-flags", _directory(8, b"\x08\0")),
    "bzip2": ("archive-method", lambda data: pack(unpack(data), zipfile.ZIP_BZIP2)),
    "lzma": ("archive-method", lambda data: pack(unpack(data), zipfile.ZIP_LZMA)),
    "comment": ("archive-end", lambda data: data[:-2] + b"\x05\0hello"),
    "bytes behind": ("archive-end", lambda data: data + b"x"),
    "member comment": ("archive-extra", _directory(32, b"\x01\0")),
    "extra field": ("archive-extra", _directory(30, b"\x04\0")),
    "hidden bytes": ("archive-gap", _hidden),
    "overlapping members": ("archive-gap", _directory(42, struct.pack("<L", 0))),
    "several parts": ("archive-multi-disk", _end(4, b"\x01\0")),
    "entry on another part": ("archive-multi-disk", _directory(34, b"\x01\0")),
    "zip64 in the header": ("archive-zip64", _zip64),
    "zip64 in the end": ("archive-zip64", _end(10, b"\xff\xff")),
    "zip64 size": ("archive-zip64", _directory(24, b"\xff\xff\xff\xff")),
    "two names": ("archive-headers-differ", _local(30, b"M")),
    "two methods": ("archive-headers-differ", _local(8, b"\x08\0")),
    "two sizes": ("archive-headers-differ", _local(22, b"\x01\0\0\0")),
    "declared giant": ("archive-member-size", _directory(24, struct.pack("<L", 10**9))),
    "bomb": ("archive-ratio", _bomb),
    "bomb that lies": ("archive-declared-size", _lying_bomb),
    "one byte changed": ("archive-checksum", lambda d: d.replace(b"Conv2D", b"Conv3D", 1)),
    "cut off": ("archive-end", lambda data: data[:-100]),
    "nothing but a beginning": ("archive-truncated", lambda data: data[:20]),
}


@pytest.mark.parametrize(("rule", "change"), CASES.values(), ids=CASES)
def test_a_hostile_archive_is_refused(
    good: bytes, rule: str, change: Callable[[bytes], bytes]
) -> None:
    with pytest.raises(ArchiveRefused) as refused:
        inspect_keras(change(good))
    assert refused.value.cause is not None
    assert refused.value.cause.startswith(f"{rule}: ")


def test_a_bomb_is_not_unpacked(good: bytes) -> None:
    """It is stopped at its declared size: what lies behind is never inflated."""
    lying = _lying_bomb(good)
    assert len(zlib.compress(bytes(50_000_000))) * 50 < 5_000_000
    with pytest.raises(ArchiveRefused, match="archive-declared-size"):
        inspect_keras(lying)


def test_too_large_a_file_is_refused(good: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_KERAS_BYTES", len(good) - 1)
    with pytest.raises(ArchiveRefused, match="archive-size"):
        inspect_keras(good)


def test_both_ways_of_packing_are_accepted(good: bytes) -> None:
    inspect_keras(pack(unpack(good)))
    inspect_keras(pack(unpack(good), zipfile.ZIP_DEFLATED))
    assert list(read_archive(good)) == list(NAMES)


def _tar(content: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as made:
        made.addfile(tarfile.TarInfo("saved_model.pb"), io.BytesIO())
    return file.getvalue()


def _numpy(content: bytes) -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


@pytest.mark.parametrize(
    ("rule", "make"),
    [
        ("format-hdf5", lambda good: unpack(good)["model.weights.h5"]),
        ("format-pickle", lambda good: b"\x80\x04\x95\x00."),
        ("format-gzip", lambda good: b"\x1f\x8b\x08\x00"),
        ("format-tar", _tar),
        ("format-numpy", _numpy),
        ("format-tflite", lambda good: b"\x1c\0\0\0TFL3"),
        ("format-pytorch", lambda good: pack({"archive/data.pkl": b"\x80\x02."})),
        ("format-unknown", lambda good: b"hello"),
        ("format-unknown", lambda good: b""),
        ("format-unknown", lambda good: b"x" + good),
    ],
)
def test_other_formats_are_refused_with_what_to_do(
    good: bytes, rule: str, make: Callable[[bytes], bytes]
) -> None:
    with pytest.raises(FormatRefused, match=rf"\({rule}: ") as refused:
        inspect_keras(make(good))
    assert "model.save('model.keras')" in refused.value.remedy


def _cause(content: bytes) -> str:
    """Why a file is refused, or "accepted"; any other error than a refusal comes through."""
    try:
        inspect_keras(content)
    except ArtifactRefused as error:
        return str(error.cause)
    return "accepted"


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    flips=st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), max_size=8),
    keep=st.floats(0.9, 1),
    inside=st.sampled_from([None, *NAMES]),
)
def test_damage_is_refused_and_never_anything_else(
    good: bytes, flips: list[tuple[float, int]], keep: float, inside: str | None
) -> None:
    """Bytes flipped and ends cut off: of the file, or of a member that is packed up properly."""
    members = unpack(good)
    damaged = bytearray(good if inside is None else members[inside])
    for where, change in flips:
        damaged[int(where * (len(damaged) - 1))] ^= change
    damaged = damaged[: int(len(damaged) * keep)]
    content = bytes(damaged) if inside is None else pack(members | {inside: bytes(damaged)})
    assert RULE.match(_cause(content))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=12,
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), value=_JSON)
def test_any_value_anywhere_in_the_configuration_is_refused_or_harmless(
    good: bytes, data: st.DataObject, value: object
) -> None:
    members = unpack(good)
    node = config = json.loads(members["config.json"])
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(node[key], dict | list) or not node[key] or data.draw(st.booleans()):
            break
        node = node[key]
    node[key] = value
    content = pack(members | {"config.json": json.dumps(config).encode()})
    assert RULE.match(_cause(content))
