"""A ZIP from anybody: its files come out, and nothing else comes of it."""

import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diagnosis.errors import ArchiveBomb, InputRefused, UnreadableArchive
from diagnosis.images import MAX_BYTES
from inference_service.archives import Archive, Member

NOISE = random.Random(1).randbytes(3000)


def zipped(*files: tuple[str | zipfile.ZipInfo, bytes], packed: bool = True) -> bytes:
    made = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return made.getvalue()


def read(data: bytes) -> list[Member]:
    return [*Archive(io.BytesIO(data)).members()]


def codes(data: bytes) -> dict[str, str | None]:
    return {one.name: None if one.refused is None else one.refused.code for one in read(data)}


@pytest.mark.parametrize("packed", [True, False])
def test_files_come_out_as_they_went_in(packed: bool) -> None:
    files = [("a.png", NOISE), ("ward/b.jpg", b"x" * 5000), ("ß/é.png", b"1"), ("empty", b"")]
    found = read(zipped(*files, packed=packed))
    assert [(one.name, one.data, one.refused) for one in found] == [
        (name, data, None) for name, data in files
    ]


def test_what_systems_leave_in_folders_is_left_out() -> None:
    data = zipped(
        ("films/", b""),
        ("films/a.png", NOISE),
        ("__MACOSX/films/._a.png", b"x"),
        ("films/.DS_Store", b"x"),
        ("films/Thumbs.db", b"x"),
    )
    assert len(Archive(io.BytesIO(data))) == 1
    assert codes(data) == {"films/a.png": None}


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../x.png", "a/../../x.png", "C:\\x.png", "c:x", "\\\\host\\x", "a\\..\\x"],
)
def test_a_name_that_leads_elsewhere_is_refused(name: str) -> None:
    assert codes(zipped((name, NOISE), ("good.png", NOISE))) == {
        name: "unsafe-name",
        "good.png": None,
    }


def test_control_characters_are_no_name() -> None:
    assert [*codes(zipped(("a\x1b[2J.png", NOISE))).values()] == ["unsafe-name"]


@pytest.mark.parametrize("mode", [0o120777, 0o020666, 0o010644, 0o140755])
def test_links_and_devices_are_no_files(mode: int) -> None:
    link = zipfile.ZipInfo("link.png")
    link.create_system, link.external_attr = 3, mode << 16
    assert codes(zipped((link, b"/etc/passwd"), ("good", NOISE))) == {
        "link.png": "not-a-file",
        "good": None,
    }


@pytest.mark.parametrize("inner", ["zip", "gz", "tar", "7z", "rar", "bz2", "xz"])
def test_an_archive_in_an_archive_is_not_opened(inner: str) -> None:
    begins = {
        "zip": zipped(("a", b"b")),
        "gz": b"\x1f\x8b\x08" + bytes(20),
        "tar": bytes(257) + b"ustar\x0000" + bytes(300),
        "7z": b"7z\xbc\xaf\x27\x1c" + bytes(20),
        "rar": b"Rar!\x1a\x07\x01\x00",
        "bz2": b"BZh91AY",
        "xz": b"\xfd7zXZ\x00",
    }
    assert codes(zipped(("x.png", begins[inner]), ("good", NOISE))) == {
        "x.png": "nested-archive",
        "good": None,
    }


def test_another_way_of_packing_is_refused() -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.png", NOISE)
    assert codes(made.getvalue()) == {"a.png": "unsupported-packing"}


def test_what_is_encrypted_is_refused() -> None:
    data = bytearray(zipped(("a.png", NOISE)))
    data[6] |= 1
    data[data.rfind(b"PK\x01\x02") + 8] |= 1
    assert codes(bytes(data)) == {"a.png": "encrypted-file"}


