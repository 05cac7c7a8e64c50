"""The members of a ZIP that anybody may have made: each a file, or a reason why it is none.

Nothing is written under a member's name, so a name can lead nowhere; it is refused all the same
where it tries. Sizes are those of the directory, and a member that unpacks to anything else is
damaged: so what all of it takes is known before anything is unpacked. Members that share bytes
(which is how a small archive grows to petabytes) make the archive unreadable as a whole.
"""

import re
import stat
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from diagnosis.contracts import MOST_BATCH_BYTES
from diagnosis.errors import (
    ArchiveBomb,
    DamagedFile,
    EncryptedFile,
    FileTooLarge,
    InputRefused,
    NestedArchive,
    NotAFile,
    PackedTooTightly,
    UnreadableArchive,
    UnsafeName,
    UnsupportedPacking,
)
from diagnosis.images import MAX_BYTES

#: Members, folders and hidden files among them; a batch takes fewer.
MOST_MEMBERS = 10_000
#: Bytes of the directory: enough for so many members with long names.
MOST_DIRECTORY = 8 * 1024 * 1024
#: Unpacked over packed bytes. Images are packed already, and raw ones come to 20 at most.
MOST_RATIO = 200
#: Smaller files may be packed as tightly as they like: an image of one colour is.
_RATIO_COUNTS_FROM = 1024 * 1024

