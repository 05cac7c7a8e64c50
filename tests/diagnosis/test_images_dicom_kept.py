"""DICOM: the file that may be kept holds the picture and nothing else of the one that came."""

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from dicomanonymizer.dicom_anonymization_databases import dicomfields_2026c as table_e_1_1
from pydicom import dcmread, uid
from pydicom.datadict import dictionary_has_tag, dictionary_VR, keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from diagnosis.images import CheckedImage, read_image
from tests.fixtures.images import (
    colour,
    dicom,
    dicom_bytes,
    dicom_dataset,
    encapsulated,
    encode,
    grey,
    one_of_each,
    words,
)

NAME, UID = "CANARY4711", "1.2.826.0.1.4711.4711"
NUMBER = 471147114

#: Action of the Basic Profile -> the attributes that have it.
ACTIONS = {
    name.removesuffix("_TAGS"): tags
    for name, tags in vars(table_e_1_1).items()
    if name.endswith("_TAGS") and name != "ALL_TAGS"
}
#: What each VR holds that would be known again.
VALUES: dict[str, Any] = {
    "UI": UID, "DA": "19470711", "TM": "114711", "DT": "19470711114711", "AS": "047Y",
    "DS": "4711.4711", "IS": "4711", "AE": NAME, "CS": NAME, "UR": f"http://{NAME}.example",
    "OB": NAME.encode(), "OW": NAME.encode(), "UN": NAME.encode(), "FD": 4711.4711,
    "FL": 4711.5, "UL": NUMBER, "SL": NUMBER, "US": 4711, "SS": 4711, "AT": 0x47114711,
}  # fmt: skip


def kept(data: bytes) -> tuple[CheckedImage, Dataset]:
    """The checked image, and the DICOM file that is kept beside it."""
    image = read_image(data, keep_dicom=True)
    assert image.dicom is not None
    return image, dcmread(BytesIO(image.dicom))


def planted(tag: int) -> DataElement:
    # The table is newer than the dictionary: what it does not know yet is text.
    vr = dictionary_VR(tag) if dictionary_has_tag(tag) else "LO"
    if vr == "SQ":
        item = Dataset()
        item.CodeMeaning = NAME
        item.ReferencedSOPInstanceUID = UID
        return DataElement(tag, vr, Sequence([item]))
    # A choice such as `US or SS` is the first of them.
    return DataElement(tag, vr.partition(" ")[0], VALUES.get(vr.partition(" ")[0], NAME))


def test_every_attribute_of_the_profile_is_handled_by_its_action() -> None:
    """A name, a number or a UID in each attribute of Table E.1-1, all in one file."""
    dataset = dicom_dataset(words())
    tags = {
        Tag(pair): action
        for action, pairs in ACTIONS.items()
        for pair in pairs
        # No data set holds the elements of commands, nor those of the file's meta information.
        if len(pair) == 2 and pair[0] > 0x0002
    }
    assert len(tags) > 600
    # Curves and overlays stand in many groups; the first of each is enough.
    for tag in tags:
        dataset.add(planted(tag))
    dataset.add(DataElement(0x60003000, "OW", NAME.encode()))
    dataset.add(DataElement(0x60004000, "LT", NAME))
    dataset.private_block(0x0047, "CANARY4711", create=True).add_new(1, "LO", NAME)
    data = dicom_bytes(dataset)
    assert data.count(NAME.encode()) > 300
    _, found = kept(data)
    for element in found.iterall():
        assert not element.tag.is_private
        for value in (NAME, UID, "4711"):
            assert value not in str(element.value)
    for tag, action in tags.items():
        element = found.get(tag)
        name = keyword_for_tag(tag)
        if element is None:
            # A Secondary Capture needs none of what is replaced or emptied by these.
            assert action != "U" or name not in {"SOPInstanceUID", "StudyInstanceUID"}
        elif "U" in action.split("_"):
            assert uid.UID(element.value).is_valid, name
        else:
            assert "Z" in action.split("_"), f"{name} should have gone"
            assert element.value in ("", None), name


def test_the_method_and_its_codes_are_set() -> None:
    _, found = kept(dicom(words()))
    assert found.PatientIdentityRemoved == "YES"
    assert found[0x00120063].value == "Basic Application Confidentiality Profile"
    [code] = found[0x00120064].value
    assert (code.CodeValue, code.CodingSchemeDesignator) == ("113100", "DCM")
    assert found.LongitudinalTemporalInformationModified == "REMOVED"
    assert found.preamble == bytes(128)


def test_uids_are_new_distinct_and_follow_from_the_picture() -> None:
    image, found = kept(dicom(words(), StudyInstanceUID=UID))
    again, _ = kept(dicom(words(), StudyInstanceUID=f"{UID}.1", PatientID="other"))
    assert again.dicom == image.dicom
    uids = {found.StudyInstanceUID, found.SeriesInstanceUID, found.SOPInstanceUID}
    assert len(uids) == 3
    assert all(one.is_valid and one.startswith("2.25.") for one in uids)
    assert found.file_meta.MediaStorageSOPInstanceUID == found.SOPInstanceUID


def _table(first: int, bits: int = 12) -> Dataset:
    item = Dataset()
    item.LUTDescriptor = [4096, first, bits]
    item["LUTDescriptor"].VR = "US"
    item.LUTExplanation = NAME
    item.LUTData = (np.arange(4096)[::-1]).astype("<u2").tobytes()
    item["LUTData"].VR = "OW"
    return item


