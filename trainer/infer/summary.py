"""What came of a batch: counts, reasons, and figures where the folders say what is true."""

import csv
import io
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from diagnosis import WARNING
from diagnosis.catalogue import Disease
from diagnosis.catalogue import disease as disease_of
from diagnosis.contracts import OperatingPointName
from diagnosis.durable import replace_file
from diagnosis.judgement import as_logits, probabilities, softmax
from trainer.data import DataSet, Example
from trainer.evaluate import Evaluation, group_numbers
from trainer.infer.journal import Line
from trainer.infer.running import Ran
from trainer.metrics import Scores

FAILURES = "failures.csv"


def summarise(ran: Ran) -> dict[str, Any]:
    """The one JSON object of `trainer infer --json`; no file's name is in it."""
    lines = _lines(ran)
    request = ran.journal.request
    return {
        "batch": str(request.id),
        "name": request.name,
        "disease": request.disease,
        "version": request.version,
        "digest": request.digest,
        "files": len(lines),
        "readings": sum(one.problem is None for one in lines),
        "bands": _counts(one.band for one in lines),
        "not_judged": _counts(one.reason for one in lines),
        "failed": _counts(one.problem.code for one in lines if one.problem is not None),
        "engine": ran.engine,
        "precision": request.precision,
        "files_of_this_run": ran.files,
        "seconds_of_this_run": round(ran.seconds, 3),
        "files_a_second": round(ran.files / ran.seconds, 1) if ran.files else None,
        "warning": WARNING,
    }


def write_failures(ran: Ran) -> Path | None:
    """`failures.csv` in the batch's folder: name, code, sentences. None where nothing failed."""
    failed = [one for one in _lines(ran) if one.problem is not None]
    path = ran.journal.folder / FAILURES
    if not failed:
        path.unlink(missing_ok=True)
        return None
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("name", "code", "detail", "remedy"))
    for one in failed:
        assert one.problem is not None
        rows.writerow((_cell(one.name), one.problem.code, one.problem.detail, one.problem.remedy))
    replace_file(path, text.getvalue().encode(), private=True)
    return path


def evaluation(ran: Ran) -> Evaluation | None:
    """The figures of the judged images; None unless every file lies in a folder of a class.

    The nearest folder that is a class by id, name or alias counts. Each file is a group of its
    own; `trainer evaluate` with a manifest knows better where patients have several.
    """
    disease = disease_of(ran.journal.request.disease)
    lines = _lines(ran)
    labels = {one.name: _label(disease, one.name) for one in lines}
    judged = [one for one in lines if one.outputs is not None]
    if not judged or not all(labels.values()):
        return None
    root = Path(ran.journal.request.source)
    examples = tuple(
        Example(root / one.name, str(labels[one.name]), str(one.digest), f"file {one.digest}")
        for one in judged
    )
    card, class_ids = ran.artifact.card, disease.class_ids
    outputs = np.array([one.outputs for one in judged], np.float32)
    data = DataSet(root, disease, examples)
    named: OperatingPointName | None = None
    threshold = None
    if card.finding is not None:
        named = ran.journal.request.operating_point or "balanced"
        threshold = card.operating_point(named).threshold if len(card.classes) == 2 else None
    scores = Scores(
        class_ids=class_ids,
        labels=np.array([class_ids.index(one.class_id) for one in examples], np.int64),
        probabilities=probabilities(outputs, card),
        uncalibrated=softmax(as_logits(outputs, card)),
        groups=group_numbers(data),
        finding=card.finding,
        threshold=threshold,
    )
    return Evaluation(card, data, scores, None, ran.engine, named)


def _lines(ran: Ran) -> list[Line]:
    """The lines of the batch's files, in the order of their names."""
    return [ran.journal.lines[name] for name in ran.names]


def _label(disease: Disease, name: str) -> str | None:
    for folder in reversed(PurePosixPath(name).parts[:-1]):
        found = disease.class_for_folder(folder)
        if found is not None:
            return found.id
    return None


def _counts(values: Any) -> dict[str, int]:
    return dict(sorted(Counter(one for one in values if one is not None).items()))


def _cell(name: str) -> str:
    """A name that no spreadsheet takes for a formula."""
    return f"'{name}" if name[:1] in "=+-@\t\r" else name
