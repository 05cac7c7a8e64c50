"""Why a batch, a file of one or an archive of files is refused."""

from diagnosis.errors.base import InputRefused
from diagnosis.errors.services import TemporarilyUnavailable


class UnknownBatch(InputRefused):
    """Never made, or deleted."""

    code = "unknown-batch"
    status = 404
    title = "There is no such batch"
    default_detail = "There is no batch under this address; it may have been deleted."
    default_remedy = "GET /api/v1/batches lists those that are kept."


class BatchClosed(InputRefused):
    """It takes no more files, or was cancelled."""

    code = "batch-closed"
    status = 409
    title = "This batch is closed"
    default_detail = "This batch takes no more files."
    default_remedy = "Begin another batch for what is left."


class ItemTaken(InputRefused):
    """A number stands for another file already."""

    code = "item-taken"
    status = 409
    title = "Another file has this number"
    default_detail = "This batch has another file under this number already."
    default_remedy = "Give each file of a batch a number of its own."


class BatchTooLarge(InputRefused):
    """More files, or more bytes, than a batch may have."""

    code = "batch-too-large"
    status = 413
    title = "This batch is too large"
    default_detail = "A batch has at most 2,000 files and 2 GB."
    default_remedy = "Begin another batch for what is left."


class QueueFull(TemporarilyUnavailable):
    """More files wait for workers than are taken."""

    code = "queue-full"
    title = "Too many files are waiting"
    default_detail = "More files of batches wait to be read than are taken."
    default_remedy = "Nothing was lost; go on in a while, from the file that was refused."
    retry_after = 15


class FileRefused(InputRefused):
    """Base of why a file of a batch is set aside before or beside its image's own refusals."""

    code = "file-refused"


class GaveUp(FileRefused):
    """Whoever read it died, every time."""

    code = "gave-up"
    title = "This file was set aside"
    default_detail = "The worker that read this file ended before it was read, several times."
    default_remedy = "Look whether the file is damaged; retry it once, or leave it out."


class BytesGone(FileRefused):
    """It was accepted, and its bytes are not kept any more."""

    code = "bytes-gone"
    title = "This file is not kept any more"
    default_detail = "The bytes of this file were not there when it was to be read."
    default_remedy = "Send the file again in another batch."


class UnsafeName(FileRefused):
    """A member's name that leads out of its folder, or hides what it is."""

    code = "unsafe-name"
    title = "The name of this file is not a plain one"
    default_detail = "The name is absolute, leads out of its folder, or holds control characters."
    default_remedy = "Pack the files anew with plain names."


class NotAFile(FileRefused):
    """A member that is a link or a device."""

    code = "not-a-file"
    title = "This is not a file"
    default_detail = "This is a link or a device and not a file."
    default_remedy = "Pack the files themselves."


class EncryptedFile(FileRefused):
    """A member with a password."""

    code = "encrypted-file"
    title = "This file is encrypted"
    default_detail = "This file of the archive is encrypted."
    default_remedy = "Pack the files without a password; the connection is protected already."


class NestedArchive(FileRefused):
    """An archive within the archive."""

    code = "nested-archive"
    title = "This is another archive"
    default_detail = "This file is an archive itself; archives in archives are not opened."
    default_remedy = "Send it by itself, or pack its files flat."


class PackedTooTightly(FileRefused):
    """A member that grows beyond every image when it is unpacked."""

    code = "packed-too-tightly"
    title = "This file grows too much when it is unpacked"
    default_detail = "Unpacked, this file is many times larger than any image is packed."
    default_remedy = "Send the image by itself if it is one."


class DamagedFile(FileRefused):
    """A member that does not unpack to what the archive says."""

    code = "damaged-file"
    title = "This file of the archive is damaged"
    default_detail = "This file does not unpack to what the archive says of it."
    default_remedy = "Pack the files anew."


class UnsupportedPacking(FileRefused):
    """A member packed in another way than by deflate."""

    code = "unsupported-packing"
    title = "This file is packed in a way that is not read"
    default_detail = "Only files that are stored or deflated are read."
    default_remedy = "Pack the files with another program or its default settings."


class UnreadableArchive(InputRefused):
    """No ZIP, a damaged one, or one that tricks."""

    code = "unreadable-archive"
    title = "This archive cannot be read"
    default_detail = "This is not a whole ZIP archive of the plain kind."
    default_remedy = "Pack the files anew as a ZIP without passwords and in one part."


class ArchiveBomb(InputRefused):
    """All of it together grows too much."""

    code = "archive-bomb"
    title = "This archive grows too much when it is unpacked"
    default_detail = "Unpacked, this archive is larger than a batch may be."
    default_remedy = "Send fewer files at a time."
