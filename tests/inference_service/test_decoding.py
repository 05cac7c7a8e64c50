"""Processes that read images: what they may not do, and what it costs when one fails."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from diagnosis.errors import (
    DamagedImage,
    FileTooLarge,
    ImageRefused,
    ImageTooCostly,
    ReaderEnded,
    ServiceUnavailable,
    SightlineError,
)
from diagnosis.gate import look
from diagnosis.images import MAX_BYTES, read_image
from diagnosis.preprocess import Greyscale, Preprocessing, Resize, Scale, ScaledDecode
from diagnosis.telemetry import Metrics
from inference_service.decoding import Decoders, Nursery
from tests.fixtures import images
from tests.fixtures.decoders import decoders, misbehaving, shared
from tests.fixtures.live_service import Start
from tests.fixtures.patience import AT_ONCE
from tests.inference_service.pictures import BRIGHT

EACH = images.one_of_each()
STEPS = Preprocessing(
    name="small", steps=(ScaledDecode(), Greyscale(), Resize(width=24, height=16), Scale())
)


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    """Its workers do what files tell them."""
    one = misbehaving()
    yield one
    one.close()


def refused(reader: Decoders, order: str) -> SightlineError:
    with pytest.raises(SightlineError) as caught:
        reader.read(f"do:{order}".encode())
    return caught.value


def said(reader: Decoders) -> dict[str, str]:
    """What a worker says of itself."""
    error = refused(reader, "say")
    assert isinstance(error, DamagedImage)
    return dict(part.split("=", 1) for part in str(error.cause).split(";"))


def ends(metrics: Metrics) -> dict[str, float]:
    return {
        sample.labels["outcome"]: sample.value
        for family in metrics.registry.collect()
        if family.name == "sightline_decoder_ends"
        for sample in family.samples
        if sample.name.endswith("_total")
    }


@pytest.mark.parametrize("kind", EACH)
def test_a_worker_reads_each_kind_as_this_process_would(kind: str) -> None:
    """Confined as it is: nothing that a decoder needs is loaded only when it is needed."""
    here = read_image(EACH[kind], decode_at_least=STEPS.decode_at_least)
    there = shared().read(EACH[kind], preprocessing=STEPS, look=True)
    assert vars(there.facts) == vars(here.facts)
    assert there.clean == here.clean
    assert (there.height, there.width) == here.pixels.shape[:2]
    assert there.array is not None
    np.testing.assert_array_equal(there.array, STEPS.apply(here.pixels))
    assert there.look is not None
    seen = look(here.pixels)
    np.testing.assert_array_equal(there.look.thumbnail, seen.thumbnail)
    np.testing.assert_array_equal(there.look.features, seen.features)
    assert there.look_seconds > 0
    assert there.preprocess_seconds > 0


def test_what_is_not_asked_for_is_not_made() -> None:
    there = shared().read(EACH["png"])
    assert (there.array, there.look) == (None, None)
    assert there.clean == read_image(EACH["png"]).clean


@pytest.mark.parametrize(
    "data", [b"", b"text", EACH["jpeg"][:-200], EACH["png"][:50], EACH["dicom"][:600]]
)
def test_a_refusal_is_the_one_of_the_reader(data: bytes) -> None:
    with pytest.raises(ImageRefused) as here:
        read_image(data)
    with pytest.raises(ImageRefused) as there:
        shared().read(data)
    assert type(there.value) is type(here.value)
    assert (there.value.detail, there.value.remedy, there.value.cause) == (
        here.value.detail,
        here.value.remedy,
        here.value.cause,
    )


def test_a_file_that_is_too_large_does_not_reach_a_worker() -> None:
    with pytest.raises(FileTooLarge):
        shared().read(bytes(MAX_BYTES + 1))


def test_a_worker_may_do_nothing_but_read(nursery: Nursery) -> None:
    with decoders(nursery=nursery) as reader:
        found = said(reader)
    assert found["runtimes"] == ""
    assert {found[one] for one in ("file", "write", "socket", "pipe")} == {"OSError"}
    assert (found["core"], found["processes"]) == ("0", "0")
    assert set(found["environment"].split()) <= {
        "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "PATH",
        "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS",
    }  # fmt: skip
    # Three of nothing, its connection and the shared memory.
    assert int(found["descriptors"]) == 5


@pytest.mark.parametrize(
    ("order", "error", "how"),
    [
        ("crash", ReaderEnded, "crashed"),
        ("leave", ReaderEnded, "crashed"),
        ("hang", ImageTooCostly, "hung"),
        ("die", ServiceUnavailable, "killed"),
        ("nonsense", ReaderEnded, "nonsense"),
        ("length", ReaderEnded, "nonsense"),
        ("half", ImageTooCostly, "hung"),
        ("digest", ReaderEnded, "nonsense"),
        ("size", ReaderEnded, "nonsense"),
    ],
)
def test_a_worker_that_fails_costs_one_image_and_is_replaced(
    nursery: Nursery, order: str, error: type[SightlineError], how: str
) -> None:
    metrics = Metrics("test")
    with decoders(nursery=nursery, metrics=metrics, seconds=2.0) as reader, capture_logs() as logs:
        before = said(reader)["pid"]
        began = time.monotonic()
        assert type(refused(reader, order)) is error
        assert time.monotonic() - began < AT_ONCE
        assert said(reader)["pid"] != before
        assert reader.read(EACH["png"]).clean == read_image(EACH["png"]).clean
    assert ends(metrics) == {how: 1.0}
    assert [(one["event"], one["outcome"]) for one in logs] == [("decoder ended", how)]


def test_a_worker_that_computes_for_ever_ends_by_itself_too(nursery: Nursery) -> None:
    """So that it stops where nobody is left to kill it."""
    with decoders(nursery=nursery, seconds=0.5) as reader:
        asked = vars(reader)["_seconds"]
        assert asked == 0.5
        # The clock of the service is later than the worker's own limit of processor time.
        with pytest.raises(ImageTooCostly) as caught:
            _with_a_slow_clock(reader).read(b"do:spin")
    assert caught.value.cause == "processor time"


def _with_a_slow_clock(reader: Decoders) -> Decoders:
    from inference_service import decoding

    class Slow(decoding._Worker):
        def ask(self, data: bytes, asked: decoding.Ask, seconds: float) -> object:  # type: ignore[override]
            return super().ask(data, asked, seconds + 60)

    reader._idle.get()
    reader._idle.put(Slow(reader._nursery, reader._memory))
    return reader


def test_memory_that_is_not_there_is_the_images_fault_and_the_worker_lives(
    nursery: Nursery,
) -> None:
    metrics = Metrics("test")
    with decoders(nursery=nursery, metrics=metrics) as reader:
        before = said(reader)["pid"]
        assert type(refused(reader, "memory")) is ImageTooCostly
        assert said(reader)["pid"] == before
    assert ends(metrics) == {}


def test_a_large_image_that_takes_more_memory_than_is_allowed_is_refused() -> None:
    large = images.encode(np.zeros((6000, 6000, 3), np.uint8), "PNG", compress_level=1)
    with decoders(memory=2**26) as reader:
        with pytest.raises(ImageTooCostly):
            reader.read(large)
        assert reader.read(EACH["png"]).width == 40


def test_a_worker_is_replaced_after_its_share_of_images(nursery: Nursery) -> None:
    metrics = Metrics("test")
    with decoders(nursery=nursery, metrics=metrics, images=3) as reader:
        numbers = [said(reader)["pid"] for _ in range(7)]
    assert [numbers.count(one) for one in dict.fromkeys(numbers)] == [3, 3, 1]
    assert ends(metrics) == {"recycled": 2.0}


def test_a_worker_that_was_killed_while_it_waited_costs_nobody_anything(
    nursery: Nursery,
) -> None:
    metrics = Metrics("test")
    with decoders(nursery=nursery, metrics=metrics) as reader:
        number = int(said(reader)["pid"])
        os.kill(number, signal.SIGKILL)
        until_gone(number)
        assert reader.read(EACH["png"]).width == 40
    assert ends(metrics) == {"killed": 1.0}


def test_nothing_of_an_image_is_left_for_the_next_one_in_shared_memory(nursery: Nursery) -> None:
    with decoders(nursery=nursery) as reader:
        reader.read(BRIGHT, preprocessing=STEPS, look=True)
        assert refused(reader, "left").cause == "nothing"
        with contextlib.suppress(ImageRefused):
            reader.read(BRIGHT[:-20])
        assert refused(reader, "left").cause == "nothing"


def test_a_nursery_that_ended_is_started_again_and_its_workers_end_with_it() -> None:
    one = misbehaving()
    try:
        with decoders(nursery=one) as reader:
            number = int(said(reader)["pid"])
            process = vars(one)["_process"]
            process.kill()
            until_gone(number)
            assert int(said(reader)["pid"]) != number
    finally:
        one.close()


def test_closing_ends_every_process_and_later_images_are_refused() -> None:
    one = misbehaving()
    with decoders(workers=2, nursery=one) as reader:
        number = int(said(reader)["pid"])
    until_gone(number)
    with pytest.raises(ServiceUnavailable):
        reader.read(EACH["png"])
    process = vars(one)["_process"]
    one.close()
    assert process.returncode == 0


def until_gone(number: int) -> None:
    """Wait until a process is no more, or only waits to be counted."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
            if state == "Z":
                return
        except FileNotFoundError:
            return
        time.sleep(0.01)
    pytest.fail("the process goes on")


