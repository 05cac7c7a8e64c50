"""Each target for a moment; `make fuzz` runs them for as long as it is told."""

import itertools
import warnings

import pytest

from tests.fuzz.mutation import mutations
from tests.fuzz.targets import TARGETS

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