_END = struct.Struct("<4s4H2LH")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_END_SIGN, _ENTRY_SIGN, _LOCAL_SIGN = b"PK\x05\x06", b"PK\x01\x02", b"PK\x03\x04"
#: Of an archive for more than 4 GB: what stands before its end.
_LARGE_SIGN, _LARGE_LENGTH = b"PK\x06\x07", 20
_LONGEST_COMMENT = 0xFFFF
_STORED, _DEFLATED = 0, 8
_ENCRYPTED, _UTF8_NAMES = 0x0001 | 0x0040 | 0x2000, 0x0800
_UNIX_SYSTEMS = (3, 19)
_CHUNK = 256 * 1024

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_DRIVE = re.compile(r"[A-Za-z]:")
#: What systems leave in folders and nobody means to send.
_LEFT_OUT = re.compile(r"(?:^|/)(?:__MACOSX/|\.[^/]*$|Thumbs\.db$|desktop\.ini$)", re.IGNORECASE)
_ARCHIVES = (
    *(b"PK\x03\x04", b"PK\x05\x06", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07", b"\x1f\x8b\x08"),
    *(b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd", b"MSCF", b"xar!"),
)
_TAR_SIGN, _TAR_AT = b"ustar", 257


@dataclass(frozen=True, slots=True)
class Member:
    """A file of an archive: its bytes, or why it is refused."""

    name: str
    data: bytes = b""
    refused: InputRefused | None = None


@dataclass(frozen=True, slots=True)
class _Entry:
    """A member, as the directory tells it. Sizes and offset in bytes."""

    raw_name: bytes
    system: int
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    attributes: int
    offset: int

    @property
    def name(self) -> str:
        return self.raw_name.decode("utf-8" if self.flags & _UTF8_NAMES else "cp437", "replace")

    @property
    def mode(self) -> int:
        """The kind of file on Unix; 0 where it was made elsewhere."""
        return stat.S_IFMT(self.attributes >> 16) if self.system in _UNIX_SYSTEMS else 0


class Archive:
    """A ZIP whose directory was read and found plain.

    Args:
        file: of which every byte is somebody else's word.

    Raises:
        UnreadableArchive: it is no ZIP, a damaged one, one in parts, one for more than 4 GB, or
            its members overlap.
        ArchiveBomb: unpacked it is larger than a batch may be.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._end, entries = _directory(file)
        _refuse_overlaps(entries, self._end)
        self._entries = [
            one
            for one in entries
            if not one.name.endswith("/")
            and one.mode != stat.S_IFDIR
            and not _LEFT_OUT.search(one.name)
        ]
        self.size = sum(one.size for one in self._entries if one.size <= MAX_BYTES)
        if self.size > MOST_BATCH_BYTES:
            raise ArchiveBomb

    def __len__(self) -> int:
        """How many files it has; folders, and what systems leave in them, are none."""
        return len(self._entries)

    def members(self) -> Iterator[Member]:
        """Its files one after the other, each of them at most as large as an image may be."""
        for entry in self._entries:
            try:
                _refuse_by_description(entry)
                yield Member(entry.name, self._unpacked(entry))
            except InputRefused as refused:
                yield Member(entry.name, refused=refused)

    def _unpacked(self, entry: _Entry) -> bytes:
        """The bytes of a member.

        Raises:
            DamagedFile: they are not what the directory says.
            NestedArchive: they are an archive.
        """
        self._file.seek(entry.offset)
        local = self._file.read(_LOCAL.size)
        if len(local) < _LOCAL.size:
            raise DamagedFile
        sign, _, flags, method, _, _, _, _, _, name_length, extra = _LOCAL.unpack(local)
        name = self._file.read(name_length)
        begins = entry.offset + _LOCAL.size + name_length + extra
        if (
            (sign, method, name) != (_LOCAL_SIGN, entry.method, entry.raw_name)
            or flags & _ENCRYPTED
            or begins + entry.packed > self._end
        ):
            raise DamagedFile
        self._file.seek(begins)
        data = (
            self._file.read(entry.packed)
            if entry.method == _STORED
            else _inflated(self._file, entry.packed, entry.size)
        )
        if len(data) != entry.size or zlib.crc32(data) != entry.crc:
            raise DamagedFile
        if data.startswith(_ARCHIVES) or data[_TAR_AT:].startswith(_TAR_SIGN):
            raise NestedArchive
        return data


def _directory(file: BinaryIO) -> tuple[int, list[_Entry]]:
    """Where the directory begins, and the members in it."""
    size = file.seek(0, 2)
    at, end = _end_record(file, size)
    _, disk, its_disk, here, count, length, offset, _ = _END.unpack(end)
    if (
        (disk, its_disk, here) != (0, 0, count)
        or count > MOST_MEMBERS
        or length > MOST_DIRECTORY
        or offset + length != at
    ):
        raise UnreadableArchive
    file.seek(max(at - _LARGE_LENGTH, 0))
    if file.read(len(_LARGE_SIGN)) == _LARGE_SIGN and at >= _LARGE_LENGTH and count == 0xFFFF:
        raise UnreadableArchive
    file.seek(offset)
    directory = file.read(length)
    entries: list[_Entry] = []
    place = 0
    for _ in range(count):
        fields = directory[place : place + _ENTRY.size]
        if len(fields) < _ENTRY.size or not fields.startswith(_ENTRY_SIGN):
            raise UnreadableArchive
        _, made_by, _, flags, method, _, _, crc, packed, unpacked, *rest = _ENTRY.unpack(fields)
        name, extra, comment, _, _, attributes, begins = rest
        place += _ENTRY.size
        entries.append(
            _Entry(
                directory[place : place + name],
                made_by >> 8,
                flags,
                method,
                crc,
                packed,
                unpacked,
                attributes,
                begins,
            )
        )
        place += name + extra + comment
    if place != length:
        raise UnreadableArchive
    return offset, entries


def _end_record(file: BinaryIO, size: int) -> tuple[int, bytes]:
    """Where the end record stands, and it: it ends where the file does, comment and all."""
    begins = max(size - _END.size - _LONGEST_COMMENT, 0)
    file.seek(begins)
    tail = file.read(_END.size + _LONGEST_COMMENT)
    place = len(tail)
    while (place := tail.rfind(_END_SIGN, 0, place)) >= 0:
        end = tail[place : place + _END.size]
        if len(end) == _END.size and place + _END.size + _END.unpack(end)[-1] == len(tail):
            return begins + place, end
        # One that begins a byte earlier, if there is any.
        place += len(_END_SIGN) - 1
    raise UnreadableArchive


def _refuse_overlaps(entries: list[_Entry], end: int) -> None:
    """Raise UnreadableArchive where two members share bytes, or one reaches into the directory."""
    free_from = 0
    for one in sorted(entries, key=lambda entry: entry.offset):
        if one.offset < free_from:
            raise UnreadableArchive
        free_from = one.offset + _LOCAL.size + len(one.raw_name) + one.packed
    if free_from > end:
        raise UnreadableArchive


def _refuse_by_description(entry: _Entry) -> None:
    """Refuse what the directory already tells."""
    parts = re.split(r"[/\\]", entry.name)
    if not parts[0] or ".." in parts or _DRIVE.match(entry.name) or _CONTROL.search(entry.name):
        raise UnsafeName
    if entry.mode not in (0, stat.S_IFREG):
        raise NotAFile
    if entry.flags & _ENCRYPTED:
        raise EncryptedFile
    if entry.method not in (_STORED, _DEFLATED):
        raise UnsupportedPacking
    if entry.size > MAX_BYTES:
        raise FileTooLarge
    if entry.size > _RATIO_COUNTS_FROM and entry.size > MOST_RATIO * entry.packed:
        raise PackedTooTightly
    if entry.method == _STORED and entry.packed != entry.size:
        raise DamagedFile


def _inflated(file: BinaryIO, packed: int, size: int) -> bytes:
    """Unpack so many bytes; no more than one byte beyond the size is ever made.

    Raises:
        DamagedFile: they are not one whole stream of this size.
    """
    unpacking = zlib.decompressobj(-zlib.MAX_WBITS)
    made = bytearray()
    left = packed
    try:
        while left and not unpacking.eof:
            chunk = file.read(min(left, _CHUNK))
            if not chunk:
                raise DamagedFile
            left -= len(chunk)
            while chunk:
                made += unpacking.decompress(chunk, size + 1 - len(made))
                if len(made) > size:
                    raise DamagedFile
                chunk = unpacking.unconsumed_tail
    except zlib.error as error:
        raise DamagedFile from error
    if not unpacking.eof or unpacking.unused_data or left:
        raise DamagedFile
    return bytes(made)
