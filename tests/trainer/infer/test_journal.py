"""The journal survives a kill at any byte, and ids follow from batch and name."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnosis.contracts import Notice, new_prediction_id
from tests.fixtures.predictions import make_prediction
from trainer.infer.journal import opened
from trainer.infer.predictor import Answer, item_id
from trainer.refusals import TrainerRefused

ASKED: dict[str, Any] = {
    "name": "monday",
    "disease": "chest_xray_pneumonia",
    "version": "1",
    "digest": "sha256:0",
    "source": "/films",
    "unit": "default",
    "operating_point": None,
}
ANSWERS = [
    Answer("ä,1.png", 7, "00", make_prediction(), None, (0.25, -1.5)),
    Answer("2.png", 8, "11", make_prediction(top=None)),
    Answer("3.png", 0, None, problem=Notice(code="unreadable-file", detail="x")),
]


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    with opened(tmp_path / "one", ASKED) as journal:
        journal.add(ANSWERS[:2])
        journal.add(ANSWERS[2:])
    with opened(tmp_path / "one", ASKED) as again:
        assert again.lines == journal.lines
        assert again.request == journal.request
    assert [one.number for one in again.lines.values()] == [0, 1, 2]
    first, second, third = again.lines.values()
    assert (first.size, first.digest) == (7, "00")
    assert (first.outputs, first.band, first.reason) == ((0.25, -1.5), "likely_positive", None)
    assert (second.band, second.reason) == ("not_judged", "image-gate")
    assert (third.band, third.problem) == (None, ANSWERS[2].problem)


def test_a_file_cut_off_at_any_byte_loses_only_its_last_line(tmp_path: Path) -> None:
    with opened(tmp_path / "one", ASKED) as journal:
        journal.add(ANSWERS)
    path = tmp_path / "one" / "answers.jsonl"
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with opened(tmp_path / "one", ASKED) as again:
            assert len(again.lines) == whole[:length].count(b"\n")
            again.add(ANSWERS[len(again.lines) :])
        assert path.read_bytes() == whole


def test_a_damaged_line_in_between_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path / "one", ASKED) as journal:
        journal.add(ANSWERS)
    path = tmp_path / "one" / "answers.jsonl"
    path.write_bytes(b"x" + path.read_bytes())
    with pytest.raises(TrainerRefused, match="damaged"), opened(tmp_path / "one", ASKED):
        pass


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with (
        opened(tmp_path / "one", ASKED),
        pytest.raises(TrainerRefused, match="Another process"),
        opened(tmp_path / "one", ASKED),
    ):
        pass


@given(st.text(), st.text())
def test_ids_are_version_7_of_the_batch_and_differ_by_name(one: str, other: str) -> None:
    batch = new_prediction_id()
    first, second = item_id(batch, one), item_id(batch, other)
    assert (first.version, first.variant) == (7, batch.variant)
    assert first.int >> 80 == batch.int >> 80
    assert (first == second) == (one == other)
    assert item_id(new_prediction_id(), one) != first