TWELVE = (words() >> 4).astype(np.uint16)
PICTURES: dict[str, dict[str, Any]] = {
    "plain": {},
    "inverted": {"PhotometricInterpretation": "MONOCHROME1"},
    "window": {"WindowCenter": [2000.5, 40], "WindowWidth": [1500, 80]},
    "sigmoid": {"WindowCenter": 2000, "WindowWidth": 900, "VOILUTFunction": "SIGMOID"},
    "rescaled": {"RescaleSlope": "0.7321", "RescaleIntercept": "-1024", "WindowCenter": 40,
                 "WindowWidth": 400},
    "padding": {"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 20},
    "modality table": {"ModalityLUTSequence": Sequence([_table(0)])},
    "VOI table": {"VOILUTSequence": Sequence([_table(100)])},
}  # fmt: skip


@pytest.mark.parametrize("name", PICTURES)
def test_the_picture_is_the_same(name: str) -> None:
    image, found = kept(dicom(TWELVE, BitsStored=12, HighBit=11, **PICTURES[name]))
    assert image.dicom is not None
    assert read_image(image.dicom).digest == image.digest
    assert NAME not in str(found)


@pytest.mark.parametrize("name", [name for name in one_of_each() if "dicom" in name])
def test_every_way_of_storing_is_kept(name: str) -> None:
    image, found = kept(one_of_each()[name])
    assert image.dicom is not None
    assert found.file_meta.TransferSyntaxUID == uid.DeflatedExplicitVRLittleEndian
    assert read_image(image.dicom).digest == image.digest


def test_what_cannot_be_written_does_not_keep_the_picture_from_being_kept() -> None:
    """A padding value that no pixel can have, and a frame of fewer bits than the file says."""
    narrow = encode(grey(40, 32), "JPEG2000", no_jp2=True)
    for data in (
        dicom(TWELVE, BitsStored=12, HighBit=11, PixelPaddingValue=4711),
        _with_signed_padding(),
        encapsulated(words(40, 32), narrow, "1.2.840.10008.1.2.4.90", BitsStored=12, HighBit=11),
    ):
        image, _ = kept(data)
        assert image.dicom is not None
        assert read_image(image.dicom).digest == image.digest


def _with_signed_padding() -> bytes:
    """Unsigned pixels with a padding value below zero, as some CT scanners write them."""
    dataset = dicom_dataset(TWELVE, BitsStored=12, HighBit=11)
    dataset.add_new("PixelPaddingValue", "SS", -2000)
    return dicom_bytes(dataset)


@pytest.mark.parametrize("keyword", ["PixelSpacing", "ImagerPixelSpacing"])
def test_how_far_apart_the_pixels_are_is_kept_where_it_can_be_true(keyword: str) -> None:
    _, found = kept(dicom(words(), **{keyword: ["0.14300001", "0.2"]}))
    assert found[keyword].value == [0.143, 0.2]
    for untrue in (["0", "0.2"], ["0.2"], ["-1", "1"], ["4711", "4711"], ""):
        _, found = kept(dicom(words(), **{keyword: untrue}))
        assert keyword not in found


def test_signed_values_and_colours_are_kept() -> None:
    signed = (words().astype(np.int32) - 32768).astype(np.int16)
    for data in (dicom(signed), dicom(colour())):
        image, _ = kept(data)
        assert image.dicom is not None
        assert read_image(image.dicom).digest == image.digest


def test_bits_above_those_that_count_are_cleared() -> None:
    """Old machines drew names into the unused bits of each pixel."""
    drawn = TWELVE | 0x8000
    _, found = kept(dicom(drawn, BitsStored=12, HighBit=11))
    values = np.frombuffer(found.PixelData, "<u2")
    assert (values == TWELVE.ravel()).all()


def test_what_a_compressed_frame_says_beside_its_pixels_is_gone() -> None:
    frame = encode(grey(), "JPEG", comment=NAME.encode())
    image, _ = kept(encapsulated(grey(), frame, "1.2.840.10008.1.2.4.50"))
    assert image.dicom is not None
    # Compressed as it is, the name would not be seen in it; uncompressed it would.
    again = dcmread(BytesIO(image.dicom))
    assert NAME.encode() not in again.PixelData
    assert NAME.encode() not in image.dicom


def test_other_formats_and_files_that_are_not_asked_for_have_none() -> None:
    assert read_image(dicom(words())).dicom is None
    assert read_image(encode(grey(), "PNG"), keep_dicom=True).dicom is None


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"BurnedInAnnotation": "YES"}, "stated"),
        ({"BurnedInAnnotation": "NO", "Modality": "US"}, None),
        ({"Modality": "US"}, "possible"),
        ({"Modality": "DX"}, None),
        ({"Modality": "DX", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "possible"),
        ({"Modality": "DX", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7.2"}, "possible"),
        ({"Modality": "CR", "ConversionType": "DI"}, "possible"),
        ({"Modality": "DX", "BurnedInAnnotation": "perhaps"}, None),
    ],
)
def test_text_in_the_pixels_is_suspected_where_the_file_leaves_it_open(
    changes: dict[str, str], expected: str | None
) -> None:
    image, found = kept(dicom(words(), **changes))
    assert image.burned_in == expected
    # DICOM says of identity that it was removed only where it is gone from the pixels, too.
    assert found.PatientIdentityRemoved == ("YES" if image.burned_in is None else "NO")
    said = changes.get("BurnedInAnnotation")
    assert found.get("BurnedInAnnotation") == (said if said in {"YES", "NO"} else None)
