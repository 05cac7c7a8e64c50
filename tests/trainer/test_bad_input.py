"""What bad input gets from the commands: a sentence, exit code 2, and nothing left behind."""

import json
from pathlib import Path

import pytest

from tests.trainer.conftest import MakeImages, call

pytestmark = [
    pytest.mark.xdist_group("trainer-bad-input"),
    pytest.mark.usefixtures("own_folders"),
]


def test_audit_finds_what_was_put_there(tmp_path: Path, make_images: MakeImages) -> None:
    make_images(tmp_path, {"train/normal": 3, "val/pneumonia": 2, "train/cats": 1})
    copy = (tmp_path / "train/normal/000.png").read_bytes()
    (tmp_path / "val/pneumonia/copy.png").write_bytes(copy)
    (tmp_path / "train/normal/bad.png").write_text("text")
    result = call("audit", tmp_path, "--disease", "chest_xray_pneumonia", "--json")
    found = json.loads(result.stdout)
    assert found["unknown_folders"] == ["cats"]
    assert found["unreadable"] == [{"file": "train/normal/bad.png", "reason": "not-an-image"}]
    assert found["copies_across_splits"]["count"] == 1
    assert found["copies_across_classes"]["count"] == 1
    assert found["splits"]["train"] == {"? cats": 1, "normal": 4}
    assert found["sizes"] == {"72x72": 7}
    assert "two splits" in call("audit", tmp_path).stdout


CHEST = "chest_xray_pneumonia"
BAD_INPUT = {
    "audit nowhere": "is not a folder",
    "audit empty": "no files in class folders",
    "train no_disease --data films --recipe cnn5": "catalogue has no disease",
    f"train {CHEST} --data nowhere --recipe cnn5": "not a folder",
    f"train {CHEST} --data films --recipe vgg": "no recipe 'vgg'",
    f"train {CHEST} --data one --recipe cnn5": "no image of",
    "train everyday_object --data one --recipe cnn5": "takes its classes",
    f"train {CHEST} --data films --recipe squeezenet_transfer": "--weights",
    f"train {CHEST} --data films --recipe cnn5 --leave-families-out": "No acquisition families",
    f"train {CHEST} --data films --recipe cnn5 --about none.toml": "does not exist",
    f"train {CHEST} --data unlicensed --recipe cnn5": "No licence is stated",
    f"train {CHEST} --data leaking --recipe cnn5": "--allow-leakage REASON",
    f"train {CHEST} --data damaged --recipe cnn5": "at most 2 % may be left out",
    f"train {CHEST} --data empty --recipe cnn5": "no files in class folders",
    f"train {CHEST} --data strange --recipe cnn5": "'dragons'",
    f"train {CHEST} --data gone --recipe cnn5": "do not exist, for example",
    "audit films --sheet none/sheet.html": "cannot be written",
    "audit gone": "do not exist, for example",
    "sign-off empty --by radiologist --note seen": "no files in class folders",
    "evaluate nothing --data films": "neither a disease",
    "evaluate malaria_cell --data films": "No artifact of malaria_cell is live",
    "evaluate empty --data films": "card",
    f"evaluate {CHEST} --data films --out none/page.html": "cannot be written",
    f"evaluate {CHEST}@77 --data films": "no version '77'",
    f"compare {CHEST}@77 {CHEST} --data films": "no version '77'",
    "publish empty": "card",
    "publish nowhere": "not the folder of a run",
    "promote no_disease 1": "catalogue has no disease",
    "rollback malaria_cell": "malaria_cell",
}


@pytest.mark.parametrize("command", BAD_INPUT)
def test_bad_input_gets_a_sentence_and_leaves_nothing(
    command: str,
    films: Path,
    tmp_path: Path,
    make_images: MakeImages,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SIGHTLINE_DATA", raising=False)
    monkeypatch.setenv("SIGHTLINE_TRAINER_RUNS_DIR", str(tmp_path / "runs"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "films").symlink_to(films)
    make_images(tmp_path / "one", {"normal": 2})
    counts = {f"{s}/{c}": 2 for s in ("train", "val") for c in ("normal", "pneumonia")}
    for name in ("unlicensed", "leaking", "damaged"):
        make_images(tmp_path / name, counts)
    make_images(tmp_path / "strange", {"normal": 1, "dragons": 1})
    make_images(tmp_path / "gone", {"normal": 1})
    (tmp_path / "gone/manifest.csv").write_text("path,label\nnormal/9.png,normal\n")
    film = tmp_path / "leaking/train/normal/000.png"
    (tmp_path / "leaking/val/normal/copy.png").write_bytes(film.read_bytes())
    film = tmp_path / "damaged/train/normal/000.png"
    film.write_bytes(film.read_bytes()[:-200])
    for name in ("one", "leaking", "damaged", "strange", "gone"):
        (tmp_path / name / "about.toml").write_text('dataset = "made"\nlicence = "CC0"\n')
    result = call(*command.split())
    assert result.exit_code == 2
    assert BAD_INPUT[command] in result.stderr
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) <= 3
    assert "Traceback" not in result.stderr
    assert not list((tmp_path / "runs").glob("*")) + list((tmp_path / "runs").glob(".*"))
