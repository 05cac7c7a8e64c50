"""Everything that can be refused or go wrong, and who is told what.

SightlineError
├── InputRefused                      the caller can mend it (4xx)
│   ├── ImageRefused                  one class a reason, see below
│   │   ├── EmptyFile                 empty-file
│   │   ├── FileTooLarge              file-too-large
│   │   ├── TooManyPixels             too-many-pixels
│   │   ├── ImageTooSmall             image-too-small
│   │   ├── NotAnImage                not-an-image
│   │   ├── UnsupportedFormat         unsupported-format
│   │   ├── UnsupportedPixels         unsupported-pixels
│   │   ├── DamagedImage              damaged-image
│   │   ├── DecompressionBomb         decompression-bomb
│   │   ├── MultiFrameImage           multi-frame-image
│   │   ├── DicomWithoutImage         dicom-without-image
│   │   ├── UnsupportedDicom          unsupported-dicom
│   │   ├── ImageTooCostly            image-too-costly (memory or time beyond the limit)
│   │   └── ReaderEnded               reader-ended (the process that read it crashed)
│   ├── InvalidRequest                invalid-request (a field missing or out of range)
│   │   └── MissingImage              missing-image
│   ├── UnknownDisease                unknown-disease
│   ├── UnknownPrediction             unknown-prediction
│   ├── UnknownVersion                unknown-version (of a disease's model)
│   ├── NoHeatmap                     no-heatmap (of this reading, or of this class)
│   ├── VersionGone                   version-gone (the artifact that answered is not there)
│   ├── AlreadyReviewed               already-reviewed (409: a first opinion is given once)
│   ├── ReadingUnderWay               reading-under-way (409: the same request is at work)
│   ├── UnknownBatch                  unknown-batch
│   ├── BatchClosed                   batch-closed (409: takes no more files, or was cancelled)
│   ├── ItemTaken                     item-taken (409: the number has another file)
│   ├── BatchTooLarge                 batch-too-large (413)
│   ├── FileRefused                   one file of a batch is set aside, see below
│   │   ├── GaveUp                    gave-up (whoever read it died, every time)
│   │   ├── BytesGone                 bytes-gone
│   │   ├── UnsafeName                unsafe-name (of a member of an archive, as all that follow)
│   │   ├── NotAFile                  not-a-file (a link, a device)
│   │   ├── EncryptedFile             encrypted-file
│   │   ├── NestedArchive             nested-archive
│   │   ├── PackedTooTightly          packed-too-tightly
│   │   ├── DamagedFile               damaged-file
│   │   └── UnsupportedPacking        unsupported-packing
│   ├── UnreadableArchive             unreadable-archive
│   ├── ArchiveBomb                   archive-bomb
│   ├── NotSignedIn                   not-signed-in (401: nobody is asking)
│   ├── Forbidden                     forbidden (403: another role is needed)
│   ├── ReauthenticationNeeded        reauthentication-needed (403: the password once more)
│   ├── ForgedRequest                 forged-request (403: not sent from one of our pages)
│   ├── NoSuchResource                not-found
│   └── MethodNotAllowed              method-not-allowed
├── ModelUnavailable                  no-live-model (409: somebody has to act)
│   ├── ModelRefused                  model-refused
│   └── ModelUnderReview              model-under-review (drifted, and was stopped)
├── TemporarilyUnavailable            try again later (503 with Retry-After)
│   ├── StoreUnavailable              store-unavailable
│   ├── AuditUnavailable              audit-unavailable (cannot be written down, so not done)
│   ├── ServiceUnavailable            service-unavailable
│   ├── RegistryUnavailable           registry-unavailable (a RegistryError, too)
│   ├── QueueFull                     queue-full (of files that wait for workers)
│   └── Overloaded                    overloaded
├── ArtifactRefused                   must not reach Keras; for engineers, not for a page
│   ├── DigestMismatch                digest-mismatch
│   ├── CardRefused                   card-refused
│   ├── ArchiveRefused                archive-refused
│   ├── ConfigRefused                 config-refused
│   ├── WeightsRefused                weights-refused
│   ├── SignatureRefused              signature-refused (a key is asked for)
│   └── FormatRefused                 format-refused (.h5, SavedModel, pickle)
├── NotPortable                       not-portable (409: an operation has no twin in ONNX)
├── RegistryError                     registry-error
│   ├── NoEarlierVersion              no-earlier-version (nothing to roll back to)
│   ├── ModelStopped                  model-stopped (under review: may not be live)
│   ├── NotUnderReview                not-under-review (nothing to lift)
│   ├── AlreadyAgreed                 already-agreed (it takes another person)
│   └── PromotionRefused              promotion-refused (sensitivity would be lower)
└── KeyRefused                        key-refused

`detail` is a sentence for the person who sent the request: it never carries a file name, a path,
a header or a pixel of the patient's. `cause` is for an engineer's log and is never sent.
"""

