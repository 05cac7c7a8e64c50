"""Reviewed readings become data sets, disagreements first, and nothing that names anybody."""

import csv
import http.server
import io
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from PIL import Image

from diagnosis.catalogue import disease as disease_of
from diagnosis.contracts import (
    ListedPrediction,
    Prediction,
    PredictionPage,
    Review,
    ReviewList,
    answer_class,
)
from tests.fixtures.predictions import make_prediction, make_review
from trainer.api import fetcher, read_key
from trainer.data import read_dataset
from trainer.refusals import DataRefused, TrainerRefused
from trainer.reviews import export_reviews

DISEASE = "chest_xray_pneumonia"


class Api:
    """Readings with their reviews, as the API shows them; pages of two."""

    def __init__(self) -> None:
        self.kept: list[tuple[Prediction, tuple[Review, ...]]] = []
        self.gone: set[str] = set()

    def add(self, *said: tuple[str, str, str | None], **changes: object) -> Prediction:
        """A reading of its own image; each review as author, verdict, class."""
        number = len(self.kept)
        reading = make_prediction(disease=DISEASE, image=f"{number:064x}").model_copy(
            update=changes
        )
        reviews = tuple(
            make_review(
                reading,
                created_by=author,
                kind="review" if verdict else "first_opinion",
                verdict=verdict or None,
                class_id=class_id,
                answer_class=answer_class(reading),
                note="Frau Meier, born 1950",
            )
            for author, verdict, class_id in said
        )
        self.kept.append((reading, reviews))
        return reading

    def __call__(self, path: str, params: Mapping[str, str]) -> bytes | None:
        parts = path.split("/")
        if parts[-1] == "predictions":
            items = [
                ListedPrediction(**dict(one), review=state)
                for one, said in reversed(self.kept)
                if (state := [x.state for x in said if x.state][-1]) == params["review"]
            ]
            start = int(params.get("cursor", "0"))
            more = str(start + 2) if len(items) > start + 2 else None
            page = PredictionPage(items=tuple(items[start : start + 2]), next_cursor=more)
            return page.model_dump_json().encode()
        reading, said = next(one for one in self.kept if str(one[0].id) == parts[-2])
        if parts[-1] == "reviews":
            return ReviewList(items=said).model_dump_json().encode()
        if parts[-2] in self.gone:
            return None
        held = io.BytesIO()
        shade = int(reading.image.digest[-2:], 16)
        Image.new("L", (32, 32), shade).save(held, "JPEG")
        return held.getvalue()


def rows_of(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(file.read_text().splitlines()))


def test_images_lie_in_the_class_that_a_clinician_holds_disagreements_first(tmp_path: Path) -> None:
    api = Api()
    agreed = api.add(("u_ada", "agree", None))
    corrected = api.add(("u_ada", "", "normal"), ("u_ada", "correct", "normal"))
    unclear = api.add(("u_ada", "disagree", None))
    conflict = api.add(("u_ada", "correct", "normal"), ("u_grace", "agree", None))
    api.add(("u_ada", "agree", None), image=agreed.image.model_copy(update={"demo": True}))
    api.gone.add(str(api.add(("u_ada", "agree", None)).id))
    found = export_reviews(api, tmp_path / "out")
    folder = tmp_path / "out" / DISEASE
    rows = rows_of(folder / "manifest.csv")
    names = [Path(one["path"]).stem for one in rows]
    assert names == [
        one.image.digest.removeprefix("sha256:") for one in (conflict, corrected, agreed)
    ]
    assert [one["label"] for one in rows] == ["pneumonia", "normal", "pneumonia"]
    assert [one["in_conflict"] for one in rows] == ["yes", "no", "no"]
    assert [one["first_opinion"] for one in rows] == ["", "normal", ""]
    (open_one,) = rows_of(folder / "to-label.csv")
    assert open_one["path"].startswith("to_label/")
    assert unclear.image.digest[-64:] in open_one["path"]
    for row in (*rows, open_one):
        assert (folder / row["path"]).is_file()
    assert (found.images[DISEASE], found.disagreements[DISEASE]) == (3, 2)
    assert (found.to_label[DISEASE], found.gone) == (1, 1)


def test_nothing_that_names_anybody_is_written(tmp_path: Path) -> None:
    api = Api()
    one = api.add(("u_ada", "agree", None))
    two = api.add(("u_ada", "agree", None), patient_reference=one.patient_reference)
    export_reviews(api, tmp_path / "out")
    written = b"".join(
        path.read_bytes() + str(path).encode()
        for path in (tmp_path / "out").rglob("*")
        if path.is_file()
    )
    for secret in ("Meier", "u_ada", "Ada", str(one.patient_reference), str(two.id)):
        assert secret.encode() not in written
    groups = {row["group_id"] for row in rows_of(tmp_path / "out" / DISEASE / "manifest.csv")}
    assert len(groups) == 1


def test_the_trainer_reads_what_was_written(tmp_path: Path) -> None:
    api = Api()
    for verdict, class_id in (("agree", None), ("correct", "normal")) * 2:
        api.add(("u_ada", verdict, class_id))
    api.add(("u_ada", "disagree", None))
    export_reviews(api, tmp_path / "out")
    data = read_dataset(tmp_path / "out" / DISEASE, disease_of(DISEASE))
    assert sorted(one.class_id for one in data.examples) == ["normal"] * 2 + ["pneumonia"] * 2


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    with pytest.raises(DataRefused, match="not empty"):
        export_reviews(Api(), tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == ["mine"]


# ---- the way there -----------------------------------------------------------------------------


class Handler(http.server.BaseHTTPRequestHandler):
    """Busy once, then answers with the key that it was sent."""

    busy = 1

    def do_GET(self) -> None:
        if self.path == "/busy" and Handler.busy:
            Handler.busy -= 1
            self._say(503, b"{}", {"Retry-After": "7"})
        elif self.path == "/forbidden":
            self._say(403, b'{"detail": "This needs the role clinician."}', {})
        elif self.path == "/elsewhere":
            self._say(302, b"", {"Location": "http://127.0.0.1:1/"})
        elif self.path == "/nothing":
            self._say(404, b"{}", {})
        else:
            self._say(200, self.headers["Authorization"].encode(), {})

    def _say(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Silent."""


@pytest.fixture
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as found:
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{found.server_address[1]}"
        found.shutdown()
        thread.join()


def test_the_api_is_asked_with_the_key_and_again_when_it_is_busy(server: str) -> None:
    Handler.busy, waited = 1, list[float]()
    ask = fetcher(server, "slk_x", pause=waited.append)
    assert ask("/busy", {}) == b"Bearer slk_x"
    assert waited == [7.0]
    assert ask("/nothing", {"a": "b"}) == b"Bearer slk_x"
    assert ask("/nothing", {}) is None
    with pytest.raises(TrainerRefused, match="403 This needs the role clinician"):
        ask("/forbidden", {})
    with pytest.raises(TrainerRefused, match="302"):
        ask("/elsewhere", {})


def test_a_key_does_not_go_over_the_network_in_the_clear() -> None:
    for url in ("http://sightline.example", "ftp://127.0.0.1", "sightline.example"):
        with pytest.raises(TrainerRefused, match="https"):
            fetcher(url, "slk_x")


def test_a_key_that_others_may_read_is_not_used(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("slk_x\n")
    file.chmod(0o640)
    with pytest.raises(TrainerRefused, match="Others may read"):
        read_key(file)
    file.chmod(0o600)
    assert read_key(file) == "slk_x"
    file.write_text("password")
    with pytest.raises(TrainerRefused, match="no API key"):
        read_key(file)