async def test_a_file_that_hangs_its_reader_disturbs_no_other_reading(
    start: Start, nursery: Nursery
) -> None:
    live = await start(nursery=nursery, threads=2, decoding_seconds=3.0)
    hanging = asyncio.create_task(live.read(b"do:hang"))
    crashes = [await live.read(b"do:crash") for _ in range(3)]
    good = [await live.read(BRIGHT) for _ in range(3)]
    assert not hanging.done()
    assert [one.status_code for one in good] == [201, 201, 201]
    assert {one.json()["code"] for one in crashes} == {"reader-ended"}
    answer = await hanging
    assert (answer.status_code, answer.json()["code"]) == (422, "image-too-costly")
    text = (await live.client.get("/metrics")).text
    assert 'sightline_decoder_ends_total{outcome="crashed"} 3.0' in text
    assert 'sightline_decoder_ends_total{outcome="hung"} 1.0' in text
    listed = (await live.client.get("/api/v1/predictions")).json()["items"]
    assert len(listed) == 3


async def test_the_router_reads_in_a_worker_too(start: Start, nursery: Nursery) -> None:
    live = await start(nursery=nursery)
    answer = await live.client.post(
        "/api/v1/examinations/suggestions", files={"image": ("x", b"do:crash")}
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "reader-ended")
