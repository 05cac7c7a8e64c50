"""How Redis holds a reading: without what all have in common, and so that it is read later."""

import hashlib
import zlib

import pytest

from diagnosis.errors import StoreUnavailable
from diagnosis.results import dictionary
from diagnosis.results.keys import could_say, packed, readable
from tests.fixtures.predictions import make_prediction

#: What a dictionary was when the first row was compressed with it, by its name in the rows.
KEPT = {
    0xF69A7E5D: "a916575bc31e98c4ce96f756cdba71fac3bb921cb1cf6a383b932c6410256850",
    0xEDCB95B1: "8cf2d8882855458c302e2a428b2b7f3be653dbf6bebb5987e91164c473ff9293",
}


def test_no_dictionary_ever_changes() -> None:
    found = {name: hashlib.sha256(one).hexdigest() for name, one in dictionary.KNOWN.items()}
    assert found == KEPT


@pytest.mark.parametrize("name", KEPT)
def test_a_row_of_each_dictionary_is_read(name: int) -> None:
    made = make_prediction()
    pressing = zlib.compressobj(zdict=dictionary.KNOWN[name])
    row = pressing.compress(made.model_dump_json().encode()) + pressing.flush()
    assert readable(row) == made
    assert not could_say(row, ["nowhere-at-all"])


def test_a_row_of_no_dictionary_is_read() -> None:
    made = make_prediction()
    assert readable(zlib.compress(made.model_dump_json().encode())) == made


def test_a_row_of_a_dictionary_that_is_not_known_is_left_alone() -> None:
    pressing = zlib.compressobj(zdict=b"of a later version")
    row = pressing.compress(make_prediction().model_dump_json().encode()) + pressing.flush()
    with pytest.raises(StoreUnavailable):
        readable(row)


def test_the_present_dictionary_is_the_best() -> None:
    made = make_prediction(disease="skin_lesion", top="mel", classes=7)
    text = made.model_dump_json().encode()

    def size(preset: bytes) -> int:
        pressing = zlib.compressobj(9, zdict=preset)
        return len(pressing.compress(text) + pressing.flush())

    assert len(packed(made)) == size(dictionary.ROWS)
    assert len(packed(made)) == min(size(one) for one in dictionary.KNOWN.values())
