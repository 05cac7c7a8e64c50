"""Left-out acquisition families."""

from dataclasses import replace
from pathlib import Path

import pytest

from trainer.about import read_about
from trainer.data import Example
from trainer.families import Families, leave_out
from trainer.refusals import DataRefused

CLASSES = ("normal", "pneumonia")
NAMES = {
    "normal": ["IM-0001.jpeg", "IM-0002.jpeg", "NORMAL2-IM-0001.jpeg", "NORMAL2-IM-0002.jpeg"],
    "pneumonia": ["person1_bacteria_1.jpeg", "person2_bacteria_2.jpeg", "person3_virus_3.jpeg"],
}


def kermany() -> Families:
    """The families of the data set that the shipped artifact comes from."""
    about = read_about(Path(), Path(__file__).parents[2] / "trainer/datasets/kermany_2018.toml")
    return Families(tuple(about.families.items()))


def examples(names: dict[str, list[str]]) -> list[Example]:
    return [
        Example(Path(f"/d/{name}"), class_id, name, name)
        for class_id, files in names.items()
        for name in files
    ]


def validation() -> list[Example]:
    """Other patients of the same families."""
    return [replace(one, group=f"val {one.group}", split="val") for one in examples(NAMES)]


def test_the_four_families_of_kermany_are_told_by_name() -> None:
    families = kermany()
    assert [families.of(one) for one in examples(NAMES)] == [
        *["series_1"] * 2,
        *["series_2"] * 2,
        *["bacterial"] * 2,
        "viral",
    ]


def test_each_choice_leaves_one_family_of_each_class_out() -> None:
    families = kermany()
    found = leave_out(examples(NAMES), validation(), families.of, CLASSES)
    assert len(found) == 4
    for one in found:
        gone = {families.of(x) for x in one.held}
        assert len(gone) == 2
        assert not gone & {families.of(x) for x in (*one.train, *one.val)}
        assert {x.class_id for x in one.train} == set(CLASSES)
        assert len(one.train) + len(one.held) == 7


def test_a_patient_with_images_of_two_families_stays_on_one_side() -> None:
    both = [
        Example(Path(f"/d/{name}"), class_id, name, "one patient" if i == 0 else name)
        for class_id, files in NAMES.items()
        for i, name in enumerate(files)
    ]
    for one in leave_out(both, validation(), kermany().of, CLASSES):
        assert not {x.group for x in one.train} & {x.group for x in one.held}


def test_a_class_of_one_family_lends_a_tenth_of_its_groups() -> None:
    names = {"normal": [f"plain-{i}.png" for i in range(20)], "pneumonia": NAMES["pneumonia"]}
    for one in leave_out(examples(names), validation(), kermany().of, CLASSES):
        assert sum(x.class_id == "normal" for x in one.held) == 2


def test_a_pattern_that_is_no_expression_is_refused(tmp_path: Path) -> None:
    (tmp_path / "about.toml").write_text('dataset = "films"\n[families]\nold = "("\n')
    with pytest.raises(DataRefused, match=r"families\.old"):
        read_about(tmp_path, None)


def test_without_families_there_is_nothing_to_leave_out() -> None:
    with pytest.raises(DataRefused, match="No class has two"):
        leave_out(
            examples({"normal": ["a.png"], "pneumonia": ["b.png"]}), [], Families().of, CLASSES
        )


def test_a_fit_without_a_class_to_train_or_to_validate_on_is_refused() -> None:
    without_viral = [one for one in validation() if "virus" not in one.path.name]
    with pytest.raises(DataRefused, match=r"series_1 \+ bacterial .*no validation .*pneumonia"):
        leave_out(examples(NAMES), without_viral, kermany().of, CLASSES)
    names = {**NAMES, "normal": ["plain.png"]}
    with pytest.raises(DataRefused, match="no training image of normal"):
        leave_out(examples(names), validation(), kermany().of, CLASSES)
