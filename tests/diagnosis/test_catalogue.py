"""The catalogue says what it must, and refuses what would mislead."""

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import diagnosis.catalogue
from diagnosis import WARNING
from diagnosis.catalogue import Disease, catalogue, disease, load_catalogue
from diagnosis.errors import UnknownDisease

FOLDER = Path(diagnosis.catalogue.__file__).parent

#: The tasks Sightline is for: their classes in order, and the one to catch.
EXPECTED = {
    "chest_xray_pneumonia": (("normal", "pneumonia"), "pneumonia"),
    "chest_xray_pneumonia_type": (("bacterial", "normal", "viral"), "bacterial"),
    "chest_xray_lung_findings": (("effusion", "pneumonia", "pneumothorax"), "pneumothorax"),
    "brain_mri_tumour": (("glioma", "meningioma", "none", "pituitary"), "glioma"),
    "retinal_oct": (("cnv", "dme", "drusen", "normal"), "cnv"),
    "diabetic_retinopathy": (tuple(f"grade_{grade}" for grade in range(5)), "grade_4"),
    "malaria_cell": (("parasitized", "uninfected"), "parasitized"),
    "breast_histopathology_idc": (("idc", "normal"), "idc"),
    "breast_ultrasound": (("benign", "malignant", "normal"), "malignant"),
    "skin_lesion": (("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc"), "mel"),
    "skin_condition": (
        ("acne", "scabies", "psoriasis", "vitiligo", "warts", "fungal_infection", "leprosy"),
        "leprosy",
    ),
    "everyday_object": ((), None),
}

#: Class folders as public data sets name them.
FOLDERS_IN_THE_WILD = [
    ("chest_xray_pneumonia", "NORMAL", "normal"),
    ("chest_xray_pneumonia", "PNEUMONIA", "pneumonia"),
    ("chest_xray_pneumonia_type", "BACTERIA", "bacterial"),
    ("chest_xray_pneumonia_type", "Pneumonia-Viral", "viral"),
    ("chest_xray_pneumonia_type", "virus", "viral"),
    ("chest_xray_lung_findings", "Pleural_Effusion", "effusion"),
    ("chest_xray_lung_findings", "Pneumothorax", "pneumothorax"),
    ("brain_mri_tumour", "glioma_tumor", "glioma"),
    ("brain_mri_tumour", "meningioma_tumor", "meningioma"),
    ("brain_mri_tumour", "notumor", "none"),
    ("brain_mri_tumour", "no_tumor", "none"),
    ("brain_mri_tumour", "pituitary_tumor", "pituitary"),
    ("retinal_oct", "CNV", "cnv"),
    ("retinal_oct", "DME", "dme"),
    ("retinal_oct", "DRUSEN", "drusen"),
    ("retinal_oct", "NORMAL", "normal"),
    ("diabetic_retinopathy", "No_DR", "grade_0"),
    ("diabetic_retinopathy", "Mild", "grade_1"),
    ("diabetic_retinopathy", "2", "grade_2"),
    ("diabetic_retinopathy", "Severe", "grade_3"),
    ("diabetic_retinopathy", "Proliferate_DR", "grade_4"),
    ("malaria_cell", "Parasitized", "parasitized"),
    ("malaria_cell", "Uninfected", "uninfected"),
    ("breast_histopathology_idc", "1", "idc"),
    ("breast_histopathology_idc", "0", "normal"),
    ("breast_histopathology_idc", "IDC", "idc"),
    ("breast_histopathology_idc", "non-IDC", "normal"),
    ("breast_ultrasound", "malignant", "malignant"),
    ("skin_lesion", "akiec", "akiec"),
    ("skin_lesion", "Melanocytic_nevi", "nv"),
    ("skin_condition", "Fungal Infection", "fungal_infection"),
    ("skin_condition", "wart", "warts"),
]


def valid() -> dict[str, object]:
    """The least that a disease says."""
    sentence = "A sentence of at least twenty letters."
    return {
        "id": "thing",
        "order": 1,
        "name": "Thing",
        "modality": "chest X-ray",
        "summary": sentence,
        "intended_use": sentence,
        "suitable_image": sentence,
        "maturity": "demonstration",
        "maturity_reason": sentence,
        "finding": "there",
        "classes": [
            {"id": "absent", "name": "Absent", "sentence": sentence, "aliases": ["no"]},
            {"id": "there", "name": "There", "sentence": sentence, "aliases": ["yes"]},
        ],
    }


def a_class(class_id: str, **changes: object) -> dict[str, object]:
    return {"id": class_id, "name": class_id, "sentence": "It is here and it is seen."} | changes


