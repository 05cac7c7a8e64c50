"""The `.keras` zip, read strictly: three members, laid end to end, and not one byte more.

`zipfile` believes the central directory and other readers believe the local headers; a file on
which the two disagree shows each reader something else. Here both are read and must agree, and
the members must tile the file, so that nothing is hidden between or behind them.
"""

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from diagnosis.errors import ArchiveRefused

#: A `.keras` file as a whole. VGG16 with its dense head, the largest one foreseen, has 554 MB.
MAX_KERAS_BYTES = 600_000_000
#: The members a `.keras` must have, and the unpacked bytes each may have.
MEMBERS: Mapping[str, int] = {
    "metadata.json": 4_096,
    "config.json": 4_000_000,
    "model.weights.h5": MAX_KERAS_BYTES,
}
#: Unpacked over packed bytes. Keras stores unpacked; deflated weights come to about 1.1, a
#: configuration to about 30.
MAX_RATIO = 100

_END = struct.Struct("<4s4H2LH")
_ENTRY = struct.Struct("<4s4B4HL2L5H2L")
_LOCAL = struct.Struct("<4s2B4HL2L2H")
_STORED, _DEFLATED = 0, 8
_UTF8_NAMES = 0x0800


@dataclass(frozen=True)
class _Entry:
    """One member, as the central directory tells it. Sizes and offset in bytes."""

    name: str
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int


def read_archive(data: bytes) -> dict[str, bytes]:
    """Unpack the three members of a `.keras` file.

    Args:
        data: the whole file.

    Returns:
        The unpacked bytes by member name.

    Raises:
        ArchiveRefused: `cause` begins with the rule that was broken.
    """
    if len(data) > MAX_KERAS_BYTES:
        raise _refused("archive-size", f"{len(data)} bytes, at most {MAX_KERAS_BYTES}")
    if len(data) < _END.size:
        raise _refused("archive-truncated", f"{len(data)} bytes are no zip archive")
    entries, directory = _directory(data)
    end = 0
    view = memoryview(data)
    members: dict[str, bytes] = {}
    for entry in sorted(entries, key=lambda one: one.offset):
        if entry.offset != end:
            raise _refused("archive-gap", f"{entry.name} does not follow the member before it")
        begin = _local_header(data, entry)
        end = begin + entry.packed
        if end > directory:
            raise _refused("archive-truncated", f"{entry.name} runs into the directory")
        members[entry.name] = _unpack(view[begin:end], entry)
    if end != directory:
        raise _refused("archive-gap", "bytes lie between the last member and the directory")
    return members


def _directory(data: bytes) -> tuple[list[_Entry], int]:
    """The entries of the central directory, and where it begins."""
    where = len(data) - _END.size
    magic, disk, first_disk, here, total, size, offset, comment = _END.unpack_from(data, where)
    if magic != b"PK\x05\x06" or comment:
        raise _refused("archive-end", "the file does not end with a plain end of directory")
    if 0xFFFF in (disk, first_disk, here, total) or 0xFFFFFFFF in (size, offset):
        raise _refused("archive-zip64", "zip64 records are not read")
    if disk or first_disk or here != total:
        raise _refused("archive-multi-disk", "the archive is one of several parts")
    if total != len(MEMBERS):
        raise _refused("archive-members", f"{total} members instead of {len(MEMBERS)}")
    if offset + size != where:
        raise _refused("archive-gap", "the directory does not reach the end of the file")
    entries: list[_Entry] = []
    for _ in range(total):
        entry, offset = _directory_entry(data, offset, where)
        if entry.name in {one.name for one in entries}:
            raise _refused("archive-duplicate", f"{entry.name} stands twice in the directory")
        entries.append(entry)
    if offset != where:
        raise _refused("archive-gap", "bytes lie behind the last directory entry")
    return entries, where - size


