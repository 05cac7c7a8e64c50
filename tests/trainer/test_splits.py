"""Splits never separate a group."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnosis.catalogue import disease
from trainer.data import DataSet, Example
from trainer.leakage import refuse_leakage
from trainer.refusals import DataRefused
from trainer.splits import linked_groups, with_splits

PNEUMONIA = disease("chest_xray_pneumonia")


def example(number: int, class_id: str, group: int, digest: int) -> Example:
    return Example(Path(f"/data/{number}.png"), class_id, f"{digest:064x}", f"group {group}")


@st.composite
def data_sets(draw: st.DrawFn) -> DataSet:
    rows = draw(
        st.lists(
            st.tuples(st.sampled_from(PNEUMONIA.class_ids), st.integers(0, 15), st.integers(0, 60)),
            min_size=4,
            max_size=60,
        )
    )
    examples = [example(i, name, group, digest) for i, (name, group, digest) in enumerate(rows)]
    # Two groups that nothing links, of each class, so that every data set can be split.
    examples += [
        example(1000 + i, name, 100 + i, 100 + i) for i, name in enumerate(PNEUMONIA.class_ids * 3)
    ]
    return DataSet(Path("/data"), PNEUMONIA, tuple(examples))


@given(data=data_sets(), seed=st.integers(0, 5))
def test_no_group_and_no_identical_file_is_ever_separated(data: DataSet, seed: int) -> None:
    found = with_splits(data, seed=seed)
    refuse_leakage(found.examples)
    assert len(found.examples) == len(data.examples)
    assert all(found.of("train").per_class().values())
    assert all(found.of("val").per_class().values())


@given(data=data_sets(), seed=st.integers(0, 5))
def test_the_same_seed_gives_the_same_splits_whatever_the_order(data: DataSet, seed: int) -> None:
    forward = {one.path: one.split for one in with_splits(data, seed=seed).examples}
    turned = with_splits(data.keep(reversed(data.examples)), seed=seed)
    assert {one.path: one.split for one in turned.examples} == forward


def test_shares_are_about_70_15_15_in_each_class() -> None:
    examples = [example(i, PNEUMONIA.class_ids[i % 4 == 0], i, i) for i in range(800)]
    data = with_splits(DataSet(Path("/data"), PNEUMONIA, tuple(examples)))
    for class_id, total in data.per_class().items():
        assert data.of("train").per_class()[class_id] == pytest.approx(0.70 * total, abs=3)
        assert data.of("val").per_class()[class_id] == pytest.approx(0.15 * total, abs=3)


def test_groups_that_share_a_file_are_one_unit() -> None:
    examples = [example(0, "normal", 1, 7), example(1, "normal", 2, 7), example(2, "normal", 3, 8)]
    first, second, third = linked_groups(examples)
    assert first == second != third


def test_a_class_needs_two_groups_and_every_class_an_image() -> None:
    lonely = [example(i, "normal", i, i) for i in range(4)] + [example(9, "pneumonia", 9, 9)]
    with pytest.raises(DataRefused, match=r"pneumonia has 1 group"):
        with_splits(DataSet(Path("/data"), PNEUMONIA, tuple(lonely)))
    with pytest.raises(DataRefused, match="no image of pneumonia"):
        with_splits(DataSet(Path("/data"), PNEUMONIA, tuple(lonely[:4])))
