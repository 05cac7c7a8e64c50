"""`trainer export-reviews`: reviewed readings as data sets, fetched over the API.

Over the API and not out of Redis and the image store: who exports needs an API key of a clinician,
which ends by itself and can be taken back, sees the readings of one unit only, and each image that
is taken out stands in the audit trail. Notes, names and references of patients are not exported.
"""

import csv
import hashlib
import io
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from diagnosis.contracts import (
    ListedPrediction,
    PredictionPage,
    Review,
    ReviewList,
    ReviewState,
)
from diagnosis.durable import replace_file
from trainer.refusals import DataRefused

#: Asks the API for an address with parameters; None where there is nothing at it (any more).
Fetch = Callable[[str, Mapping[str, str]], bytes | None]

STATES: tuple[ReviewState, ...] = ("corrected", "disagreed", "agreed")
TO_LABEL = "to_label"

_SUFFIXES = {"image/jpeg": ".jpg", "image/png": ".png"}
_COLUMNS = ("path", "label", "group_id", "verdict", "answer_class", "first_opinion", "in_conflict")


@dataclass(frozen=True)
class Row:
    """An image and what clinicians made of it."""

    disease: str
    path: str
    label: str
    """Empty where somebody disagrees and nobody says with what."""
    group: str
    verdict: str
    answer_class: str
    first_opinion: str
    in_conflict: bool
    """Whether clinicians hold different classes."""
    made: str
    """Its reading's id, which sorts by time."""

    @property
    def disagrees(self) -> bool:
        """Whether a clinician holds something else than the model answered."""
        return self.in_conflict or self.label != self.answer_class


@dataclass(frozen=True)
class Exported:
    """What was written."""

    images: Counter[str]
    """By disease; with a class."""
    disagreements: Counter[str]
    to_label: Counter[str]
    gone: int
    """Reviewed readings whose image is not kept any more."""


def export_reviews(
    fetch: Fetch, out: Path, log: Callable[[str], None] = lambda _: None
) -> Exported:
    """Write one data set a disease below `out`: class folders, `manifest.csv` with disagreements
    first, and `to-label.csv` for images that need a class first. Demo images are left out.

    Args:
        fetch: asks the API.
        out: a folder that does not exist yet or is empty.
        log: told how far it is.

    Raises:
        DataRefused: the folder is in use, or the API answers otherwise than it should.
    """
    if out.exists() and any(out.iterdir()):
        raise DataRefused(f"{out} is not empty; name another folder.")
    rows: dict[tuple[str, str], Row] = {}
    gone = 0
    for state in STATES:
        for reading in _reviewed(fetch, state):
            key = reading.disease, reading.image.digest
            if reading.image.demo or (key in rows and rows[key].made >= reading.id.hex):
                continue
            image = fetch(f"/api/v1/predictions/{reading.id}/image", {})
            if image is None:
                gone += 1
                continue
            row = _row(reading, _reviews(fetch, reading))
            former = rows.get(key)
            if former is not None:
                (out / former.disease / former.path).unlink()
            rows[key] = row
            place = out / row.disease / row.path
            place.parent.mkdir(parents=True, exist_ok=True)
            replace_file(place, image)
        log(f"{state}: {len(rows)} images so far.")
    by_disease: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows.values():
        by_disease[row.disease].append(row)
    for disease, found in by_disease.items():
        ordered = sorted(found, key=lambda one: one.made, reverse=True)
        ordered.sort(key=lambda one: not one.disagrees)
        labelled = [one for one in ordered if one.label]
        _write(out / disease / "manifest.csv", labelled)
        _write(out / disease / "to-label.csv", [one for one in ordered if not one.label])
    return Exported(
        Counter(one.disease for one in rows.values() if one.label),
        Counter(one.disease for one in rows.values() if one.label and one.disagrees),
        Counter(one.disease for one in rows.values() if not one.label),
        gone,
    )


def _reviewed(fetch: Fetch, state: ReviewState) -> Iterator[ListedPrediction]:
    cursor: str | None = None
    while True:
        asked = {"review": state, "limit": "100"} | ({"cursor": cursor} if cursor else {})
        try:
            page = PredictionPage.model_validate_json(_there(fetch("/api/v1/predictions", asked)))
        except ValidationError as error:
            raise _no_such_answer() from error
        yield from page.items
        cursor = page.next_cursor
        if cursor is None:
            return


def _reviews(fetch: Fetch, reading: ListedPrediction) -> tuple[Review, ...]:
    answer = _there(fetch(f"/api/v1/predictions/{reading.id}/reviews", {}))
    try:
        return ReviewList.model_validate_json(answer).items
    except ValidationError as error:
        raise _no_such_answer() from error


def _row(reading: ListedPrediction, said: tuple[Review, ...]) -> Row:
    reviews = [one for one in said if one.kind == "review"]
    newest = {one.created_by: _held(one) for one in reviews}
    held = {one for one in newest.values() if one}
    label = _held(reviews[-1]) if reviews else ""
    opinions = [one.class_id or "" for one in said if one.kind == "first_opinion"]
    digest = reading.image.digest.removeprefix("sha256:")
    name = digest + _SUFFIXES[reading.image.media_type]
    return Row(
        disease=reading.disease,
        path=f"{label or TO_LABEL}/{name}",
        label=label,
        group=_group(reading, digest),
        verdict=(reviews[-1].verdict or "") if reviews else "",
        answer_class=(reviews[-1].answer_class or "") if reviews else "",
        first_opinion=opinions[-1] if opinions else "",
        in_conflict=len(held) > 1,
        made=reading.id.hex,
    )


def _held(review: Review) -> str:
    """The class that a review holds; empty where it only disagrees."""
    if review.verdict == "agree":
        return review.answer_class or ""
    return review.class_id or ""


def _group(reading: ListedPrediction, digest: str) -> str:
    """What one patient's images share, so that no split separates them. The patient's hash goes
    out in another form, so that no row can be looked up by it."""
    if reading.patient_reference is None:
        return f"image-{digest[:16]}"
    return f"patient-{hashlib.sha256(reading.patient_reference.encode()).hexdigest()[:16]}"


def _write(place: Path, rows: list[Row]) -> None:
    if not rows:
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for one in rows:
        conflict = "yes" if one.in_conflict else "no"
        writer.writerow(
            [
                *(one.path, one.label, one.group, one.verdict, one.answer_class),
                *(one.first_opinion, conflict),
            ]
        )
    replace_file(place, text.getvalue().encode())


def _there(answer: bytes | None) -> bytes:
    if answer is None:
        raise _no_such_answer()
    return answer


def _no_such_answer() -> DataRefused:
    return DataRefused("The API answers otherwise than this version expects; update both alike.")


def problem_in(body: bytes) -> str:
    """The sentence of an RFC 9457 problem, or nothing."""
    try:
        found = json.loads(body)
    except ValueError:
        return ""
    return str(found.get("detail", "")) if isinstance(found, dict) else ""
