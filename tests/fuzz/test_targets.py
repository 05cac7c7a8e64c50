"""Each target for a moment; `make fuzz` runs them for as long as it is told."""

import itertools
import warnings

import pytest

from tests.fixtures.images import SECRET, encode, grey, jpeg_segment, with_segments
from tests.fuzz.mutation import mutations
from tests.fuzz.targets import TARGETS, told

#: Changed files of each target, so that all of them together take a few seconds.
TRIES = {"weights": 20, "archive": 200, "dicom-jpeg-2000": 100, "card": 60, "graph": 60}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", TARGETS)
def test_a_reader_only_reads_or_refuses(name: str, pytestconfig: pytest.Config) -> None:
    target = TARGETS[name]
    seeds = target.seeds()
    assert seeds
    number = TRIES.get(name, 200)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for data in itertools.islice(mutations(seeds, seed=4), len(seeds) + number):
            target.run(data)


def test_text_that_stands_beside_the_pixels_is_seen_and_none_in_a_table() -> None:
    """Found by fuzzing: a text was copied into a Huffman table, where it is no metadata."""
    jpeg = encode(grey(32, 32), "JPEG")
    for marker, seen in ((0xFE, True), (0xE1, True), (0xC4, False), (0xDB, False)):
        with_text = with_segments(jpeg, jpeg_segment(marker, SECRET.encode()))
        assert (SECRET.encode() in told(with_text)) == seen
    body = SECRET.encode().ljust(32, b"-")
    for kind, seen in ((b"EXIF", True), (b"XYZW", True), (b"VP8 ", False), (b"ALPH", False)):
        webp = b"RIFF\x00\x00\x00\x00WEBP" + kind + len(body).to_bytes(4, "little") + body
        assert (SECRET.encode() in told(webp)) == seen
