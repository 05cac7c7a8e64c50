"""Batches that come as an archive or as one form, and how they are carried away."""

import csv
import io

from diagnosis import WARNING
from diagnosis.contracts import Batch, BatchArchive, BatchSummary
from inference_service.routes.batch_summary import COLUMNS
from tests.fixtures.live_service import DISEASE, Live, reading_batches
from tests.inference_service.pictures import BRIGHT, DARK
from tests.inference_service.test_archives import NOISE, zipped
from tests.inference_service.test_batches import (
    BATCHES,
    begin,
    do,
    get,
    items,
    over,
    put,
    readings,
    sent,
    spooled,
)

MIXED = zipped(
    ("ward/bright.png", BRIGHT),
    ("ward/dark.png", DARK),
    ("../evil.png", BRIGHT),
    ("notes.txt", b"no image"),
    ("inner.zip", zipped(("a", b"b"))),
    ("__MACOSX/._dark.png", b"x"),
)


async def post_archive(live: Live, batch: Batch, data: bytes) -> BatchArchive:
    answer = await live.client.post(
        f"{BATCHES}/{batch.id}/archive", content=data, headers={"content-type": "application/zip"}
    )
    assert answer.status_code == 200, answer.text
    return BatchArchive.model_validate_json(answer.content)


async def test_the_good_files_of_an_archive_are_read(live: Live) -> None:
    batch = await begin(live)
    assert (await put(live, batch, 3, NOISE)).status_code == 201
    for _ in range(2):
        taken = await post_archive(live, batch, MIXED)
        assert (taken.accepted, taken.refused) == (3, 2)
        assert taken.batch.counts.items == 6, "sent again, it doubles nothing"
    assert spooled(live) == 4
    async with reading_batches(live):
        await do(live, batch, "close")
        done = await over(live, batch)
    assert (done.counts.done, done.counts.failed) == (2, 4)
    found = await items(live, batch)
    assert [one.number for one in found] == [3, 4, 5, 6, 7, 8]
    problems = {one.name: one.problem.code for one in found if one.problem is not None}
    assert problems == {
        "patient-name.png": "not-an-image",
        "../evil.png": "unsafe-name",
        "notes.txt": "not-an-image",
        "inner.zip": "nested-archive",
    }
    assert not any((live.service.settings.image_dir / "archives").iterdir())
    late = await live.client.post(f"{BATCHES}/{batch.id}/archive", content=MIXED)
    assert (late.status_code, late.json()["code"]) == (409, "batch-closed")


async def test_what_is_no_archive_is_refused_whole(live: Live) -> None:
    batch = await begin(live)
    for data in (b"", NOISE, MIXED[:-5]):
        answer = await live.client.post(f"{BATCHES}/{batch.id}/archive", content=data)
        assert (answer.status_code, answer.json()["code"]) == (422, "unreadable-archive")
    many = zipped(*((f"{n}.png", b"x") for n in range(2001)), packed=False)
    answer = await live.client.post(f"{BATCHES}/{batch.id}/archive", content=many)
    assert (answer.status_code, answer.json()["code"]) == (413, "batch-too-large")
    assert (await get(live, batch)).counts.items == 0
    assert spooled(live) == 0


async def test_a_whole_batch_in_one_form(live: Live) -> None:
    answer = await live.client.post(
        BATCHES,
        data={"disease": DISEASE, "name": "Ward 7"},
        files=[
            ("files", ("a.png", BRIGHT)),
            ("files", ("", b"")),
            ("files", ("broken.zip", MIXED[:-5])),
            ("files", ("mixed.zip", MIXED)),
            ("files", ("large.png", bytes(26 * 1024 * 1024))),
            ("files", ("b.png", DARK)),
            ("other", ("c.png", DARK)),
        ],
    )
    assert answer.status_code == 201, answer.text
    batch = Batch.model_validate_json(answer.content)
    assert answer.headers["location"] == f"{BATCHES}/{batch.id}"
    assert (batch.name, batch.state, batch.counts.items) == ("Ward 7", "running", 9)
    async with reading_batches(live):
        done = await over(live, batch)
    assert (done.counts.done, done.counts.failed) == (4, 5)
    found = {one.name: one for one in await items(live, batch)}
    large, broken = found["large.png"].problem, found["broken.zip"].problem
    assert large is not None
    assert broken is not None
    assert (large.code, broken.code) == ("file-too-large", "unreadable-archive")


async def test_a_form_that_is_no_batch_is_refused(live: Live) -> None:
    for fields, files, status, code in (
        ({"disease": DISEASE}, [("other", ("a.png", BRIGHT))], 422, "invalid-request"),
        ({}, [("files", ("a.png", BRIGHT))], 422, "invalid-request"),
        ({"disease": "unheard_of"}, [("files", ("a.png", BRIGHT))], 404, "unknown-disease"),
        ({"disease": DISEASE, "name": "x" * 5000}, [("files", ("a", BRIGHT))], 422, None),
    ):
        answer = await live.client.post(BATCHES, data=fields, files=files)
        assert answer.status_code == status, answer.text
        assert code in (None, answer.json()["code"])
    form = {"content-type": "multipart/form-data; boundary=x"}
    broken = await live.client.post(BATCHES, content=b"--x\r\nnonsense", headers=form)
    assert broken.status_code == 422
    assert (await live.client.get(BATCHES)).json()["items"] == []


async def test_a_summary_has_a_row_for_each_file(live: Live) -> None:
    async with sent(live, [BRIGHT, b"no image"], close=False) as batch:
        await put(live, batch, 2, DARK, "=HYPERLINK(1)")
        async with reading_batches(live):
            await do(live, batch, "close")
            await over(live, batch)
        ids = {*await readings(live, batch)}
        path = f"{BATCHES}/{batch.id}/summary"
        summary = BatchSummary.model_validate_json((await live.client.get(f"{path}.json")).content)
        assert summary.batch.counts.done == 2
        bright, broken, dark = summary.rows
        assert {bright.prediction_id, dark.prediction_id} == ids
        assert bright.top_class == "pneumonia"
        assert bright.probability is not None
        assert (broken.problem_code, broken.top_class) == ("not-an-image", None)
        table = await live.client.get(f"{path}.csv")
        assert table.headers["content-disposition"].endswith(f'"batch-{batch.id}.csv"')
        assert table.text.startswith("\N{BYTE ORDER MARK}")
        rows = list(csv.DictReader(io.StringIO(table.text[1:])))
        assert tuple(rows[0]) == COLUMNS
        assert [row["name"] for row in rows] == [
            "patient-name.png",
            "patient-name.png",
            "'=HYPERLINK(1)",
        ]
        assert {row["warning"] for row in rows} == {WARNING}
        # A reading that was deleted is in no summary.
        await live.client.delete(f"/api/v1/predictions/{bright.prediction_id}")
        rest = BatchSummary.model_validate_json((await live.client.get(f"{path}.json")).content)
        first = rest.rows[0]
        assert (first.name, first.prediction_id, first.band) == ("", None, None)