def test_a_bomb_is_refused_before_it_grows() -> None:
    # 24 MB of nothing in 24 KB; one file larger than any image; and more than a batch altogether.
    assert codes(zipped(("bomb.bmp", bytes(24_000_000)), ("good", NOISE))) == {
        "bomb.bmp": "packed-too-tightly",
        "good": None,
    }
    assert codes(zipped(("large.bmp", bytes(MAX_BYTES + 1)))) == {"large.bmp": "file-too-large"}
    with pytest.raises(ArchiveBomb):
        Archive(io.BytesIO(sized(90, 24_000_000)))


def sized(count: int, size: int) -> bytes:
    """An archive whose directory says that each of its files has this size."""
    data = bytearray(zipped(*((f"{n}.png", NOISE) for n in range(count)), packed=False))
    place = data.find(b"PK\x01\x02")
    while place >= 0:
        data[place + 24 : place + 28] = struct.pack("<L", size)
        place = data.find(b"PK\x01\x02", place + 4)
    return bytes(data)


@pytest.mark.parametrize("size", [0, 10, 2999, 3001, 24_000_000])
def test_a_size_that_is_not_true_is_damage(size: int) -> None:
    packed = zipped(("a.png", b"ab" * 1500))
    place = packed.rfind(b"PK\x01\x02")
    lying = packed[: place + 24] + struct.pack("<L", size) + packed[place + 28 :]
    (member,) = read(lying)
    assert member.refused is not None
    assert member.data == b""


def test_members_that_share_bytes_make_no_archive() -> None:
    """How 42 kB grow to petabytes: many entries of the directory, one and the same stream."""
    data = zipped(("a.png", NOISE), ("b.png", NOISE), packed=False)
    second = data.rfind(b"PK\x01\x02")
    shared = data[: second + 42] + struct.pack("<L", 0) + data[second + 46 :]
    with pytest.raises(UnreadableArchive):
        Archive(io.BytesIO(shared))


def test_what_is_changed_on_the_way_is_damage() -> None:
    data = bytearray(zipped(("a.png", NOISE), packed=False))
    data[100] ^= 1
    assert codes(bytes(data)) == {"a.png": "damaged-file"}
    other_name = zipped(("a.png", NOISE)).replace(b"a.png", b"b.png", 1)
    assert codes(other_name) == {"a.png": "damaged-file"}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"",
        lambda data: b"PK",
        lambda data: data[:-1],
        lambda data: data[:-30],
        lambda data: b"x" + data,
        lambda data: data + b"x",
        lambda data: data.replace(b"PK\x01\x02", b"PK\x01\x03"),
        lambda data: data[:-12] + struct.pack("<HH", 2, 2) + data[-8:],
        lambda data: data[:-10] + struct.pack("<LL", 2**32 - 1, 2**32 - 1) + data[-2:],
        lambda data: NOISE,
    ],
)
def test_what_is_no_whole_archive_is_refused(spoil: Callable[[bytes], bytes]) -> None:
    with pytest.raises(UnreadableArchive):
        read(spoil(zipped(("a.png", NOISE))))


def test_a_comment_may_stand_at_the_end() -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("a.png", NOISE)
        archive.comment = b"made by a camera PK\x05\x06" + bytes(30)
    assert codes(made.getvalue()) == {"a.png": None}


def test_too_many_members_are_refused() -> None:
    with pytest.raises(UnreadableArchive):
        Archive(io.BytesIO(zipped(*((f"{n}", b"") for n in range(10_001)), packed=False)))


@given(
    files=st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=30),
        st.binary(max_size=500),
        max_size=5,
    ),
    at=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=4),
)
@settings(deadline=None, max_examples=150)
def test_whatever_it_is_it_is_files_or_refused(
    files: dict[str, bytes], at: list[tuple[int, int]]
) -> None:
    data = bytearray(zipped(*files.items()))
    for place, value in at:
        data[place % len(data)] = value
    try:
        found = read(bytes(data))
    except InputRefused:
        return
    for member in found:
        assert (member.refused is None) or member.data == b""
        if member.refused is None:
            assert len(member.data) <= MAX_BYTES
            # What came out is what its checksum stands for.
            assert struct.pack("<L", zlib.crc32(member.data)) in bytes(data)