def _directory_entry(data: bytes, offset: int, end: int) -> tuple[_Entry, int]:
    """The entry at `offset`, and where the next one begins."""
    if offset + _ENTRY.size > end:
        raise _refused("archive-truncated", "the directory is cut off")
    (
        magic, _, _, needed, _, flags, method, _, _, crc, packed, size,
        name_bytes, extra, comment, disk, _, attributes, local,
    ) = _ENTRY.unpack_from(data, offset)  # fmt: skip
    begin = offset + _ENTRY.size
    if magic != b"PK\x01\x02" or begin + name_bytes > end:
        raise _refused("archive-truncated", "a directory entry is damaged")
    name = _member_name(data[begin : begin + name_bytes])
    if flags & 0x2041:
        raise _refused("archive-encrypted", f"{name} is encrypted")
    if method not in (_STORED, _DEFLATED):
        raise _refused("archive-method", f"{name} is packed by method {method}")
    if flags & ~_UTF8_NAMES:
        raise _refused("archive-flags", f"{name} has flags {flags:#06x}")
    if needed >= 45 or 0xFFFFFFFF in (packed, size, local):
        raise _refused("archive-zip64", "zip64 records are not read")
    if extra or comment:
        raise _refused("archive-extra", f"{name} carries an extra field or a comment")
    if disk:
        raise _refused("archive-multi-disk", f"{name} lies on another part")
    # The upper half is the Unix mode; the lower the DOS one, where 0x10 is a folder.
    if (attributes >> 28) not in (0, 8) or attributes & 0x10:
        raise _refused("archive-not-a-file", f"{name} is a link, a folder or a device")
    if size > MEMBERS[name]:
        raise _refused("archive-member-size", f"{name} declares {size} bytes")
    if size > MAX_RATIO * max(packed, 1):
        raise _refused("archive-ratio", f"{name} unpacks {packed} bytes to {size}")
    return _Entry(name, flags, method, crc, packed, size, local), begin + name_bytes


def _member_name(raw: bytes) -> str:
    name = raw.decode("ascii", "backslashreplace")
    if name in MEMBERS:
        return name
    if "/" in name or "\\" in name or ".." in name or "\0" in name:
        raise _refused("archive-path", f"{name[:80]!r} is a path")
    raise _refused("archive-members", f"{name[:80]!r} is not one of {', '.join(MEMBERS)}")


def _local_header(data: bytes, entry: _Entry) -> int:
    """Check the header in front of a member against the directory; where its bytes begin."""
    if entry.offset + _LOCAL.size > len(data):
        raise _refused("archive-truncated", f"the header of {entry.name} is cut off")
    (
        magic, _, _, flags, method, _, _, crc, packed, size, name_bytes, extra,
    ) = _LOCAL.unpack_from(data, entry.offset)  # fmt: skip
    begin = entry.offset + _LOCAL.size
    name = data[begin : begin + name_bytes]
    told = (magic, flags, method, crc, packed, size, name, extra)
    expected = (
        b"PK\x03\x04", entry.flags, entry.method, entry.crc, entry.packed, entry.size,
        entry.name.encode(), 0,
    )  # fmt: skip
    if told != expected:
        raise _refused("archive-headers-differ", f"{entry.name}: header and directory disagree")
    return begin + len(name)


def _unpack(packed: memoryview, entry: _Entry) -> bytes:
    if entry.method == _STORED:
        content = bytes(packed)
    else:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            # One byte more than declared is enough to know that the declaration was a lie.
            content = inflater.decompress(packed, entry.size + 1)
        except zlib.error as error:
            raise _refused("archive-damaged", f"{entry.name} cannot be unpacked") from error
        if len(content) <= entry.size and (not inflater.eof or inflater.unused_data):
            raise _refused("archive-damaged", f"{entry.name} is cut off or runs on")
    if len(content) != entry.size:
        raise _refused("archive-declared-size", f"{entry.name} is not as long as it declares")
    if zlib.crc32(content) != entry.crc:
        raise _refused("archive-checksum", f"{entry.name} fails its checksum")
    return content


def _refused(rule: str, what: str) -> ArchiveRefused:
    return ArchiveRefused(cause=f"{rule}: {what}")