def every_disease() -> list[Disease]:
    return list(catalogue().values())


def texts(one: Disease) -> list[str]:
    own = [one.summary, one.intended_use, one.suitable_image, one.maturity_reason]
    return own + [each.sentence for each in one.classes]


def test_the_catalogue_holds_these_diseases_with_these_classes() -> None:
    found = {one.id: (one.class_ids, one.finding) for one in every_disease()}
    assert found == EXPECTED


def test_the_order_is_the_one_the_files_give_and_the_ready_disease_is_first() -> None:
    places = [one.order for one in every_disease()]
    assert places == sorted(places)
    assert next(iter(catalogue())) == "chest_xray_pneumonia"


def test_loading_warns_of_nothing_and_is_done_once() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_catalogue(FOLDER) == catalogue()
    assert catalogue() is catalogue()


def test_nothing_of_the_catalogue_can_be_changed() -> None:
    with pytest.raises(TypeError):
        catalogue()["other"] = disease("malaria_cell")  # type: ignore[index]
    with pytest.raises(ValidationError):
        disease("malaria_cell").name = "other"  # type: ignore[misc]


@pytest.mark.parametrize("one", every_disease(), ids=lambda one: one.id)
def test_each_class_is_said_in_one_sentence(one: Disease) -> None:
    for each in one.classes:
        assert each.sentence[0].isupper()
        assert ". " not in each.sentence, f"{each.id} takes more than one sentence"


@pytest.mark.parametrize("one", every_disease(), ids=lambda one: one.id)
def test_the_warning_line_is_left_to_whoever_shows_the_text(one: Disease) -> None:
    assert not any(WARNING in text for text in texts(one))


@pytest.mark.parametrize("one", every_disease(), ids=lambda one: one.id)
def test_the_intended_use_says_what_the_model_is_not_for(one: Disease) -> None:
    said = one.intended_use.casefold()
    assert any(word in said for word in (" not ", "no ", "never", "nothing"))


def test_no_augmentation_turns_or_mirrors_a_chest_film() -> None:
    films = [one for one in every_disease() if one.modality == "chest X-ray"]
    assert len(films) == 3
    turned = {"flip_horizontal", "flip_vertical", "rotate_right_angles"}
    assert not any(turned & set(one.augmentations) for one in films)


@pytest.mark.parametrize(("disease_id", "folder", "class_id"), FOLDERS_IN_THE_WILD)
def test_folders_found_in_the_wild_are_known(disease_id: str, folder: str, class_id: str) -> None:
    found = disease(disease_id).class_for_folder(folder)
    assert found is not None
    assert found.id == class_id


def test_a_minus_is_no_separator() -> None:
    tissue = disease("breast_histopathology_idc")
    found = [tissue.class_for_folder(name) for name in ("IDC-", "IDC+")]
    assert [one and one.id for one in found] == ["normal", "idc"]


@pytest.mark.parametrize("folder", ["", " ", "_", "COVID", "normals", "pneumo nia"])
def test_other_folders_are_of_no_class(folder: str) -> None:
    assert disease("chest_xray_pneumonia").class_for_folder(folder) is None


@given(
    change=st.sampled_from([str.upper, str.lower, str.title, str.swapcase]),
    separator=st.sampled_from([" ", "_", "-", "  ", "__", " - "]),
    around=st.sampled_from(["", " ", "\t"]),
    data=st.data(),
)
def test_case_and_separators_do_not_count(
    change: Callable[[str], str], separator: str, around: str, data: st.DataObject
) -> None:
    one = data.draw(st.sampled_from([one for one in every_disease() if one.classes]))
    each = data.draw(st.sampled_from(one.classes))
    name = data.draw(st.sampled_from([each.id, each.name, *each.aliases]))
    written = around + change(name).replace("_", " ").replace(" ", separator) + around
    assert one.class_for_folder(written) == each


@given(name=st.text(max_size=40))
def test_any_folder_name_is_answered(name: str) -> None:
    found = disease("brain_mri_tumour").class_for_folder(name)
    assert found is None or found.id in disease("brain_mri_tumour").class_ids


def test_an_unknown_disease_is_refused() -> None:
    for name in ("", "../malaria_cell", "Malaria_Cell", "plague"):
        with pytest.raises(UnknownDisease):
            disease(name)


def test_a_disease_is_looked_up_in_the_catalogue_that_is_given() -> None:
    other = Disease.model_validate(valid())
    assert disease("thing", {"thing": other}) is other
    with pytest.raises(UnknownDisease):
        disease("malaria_cell", {"thing": other})


