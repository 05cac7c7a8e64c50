"""What an audit finds, on images made so that it is known."""

import json
import re
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw
from typer.testing import CliRunner, Result

from diagnosis import WARNING, durable
from tests.trainer.conftest import MakeImages, made_film
from tests.trainer.test_perceptual import texture
from trainer import signoff
from trainer.audit import Audit, Request, audit, labels, sheet, statistics
from trainer.audit.marks import borders, count_marks
from trainer.audit.problems import problems_of
from trainer.cli import app

CHEST = "chest_xray_pneumonia"
WriteManifest = Callable[[Path, list[dict[str, str]]], Path]


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Textures with one of each fault; every `pneumonia` image carries a burned-in mark."""
    root = tmp_path_factory.mktemp("audited")
    seed = 0
    for split, class_id, count in (
        ("train", "normal", 24), ("train", "pneumonia", 24), ("val", "normal", 6),
        ("val", "pneumonia", 6),
    ):  # fmt: skip
        folder = root / split / class_id
        folder.mkdir(parents=True)
        for number in range(count):
            seed += 1
            image = texture(seed, 96).point([v // 2 for v in range(256)])
            if class_id == "pneumonia":
                ImageDraw.Draw(image).text((6, 6), "R", fill=255)
            image.save(folder / f"{number:02}.png")
    copy = Image.open(root / "train/normal/03.png")
    copy.save(root / "val/pneumonia/near.jpg", quality=70)
    (root / "train/normal/broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    Image.new("L", (96, 96), 9).save(root / "train/normal/blank.png")
    (root / "about.toml").write_text('dataset = "made"\nlicence = "CC0"\n')
    return root


@pytest.fixture(scope="module")
def audited(data: Path) -> Audit:
    return audit(Request(data))


def test_faults_are_found_each_in_its_list(audited: Audit) -> None:
    found = audited.report
    assert [one["file"] for one in found["unreadable"]] == ["train/normal/broken.png"]
    assert found["blank"] == ["train/normal/blank.png"]
    (pair,) = found["near_duplicates"]["pairs"]
    assert set(pair["files"]) == {"train/normal/03.png", "val/pneumonia/near.jpg"}
    assert found["near_duplicates_across_splits"]["count"] == 1
    assert found["near_duplicates_across_classes"]["count"] == 1
    assert found["marks"]["pneumonia"] > 0.9
    assert found["marks"]["normal"] < 0.2
    assert found["tells_the_class"]["mark"]["highest"]["class"] == "pneumonia"
    assert set(found["tells_the_class"]) == {"mark"}
    assert {one["class"]: one["too_small"] for one in found["small_sets"]} == {
        "normal": True,
        "pneumonia": True,
    }
    text = " ".join(found["problems"])
    for word in ("near duplicates stand in two splits", "mark", "Too small", "No group ids"):
        assert word in text
    assert "licence" not in text
    assert found["labels"]["checked"]
    assert found["labels"]["reliable"]
    assert [one["file"] for one in found["suspect_labels"]] == ["val/pneumonia/near.jpg"]


def test_a_model_that_cannot_tell_the_classes_suspects_nothing_aloud(audited: Audit) -> None:
    random = np.random.default_rng(2)
    guessed = labels.review(
        random.normal(0, 1, (80, 9)).astype(np.float32),
        ["a", "b"] * 40,
        [str(i) for i in range(80)],
    )
    assert isinstance(guessed, labels.LabelReview)
    assert guessed.balanced_accuracy < labels.RELIABLE
    weak = audited.report["labels"] | {"reliable": False}
    text = " ".join(problems_of(audited.report | {"labels": weak}))
    assert "Labels can hardly be checked" in text
    assert "look at the first" not in text


def test_a_mark_and_a_border_are_told_from_a_plain_picture() -> None:
    plain = texture(2, 200).point([v // 2 for v in range(256)])
    assert count_marks(np.asarray(plain)) == 0
    assert not borders(np.asarray(plain)).present
    marked = plain.copy()
    ImageDraw.Draw(marked).text((10, 10), "L", fill=255, font_size=16)
    assert count_marks(np.asarray(marked)) == 1
    in_the_middle = plain.copy()
    ImageDraw.Draw(in_the_middle).text((95, 95), "L", fill=255, font_size=16)
    assert count_marks(np.asarray(in_the_middle)) == 0
    framed = np.zeros((220, 200), np.uint8)
    framed[:200] = np.asarray(plain)
    assert borders(framed).sides[2] == pytest.approx(20 / 220)
    assert borders(framed).sides[0] == 0


def test_wrong_labels_that_were_put_in_come_out_first() -> None:
    random = np.random.default_rng(0)
    names = ["a", "b", "c"]
    y = np.arange(300) % 3
    features = random.normal(0, 1, (300, 20)).astype(np.float32)
    features[np.arange(300), y] += 5
    given = [names[k] for k in y]
    wrong = {10: "a", 50: "a", 91: "c", 200: "b"}
    assert all(given[place] != name for place, name in wrong.items())
    for place, name in wrong.items():
        given[place] = name
    found = labels.review(features, given, [str(i) for i in range(300)])
    assert isinstance(found, labels.LabelReview)
    assert {one.place for one in found.suspects[:4]} == set(wrong)
    assert {one.suggested for one in found.suspects[:4]} <= set(names)
    assert found.balanced_accuracy > 0.95


def test_copies_in_one_group_cannot_vouch_for_each_other() -> None:
    """Without folds by group, a model that knows the twin of each image finds nothing wrong."""
    random = np.random.default_rng(1)
    features = np.repeat(random.normal(0, 1, (60, 200)), 2, axis=0).astype(np.float32)
    y = np.repeat(np.arange(60) % 2, 2)
    probabilities = labels.out_of_fold(features, y, np.repeat(np.arange(60), 2), seed=0)
    assert (probabilities.argmax(1) == y).mean() < 0.7


def test_few_images_are_not_judged() -> None:
    features = np.zeros((30, 4), np.float32)
    assert "each class needs" in labels.review(features, ["a"] * 25 + ["b"] * 5, ["g"] * 30)
    assert "one class only" in labels.review(features, ["a"] * 30, ["g"] * 30)


def test_the_half_width_is_wilsons() -> None:
    assert statistics.half_width(100, 0.5) == pytest.approx(0.0962, abs=1e-4)
    assert statistics.half_width(25) == pytest.approx(0.121, abs=1e-3)
    assert statistics.half_width(1000) < 0.02


def test_a_property_is_reported_only_where_it_depends_on_the_class() -> None:
    classes = ["a"] * 50 + ["b"] * 50
    assert statistics.tells_the_class(["x"] * 50 + ["y"] * 50, classes) == {
        "value": "x",
        "lowest": {"class": "b", "share": 0.0},
        "highest": {"class": "a", "share": 1.0},
        "cramers_v": 1.0,
    }
    assert statistics.tells_the_class(["x", "y"] * 50, classes) is None
    assert statistics.tells_the_class(["x"] * 100, classes) is None
    assert statistics.tells_the_class(["x"] * 5 + ["y"] * 5, ["a"] * 5 + ["b"] * 5) is None


def test_the_sheet_stands_by_itself_and_shows_the_findings(audited: Audit) -> None:
    page = sheet.page(audited, seed=4, per_class=3)
    assert WARNING in page
    for outside in ("http:", "https:", "<script", "<link", "url("):
        assert outside not in page
    sources = set(re.findall(r'<img src="([^"]{23})', page))
    assert sources == {"data:image/jpeg;base64,"}
    for title in ("Random sample", "Near duplicates in two splits", "Burned-in marks", "Blank"):
        assert title in page
    assert "train/normal/broken.png" in page
    assert page == sheet.page(audited, seed=4, per_class=3)
    assert page != sheet.page(audited, seed=5, per_class=3)
    assert page.count("<figure>") >= 3 + 3 + 1 + 1


def test_names_cannot_break_out_of_the_sheet(tmp_path: Path) -> None:
    for name in ("normal", "<script>alert(1)"):
        (tmp_path / name).mkdir()
        texture(1).save(tmp_path / name / '"><img src=x>.png')
    page = sheet.page(audit(Request(tmp_path)))
    assert "<script" not in page
    assert "<img src=x>" not in page


def test_a_sign_off_is_kept_and_lapses_when_the_data_changes(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGHTLINE_TRAINER_CACHE_DIR", str(tmp_path / "cache"))
    page = tmp_path / "sheet.html"
    assert call("audit", data, "--sheet", page, "--json").exit_code == 0
    result = call(
        "sign-off", data, "--by", "radiologist", "--note", "24 shown, all as named", "--sheet", page
    )
    assert result.exit_code == 0, result.stderr
    (kept,) = json.loads((data / "signoff.json").read_text())["sign_offs"]
    assert kept["by"] == "radiologist"
    assert kept["files"] == 63
    assert kept["sheet"]["shown"]["near_across_splits"] == 2
    try:
        found: dict[str, Any] = json.loads(call("audit", data, "--json").stdout)
        assert found["sign_off"]["state"] == "matches"
        assert found["listing"] == kept["listing"]
        assert found["outside"] == []
        changed = data / "train/normal/00.png"
        before = changed.read_bytes()
        changed.write_bytes((data / "train/normal/01.png").read_bytes())
        found = json.loads(call("audit", data, "--json").stdout)
        assert found["sign_off"]["state"] == "outdated"
        assert any("since it changed" in one for one in found["problems"])
        result = call("sign-off", data, "--by", "radiologist", "--note", "again", "--sheet", page)
        assert result.exit_code == 2
        assert "the data has changed since" in result.stderr
        changed.write_bytes(before)
    finally:
        (data / "signoff.json").unlink()


def test_where_data_cannot_be_written_the_sentence_says_what_to_do(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = ("sign-off", data, "--by", "radiologist", "--note", "seen")

    def read_only(path: Path, content: bytes) -> None:
        if path.parent == data:
            raise OSError(30, "Read-only file system")
        durable.replace_file(path, content)

    monkeypatch.setattr(signoff, "replace_file", read_only)
    result = call(*wanted)
    assert result.exit_code == 2
    assert "Name another file with --out FILE" in result.stderr
    out = tmp_path / "signed.json"
    assert call(*wanted, "--out", out).exit_code == 0
    found = json.loads(call("audit", data, "--json", "--sign-off", out).stdout)
    assert found["sign_off"]["state"] == "matches"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--by", "dr@example.org", "--note", "seen"), "--by"),
        (("--by", "radiologist", "--note", "patient 1234567"), "--note"),
        (("--by", "radiologist", "--note", "seen", "--sheet", "none.html"), "cannot be read"),
        (("--by", "radiologist", "--note", "seen", "--sheet", __file__), "no contact sheet"),
    ],
)
def test_a_sign_off_names_nobody_and_needs_a_true_sheet(
    data: Path, arguments: tuple[str, ...], says: str
) -> None:
    result = call("sign-off", data, *arguments)
    assert result.exit_code == 2
    assert says in result.stderr
    assert not (data / "signoff.json").exists()


def test_groups_of_the_manifest_decide_what_is_too_small(
    tmp_path: Path, write_manifest: WriteManifest, make_images: MakeImages
) -> None:
    make_images(tmp_path, {"val/normal": 4})
    rows = [
        {"path": f"val/normal/00{i}.png", "label": "normal", "split": "val", "group_id": f"{i % 2}"}
        for i in range(4)
    ]
    write_manifest(tmp_path, rows)
    (one,) = audit(Request(tmp_path)).report["small_sets"]
    assert one["units"] == 2


def test_depth_and_colour_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    grey = np.asarray(made_film(1, ill=False))
    target = BytesIO()
    Image.fromarray(grey.astype(np.uint16) * 257).save(target, "PNG")
    (tmp_path / "x/deep.png").write_bytes(target.getvalue())
    Image.fromarray(grey).convert("RGB").save(tmp_path / "x/three.png")
    Image.fromarray(np.stack([grey, grey // 2, grey], axis=2)).save(tmp_path / "x/colour.png")
    assert audit(Request(tmp_path)).report["modes"] == {
        "grey 16 bit": 1,
        "grey stored as colour 8 bit": 1,
        "colour 8 bit": 1,
    }
