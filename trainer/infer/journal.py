"""What a batch has done so far, on the disk of the machine that runs it: a line a file.

A line is written after the reading is in Redis, so a line that is there is done, and one that is
missing is done again under the same id. File names may name patients: the folder and its files are
for the eyes of their owner alone.
"""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, ValidationError

from diagnosis.contracts import (
    ListedBand,
    Notice,
    OperatingPointName,
    listed_band,
    new_prediction_id,
    now,
)
from diagnosis.durable import replace_file
from trainer.infer.predictor import Answer
from trainer.refusals import TrainerRefused
from trainer.runtime import Precision
from trainer.workplace import alone

_REQUEST = "batch.json"
_LINES = "answers.jsonl"
_NAME = re.compile(r"\w[\w .,+-]{0,99}")


class Request(BaseModel):
    """What a batch is; the same name always means the same batch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: UUID
    """Version 7."""
    name: str
    disease: str
    version: str
    digest: str
    """Of the artifact."""
    source: str
    unit: str
    operating_point: OperatingPointName | None
    precision: Precision = "f32"
    created_at: datetime


class Line(BaseModel):
    """What came of one file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    """Its place in the batch: how many files were done before it."""
    name: str
    size: int = 0
    """Bytes of the file."""
    digest: str | None = None
    """SHA-256 of the file, in hexadecimal."""
    prediction_id: UUID | None = None
    band: ListedBand | None = None
    """None where it failed."""
    outputs: tuple[float, ...] | None = None
    reason: str | None = None
    """Code of why it was not judged."""
    problem: Notice | None = None
    """Why it failed."""

    @classmethod
    def of(cls, number: int, answer: Answer) -> "Line":
        """The line of an answer."""
        read = answer.prediction
        return cls(
            number=number,
            name=answer.name,
            size=answer.size,
            digest=answer.digest,
            prediction_id=None if read is None else read.id,
            band=None if read is None else listed_band(read),
            outputs=answer.outputs,
            reason=None if read is None or read.reason is None else read.reason.code,
            problem=answer.problem,
        )


@dataclass
class Journal:
    """The open journal of a batch; see `opened`."""

    folder: Path
    request: Request
    lines: dict[str, Line]
    """By name; of a file that was tried again, the last one."""

    def add(self, answers: Sequence[Answer]) -> list[Line]:
        """Remember what came of some files; it is on the disk when this returns.

        Returns:
            Their lines.

        Raises:
            OSError: the disk is full or not writable.
        """
        lines, new = [], len(self.lines)
        for one in answers:
            before = self.lines.get(one.name)
            lines.append(Line.of(new if before is None else before.number, one))
            new += before is None
        text = "".join(f"{line.model_dump_json(exclude_none=True)}\n" for line in lines)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        with os.fdopen(os.open(self.folder / _LINES, flags, 0o600), "ab") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        self.lines |= {line.name: line for line in lines}
        return lines


def check_name(name: str) -> str:
    """A batch's name, which is also its folder's.

    Raises:
        TrainerRefused: it cannot be one.
    """
    if not _NAME.fullmatch(name) or name != name.strip():
        raise TrainerRefused(
            "The name of a batch has at most 100 letters, digits, spaces and . , + - _, and begins "
            "with a letter or digit."
        )
    return name


@contextmanager
def opened(folder: Path, asked: dict[str, Any]) -> Iterator[Journal]:
    """The journal of a batch, begun or taken up again, for this process alone.

    Args:
        folder: of the batch.
        asked: the fields of its request but for id and time.

    Raises:
        TrainerRefused: another process works on the batch, or the name belongs to another one.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with alone(folder):
        request = _request(folder, asked)
        yield Journal(folder, request, _lines(folder / _LINES))


def known(folder: Path) -> Request | None:
    """The request of a batch that was begun in a folder; None where none was.

    Raises:
        TrainerRefused: it cannot be read.
    """
    try:
        return Request.model_validate_json((folder / _REQUEST).read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise TrainerRefused(
            f"{folder / _REQUEST} is damaged; give the batch another name."
        ) from error


def _request(folder: Path, asked: dict[str, Any]) -> Request:
    found = known(folder)
    if found is None:
        found = Request(id=new_prediction_id(), created_at=now(), **asked)
        replace_file(folder / _REQUEST, found.model_dump_json(indent=1).encode(), private=True)
    differs = [name for name, value in asked.items() if getattr(found, name) != value]
    if differs:
        raise TrainerRefused(
            f"{found.name!r} is a batch with another {' and '.join(differs)}: ask for the same, or "
            "give this one another name."
        )
    return found


def _lines(path: Path) -> dict[str, Line]:
    """The lines that were written whole; what a kill cut off at the end is cut away.

    Raises:
        TrainerRefused: a line in between is damaged.
    """
    found: dict[str, Line] = {}
    whole = 0
    try:
        with path.open("r+b") as file:
            for text in file:
                if not text.endswith(b"\n"):
                    break
                line = Line.model_validate_json(text)
                found[line.name] = line
                whole += len(text)
            file.truncate(whole)
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise TrainerRefused(f"{path} is damaged; give the batch another name.") from error
    return found
