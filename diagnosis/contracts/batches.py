"""A batch: many images read as one job, and what became of each of them."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from diagnosis import WARNING
from diagnosis.contracts.base import (
    SCHEMA_VERSION,
    Digest,
    OperatingPointName,
    Probability,
    Slug,
    Wire,
)
from diagnosis.contracts.predictions import Notice
from diagnosis.contracts.worklist import ListedBand

#: Files of a batch that is sent to the API; their numbers go from 0 to one less.
MOST_ITEMS = 2000
#: Numbers that there are: a batch that the trainer reads itself may be larger.
MOST_NUMBERS = 10_000_000
#: Bytes of all files of one batch together, as they were sent.
MOST_BATCH_BYTES = 2 * 1000**3
LONGEST_BATCH_NAME = 100
#: Characters of a file's name, its folders among them.
LONGEST_ITEM_NAME = 400

#: `open` while files may still come, `running` while the last of them are read.
BatchState = Literal["open", "running", "done", "cancelled"]
ItemState = Literal["waiting", "done", "failed", "cancelled"]

ItemNumber = Annotated[int, Field(ge=0, lt=MOST_NUMBERS)]
Count = Annotated[int, Field(ge=0)]

BatchName = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, max_length=LONGEST_BATCH_NAME, pattern=r"^[^\x00-\x1f\x7f]*$"
    ),
]


class NewBatch(Wire):
    """What a batch is to be."""

    disease: Slug
    name: BatchName = ""
    """For people to find it by; may be empty. It names no patient: it stands in lists."""
    operating_point: OperatingPointName | None = None
    """By default `balanced`, where the disease has a finding."""


class BatchCounts(Wire):
    """How many files of a batch are in which state."""

    items: Count = 0
    """All of them: the sum of the others."""
    waiting: Count = 0
    """Accepted and not read yet, those that are being read among them."""
    done: Count = 0
    failed: Count = 0
    cancelled: Count = 0


class BatchBands(Wire):
    """How many of the files that were read are listed under which band."""

    likely_positive: Count = 0
    uncertain: Count = 0
    not_judged: Count = 0
    none: Count = 0
    """Judged, and without a band."""
    likely_negative: Count = 0


class Batch(Wire):
    """Many images, one disease, one job."""

    schema_version: Literal[1] = SCHEMA_VERSION
    id: UUID
    """Version 7: sorts by time."""
    name: BatchName = ""
    disease: Slug
    disease_name: str
    operating_point: OperatingPointName | None = None
    """The one that was asked for."""
    state: BatchState
    created_at: datetime
    finished_at: datetime | None = None
    """When its last file was read, or it was cancelled."""
    created_by: str
    unit: Slug = "default"
    """The group of people who may see it and its readings."""
    counts: BatchCounts = BatchCounts()
    bands: BatchBands = BatchBands()
    warning: Literal["Research use only. Not a medical device. A clinician decides."] = WARNING

    @property
    def over(self) -> bool:
        """Whether nothing more becomes of it by itself."""
        return self.state in ("done", "cancelled")


class BatchItem(Wire):
    """One file of a batch."""

    number: ItemNumber
    """Its place, chosen by whoever sent it."""
    name: Annotated[str, StringConstraints(max_length=LONGEST_ITEM_NAME)] = ""
    """The file's name with its folders, as it was sent. It may name a patient, so it stands here,
    in the summary and nowhere else."""
    size: Count = 0
    """Bytes of the file as it was sent."""
    digest: Digest | None = None
    """SHA-256 of the file as it was sent; null where it was not taken in."""
    state: ItemState
    band: ListedBand | None = None
    """Under which band its reading is listed, once it is done."""
    tries: Count = 0
    """How often its reading was begun."""
    prediction_id: UUID | None = None
    """The id of its reading, fixed when the file was accepted: no reading has it before the file
    is done. Null where the file was not taken in."""
    problem: Notice | None = None
    """Why it failed, and what to do."""


class BatchItemList(Wire):
    """A page of a batch's files, in the order of their numbers."""

    items: tuple[BatchItem, ...]
    next_cursor: str | None = None
    """Pass as `cursor` to get the next page; null on the last one."""
    warning: Literal["Research use only. Not a medical device. A clinician decides."] = WARNING


class BatchList(Wire):
    """A page of batches, newest first."""

    items: tuple[Batch, ...]
    next_cursor: str | None = None
    """Pass as `cursor` to get the next page; null on the last one."""
    warning: Literal["Research use only. Not a medical device. A clinician decides."] = WARNING


class BatchSummaryRow(Wire):
    """One file of a batch, and what its reading says in short."""

    number: ItemNumber
    name: str
    state: ItemState
    band: ListedBand | None = None
    top_class: Slug | None = None
    """The most probable class; null where the image was not judged."""
    top_class_name: str | None = None
    probability: Probability | None = None
    """Of the most probable class."""
    prediction_id: UUID | None = None
    """Null where there is no reading, or it was deleted."""
    problem_code: str | None = None
    problem: str | None = None
    """Why it failed or was not judged, and what to do."""
    model_under_review: bool | None = None
    """Whether the version that made the reading is stopped now because it drifted; null where
    there is no reading."""


class BatchSummary(Wire):
    """A batch with a row for each of its files."""

    batch: Batch
    rows: tuple[BatchSummaryRow, ...]
    warning: Literal["Research use only. Not a medical device. A clinician decides."] = WARNING


class BatchArchive(Wire):
    """What was taken in of an archive."""

    batch: Batch
    accepted: Count
    """Members that became files of the batch."""
    refused: Count
    """Members that did not; each is a failed file of the batch with its reason."""