def test_one_more_file_is_one_more_disease(tmp_path: Path) -> None:
    for file in FOLDER.glob("*.toml"):
        shutil.copy(file, tmp_path)
    text = (FOLDER / "malaria_cell.toml").read_text()
    text = text.replace('id = "malaria_cell"', 'id = "sickle_cell"').replace(
        "order = 70", "order = 5"
    )
    (tmp_path / "sickle_cell.toml").write_text(text)
    loaded = load_catalogue(tmp_path)
    assert list(loaded) == ["sickle_cell", *catalogue()]


def test_open_classes_are_left_to_the_card() -> None:
    plain = valid() | {"open_classes": True}
    with pytest.raises(ValidationError, match="the card names the classes"):
        Disease.model_validate(plain)
    with pytest.raises(ValidationError, match="the card names the classes"):
        Disease.model_validate(plain | {"classes": []})
    one = Disease.model_validate(plain | {"classes": [], "finding": None})
    assert one.class_ids == ()
    assert one.class_for_folder("there") is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"colour": "red"}, "Extra inputs"),
        ({"id": "Not A Slug"}, "pattern"),
        ({"modality": "chest x-ray"}, "Input should be"),
        ({"maturity": "approved"}, "Input should be"),
        ({"summary": "It has no full stop at the end"}, "full stop"),
        ({"summary": "Short."}, "at least 20"),
        ({"maturity_reason": ""}, "at least 20"),
        ({"order": -1}, "greater than or equal"),
        ({"finding": "elsewhere"}, "none of the classes"),
        ({"classes": []}, "at least two classes"),
        ({"classes": [a_class("there")]}, "at least two classes"),
        ({"classes": [a_class("there"), a_class("there")]}, "stands twice"),
        (
            {"classes": [a_class("there"), a_class("absent", aliases=["There"])]},
            "names both",
        ),
        (
            {"classes": [a_class("there", aliases=["a b"]), a_class("absent", name="A_B")]},
            "names both",
        ),
        (
            {"classes": [a_class("there", aliases=["a-b", "A B"]), a_class("absent")]},
            "an alias of 'there' stands twice",
        ),
        ({"augmentations": ["flip_horizontal"]}, "can look like this: flip_horizontal"),
        ({"augmentations": ["rotate", "flip_vertical"]}, "can look like this: flip_vertical"),
        ({"augmentations": ["hue"]}, "can look like this: hue"),
        ({"augmentations": ["rotate", "rotate"]}, "an augmentation stands twice"),
        ({"augmentations": ["explode"]}, "Input should be"),
        (
            {"modality": "breast ultrasound", "augmentations": ["flip_vertical"]},
            "no breast ultrasound can look like this",
        ),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_would_mislead_is_refused(changes: dict[str, object], reason: str) -> None:
    assert Disease.model_validate(valid())
    with pytest.raises(ValidationError, match=reason):
        Disease.model_validate(valid() | changes)


def test_a_mirrored_image_is_allowed_where_sides_do_not_matter() -> None:
    changes = {"modality": "histopathology", "augmentations": ["flip_horizontal", "hue"]}
    assert Disease.model_validate(valid() | changes).augmentations == ("flip_horizontal", "hue")


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("broken", b"id = ", "broken.toml is not TOML"),
        ("broken", b'id = "\xff"', "broken.toml is not TOML"),
        ("empty", b"", "empty.toml: id: Field required"),
        (
            "renamed",
            (FOLDER / "malaria_cell.toml").read_bytes(),
            "renamed.toml holds the disease 'malaria_cell'",
        ),
        (
            "malaria_cell",
            (FOLDER / "malaria_cell.toml").read_bytes().replace(b'id = "uninfected"', b'id = "1"'),
            "malaria_cell.toml: classes.1.id: ",
        ),
        (
            "thing",
            (FOLDER / "malaria_cell.toml").read_bytes().replace(b'"malaria_cell"', b'"thing"')
            + b"\n",
            "both have the order 70",
        ),
    ],
    ids=["no value", "not UTF-8", "empty", "renamed", "bad class", "same place"],
)
def test_a_file_that_is_wrong_is_named(tmp_path: Path, name: str, text: bytes, reason: str) -> None:
    shutil.copy(FOLDER / "malaria_cell.toml", tmp_path)
    (tmp_path / f"{name}.toml").write_bytes(text)
    with pytest.raises(ValueError, match=reason):
        load_catalogue(tmp_path)


def test_a_folder_without_diseases_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no disease"):
        load_catalogue(tmp_path)