from diagnosis.errors.artifacts import (
    AlreadyAgreed,
    ArchiveRefused,
    ArtifactRefused,
    CardRefused,
    ConfigRefused,
    DigestMismatch,
    FormatRefused,
    KeyRefused,
    ModelStopped,
    NoEarlierVersion,
    NotPortable,
    NotUnderReview,
    PromotionRefused,
    RegistryError,
    RegistryUnavailable,
    SignatureRefused,
    WeightsRefused,
)
from diagnosis.errors.base import (
    InputRefused,
    SightlineError,
)
from diagnosis.errors.batches import (
    ArchiveBomb,
    BatchClosed,
    BatchTooLarge,
    BytesGone,
    DamagedFile,
    EncryptedFile,
    FileRefused,
    GaveUp,
    ItemTaken,
    NestedArchive,
    NotAFile,
    PackedTooTightly,
    QueueFull,
    UnknownBatch,
    UnreadableArchive,
    UnsafeName,
    UnsupportedPacking,
)
from diagnosis.errors.images import (
    DamagedImage,
    DecompressionBomb,
    DicomWithoutImage,
    EmptyFile,
    FileTooLarge,
    ImageRefused,
    ImageTooCostly,
    ImageTooSmall,
    MultiFrameImage,
    NotAnImage,
    ReaderEnded,
    TooManyPixels,
    UnsupportedDicom,
    UnsupportedFormat,
    UnsupportedPixels,
)
from diagnosis.errors.requests import (
    AlreadyReviewed,
    Forbidden,
    ForgedRequest,
    InvalidRequest,
    MethodNotAllowed,
    MissingImage,
    NoHeatmap,
    NoSuchResource,
    NotSignedIn,
    ReadingUnderWay,
    ReauthenticationNeeded,
    UnknownDisease,
    UnknownPrediction,
    UnknownVersion,
    VersionGone,
)
from diagnosis.errors.services import (
    AuditUnavailable,
    ModelRefused,
    ModelUnavailable,
    ModelUnderReview,
    Overloaded,
    ServiceUnavailable,
    StoreUnavailable,
    TemporarilyUnavailable,
)

__all__ = [
    "AlreadyAgreed",
    "AlreadyReviewed",
    "ArchiveBomb",
    "ArchiveRefused",
    "ArtifactRefused",
    "AuditUnavailable",
    "BatchClosed",
    "BatchTooLarge",
    "BytesGone",
    "CardRefused",
    "ConfigRefused",
    "DamagedFile",
    "DamagedImage",
    "DecompressionBomb",
    "DicomWithoutImage",
    "DigestMismatch",
    "EmptyFile",
    "EncryptedFile",
    "FileRefused",
    "FileTooLarge",
    "Forbidden",
    "ForgedRequest",
    "FormatRefused",
    "GaveUp",
    "ImageRefused",
    "ImageTooCostly",
    "ImageTooSmall",
    "InputRefused",
    "InvalidRequest",
    "ItemTaken",
    "KeyRefused",
    "MethodNotAllowed",
    "MissingImage",
    "ModelRefused",
    "ModelStopped",
    "ModelUnavailable",
    "ModelUnderReview",
    "MultiFrameImage",
    "NestedArchive",
    "NoEarlierVersion",
    "NoHeatmap",
    "NoSuchResource",
    "NotAFile",
    "NotAnImage",
    "NotPortable",
    "NotSignedIn",
    "NotUnderReview",
    "Overloaded",
    "PackedTooTightly",
    "PromotionRefused",
    "QueueFull",
    "ReaderEnded",
    "ReadingUnderWay",
    "ReauthenticationNeeded",
    "RegistryError",
    "RegistryUnavailable",
    "ServiceUnavailable",
    "SightlineError",
    "SignatureRefused",
    "StoreUnavailable",
    "TemporarilyUnavailable",
    "TooManyPixels",
    "UnknownBatch",
    "UnknownDisease",
    "UnknownPrediction",
    "UnknownVersion",
    "UnreadableArchive",
    "UnsafeName",
    "UnsupportedDicom",
    "UnsupportedFormat",
    "UnsupportedPacking",
    "UnsupportedPixels",
    "VersionGone",
    "WeightsRefused",
]
