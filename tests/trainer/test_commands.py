"""The commands from data to a live artifact, on made images."""

import hashlib
import json
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diagnosis import WARNING
from diagnosis.artifacts import open_artifact
from diagnosis.catalogue import disease
from diagnosis.judgement import softmax
from tests.fixtures.artifacts import make_artifact
from tests.fixtures.processor import computes
from tests.trainer.conftest import MakeImages, call
from trainer.refusals import TrainerRefused
from trainer.run import Run

pytestmark = [
    # One worker trains, not every one.
    pytest.mark.xdist_group("trainer-commands"),
    pytest.mark.usefixtures("own_folders"),
    # TensorFlow's variables and NumPy 2 disagree on a keyword; nothing of ours.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]
CHEST = "chest_xray_pneumonia"
#: A name of the class folder found in the wild.
ILL = disease("chest_xray_pneumonia").classes[1].aliases[-1]
FIGURES = (
    "accuracy", "balanced_accuracy", "auc", "sensitivity", "specificity", "ece",
    "sensitivity_at_specificity_88",
)  # fmt: skip


@pytest.fixture(scope="module")
def run(home: Path, films: Path) -> Path:
    """A candidate, trained once for all tests of this module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIGHTLINE_TRAINER_CACHE_DIR", str(home / "cache"))
        result = call(
            "train", "chest_xray_pneumonia", "--data", films, "--recipe", "cnn5", "--laptop",
            "--epochs", 8, "--out", home / "run",
        )  # fmt: skip
    assert result.exit_code == 0, result.output
    return home / "run"


@pytest.fixture(scope="module")
def registry(home: Path, run: Path) -> Path:
    """A registry with the candidate published twice."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIGHTLINE_TRAINER_CACHE_DIR", str(home / "cache"))
        patch.setenv("SIGHTLINE_TRAINER_MODELS_DIR", str(home / "models"))
        for _ in range(2):
            result = call("publish", run, "--registry", home / "registry")
            assert result.exit_code == 0, result.output
    return home / "registry"


def evaluation(*arguments: object) -> dict[str, Any]:
    result = call("evaluate", *arguments, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_a_run_leaves_a_whole_candidate(run: Path) -> None:
    artifact = open_artifact(run)
    card = artifact.card
    assert card.training.images == 60
    assert card.training.per_class == {"normal": 24, "pneumonia": 36}
    assert {one.name for one in card.operating_points} == {"rule_out", "balanced", "rule_in"}
    assert card.evaluation.images == 36
    assert card.evaluation.figures["auc"].value > 0.8
    assert card.evaluation.baseline_always_finding["specificity"] == 0.0
    assert {one.class_id for one in card.demo_images} <= {"normal", "pneumonia"}
    assert len((run / "scores.csv").read_text().splitlines()) == 1 + 36
    history = json.loads((run / "history.json").read_text())
    assert {"loss", "val_loss", "accuracy", "val_accuracy", "phase", "epoch"} == set(history[0])


def test_the_card_says_the_licence_and_that_nobody_signed_the_data_off(run: Path) -> None:
    card = open_artifact(run).card
    assert card.licence == "CC0, made"
    assert card.training.settings["data_sign_off"] == "none"
    assert str(card.training.settings["data_listing"]).startswith("sha256:")


def test_leakage_that_is_allowed_is_a_limitation_on_the_card(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "films"
    shutil.copytree(films, data)
    (data / "val/NORMAL/copy.png").write_bytes((data / "train/NORMAL/000.png").read_bytes())
    seen: list[Run] = []

    def instead(run: Run, _place: object) -> None:
        seen.append(run)
        raise TrainerRefused("Seen.")

    monkeypatch.setattr("trainer.train.fit_all", instead)
    wanted = (
        "train",
        CHEST,
        "--data",
        data,
        "--recipe",
        "cnn5",
        "--laptop",
        "--out",
        tmp_path / "r",
    )
    assert "stand in two splits" in call(*wanted).stderr
    assert seen == []
    assert "Seen." in call(*wanted, "--allow-leakage", "to try it").stderr
    assert "Seen." in call(*wanted, "--leave-copies-out").stderr
    allowed, left_out = seen
    (limitation,) = allowed.about.limitations
    assert limitation.startswith("Leakage was allowed (to try it): 1 image(s) stand in two splits")
    assert left_out.about.limitations == ()
    assert [len(one.data.of("train").examples) for one in seen] == [60, 59]
    assert not (tmp_path / "r").exists()


def test_the_report_stands_by_itself(run: Path) -> None:
    page = (run / "report.html").read_text()
    assert WARNING in page
    assert page.count("<svg") == 6
    for outside in ("http://cdn", "https://", "<script", "<link", "url(http", ' src="'):
        assert outside not in page.replace('xmlns="http://www.w3.org/2000/svg"', "")
    report = json.loads((run / "report.json").read_text())
    assert report["warning"] == WARNING
    assert set(FIGURES) <= set(report["figures"])
    assert set(report["per_class"]["normal"]) == {"precision", "recall", "f1", "support"}


def test_the_best_epoch_is_the_one_that_was_kept(run: Path, films: Path) -> None:
    """The saved model has the least validation loss of all epochs, not the last one's."""

    rows = [row.split(",") for row in (run / "scores.csv").read_text().splitlines()[1:]]
    logits = np.array([[float(one) for one in row[4:]] for row in rows])
    labels = np.array([int(row[2] == "pneumonia") for row in rows])
    loss = -np.log(softmax(logits)[np.arange(len(labels)), labels])
    by_class = np.mean([loss[labels == 0].mean(), loss[labels == 1].mean()])
    history = json.loads((run / "history.json").read_text())
    assert by_class == pytest.approx(min(one["val_loss"] for one in history), abs=0.02)


def test_evaluate_prints_one_json_object_with_everything(run: Path, films: Path) -> None:
    found = evaluation(run, "--data", films)
    assert found["n"] == 36
    assert found["split"] == "val"
    assert found["per_class"] == {"normal": 16, "pneumonia": 20}
    assert found["operating_point"] == "balanced"
    assert found["threshold"] == open_artifact(run).card.operating_point().threshold
    assert sum(sum(row.values()) for row in found["confusion"].values()) == 36
    for name in FIGURES:
        assert set(found[name]) == {"value", "low", "high"}
        assert 0 <= found[name]["low"] <= found[name]["high"] <= 1
    card = open_artifact(run).card.evaluation.figures
    for name in FIGURES:
        assert found[name]["value"] == pytest.approx(card[name].value, abs=1e-4)


def test_evaluate_is_deterministic(run: Path, films: Path) -> None:
    first, second = (call("evaluate", run, "--data", films, "--json") for _ in range(2))
    assert first.stdout == second.stdout


def test_evaluate_says_what_knowing_nothing_would_score(run: Path, films: Path) -> None:
    found = evaluation(run, "--data", films)
    assert found["majority_class"] == "pneumonia"
    assert found["baseline_majority"]["accuracy"] == pytest.approx(20 / 36)
    assert found["baseline_always_finding"]["specificity"] == 0.0
    assert set(found["operating_points"]) == {"rule_out", "balanced", "rule_in"}
    at_rest = found["operating_points"]["balanced"]["sensitivity"]
    assert at_rest["value"] == found["sensitivity"]["value"]
    assert found["class_figures"]["normal"]["sensitivity"] == found["specificity"]
    assert set(found["conformal_coverage"]) == {"normal", "pneumonia"}
    wrong = 36 - sum(found["confusion"][name][name] for name in found["confusion"])
    assert len(found["worst_mistakes"]) == wrong
    card = open_artifact(run).card.evaluation
    assert card.baseline_majority == pytest.approx(found["baseline_majority"])
    assert "ppv_at_prevalence_1" in card.operating_points["rule_out"]
    shown = call("evaluate", run, "--data", films).stdout
    for words in ("always", "finding", "brier", "ece_uncalibrated", "called pneumonia", "rule_out"):
        assert words in shown
    assert WARNING in shown


def test_subgroups_come_from_the_columns_of_the_manifest(
    run: Path, films: Path, tmp_path: Path, write_manifest: Callable[..., Path]
) -> None:
    shutil.copytree(films, tmp_path / "films")
    rows = [
        {
            "path": str(path.relative_to(tmp_path)),
            "label": path.parent.name,
            "sex": "female" if number % 3 else "male",
            "note": str(number),
        }
        for number, path in enumerate(sorted((tmp_path / "films").rglob("*.png")))
    ]
    write_manifest(tmp_path, rows)
    found = evaluation(run, "--data", tmp_path)
    parts = {(one["column"], one["level"]): one for one in found["subgroups"]}
    assert set(parts) == {("sex", "female"), ("sex", "male")}
    assert sum(one["n"] for one in parts.values()) == found["n"] == 96
    assert not parts["sex", "female"]["too_few"]
    assert parts["sex", "female"]["figures"]["auc"]["value"] > 0.5
    assert list(found["subgroups_left_out"]) == ["note"]


def test_images_of_patients_stay_with_the_run(run: Path, registry: Path, films: Path) -> None:
    """The worst mistakes stand on the run's own page, and nowhere in what is published."""
    assert "Worst mistakes" in (run / "report-with-images.html").read_text()
    for folder in (run, registry / CHEST / "1"):
        report = (folder / "report.html").read_text()
        assert "<img" not in report
        assert "data:image" not in report
    published = {path.name for path in (registry / CHEST / "1").rglob("*")}
    assert "report.html" in published
    assert "report-with-images.html" not in published
    text = (run / "report.json").read_text() + (run / "report.html").read_text()
    assert not [path.name for path in films.rglob("*.png") if path.name in text]


def test_the_page_of_an_evaluation_shows_the_worst_mistakes_unless_told_not_to(
    run: Path, home: Path, tmp_path: Path, make_images: MakeImages
) -> None:
    made = make_images(tmp_path / "made", {"NORMAL": 12, "PNEUMONIA": 12}, start=500)
    # Healthy films among the ill ones and the other way round: nearly all are mistakes.
    (made / "NORMAL").rename(made / "swapped")
    (made / "PNEUMONIA").rename(made / "NORMAL")
    (made / "swapped").rename(made / "PNEUMONIA")
    found = evaluation(run, "--data", made)
    assert found["accuracy"]["value"] < 0.5
    worst = [one["probability_of_the_true_class"] for one in found["worst_mistakes"]]
    assert worst == sorted(worst)
    assert {one["true"] for one in found["worst_mistakes"]} == {"normal", "pneumonia"}
    pages = []
    for choice in ("--images", "--no-images"):
        result = call("evaluate", run, "--data", made, "--out", home / "wrong.html", choice)
        assert result.exit_code == 0, result.output
        pages.append((home / "wrong.html").read_text())
    assert pages[0].count('<img src="data:image/jpeg;base64,') == len(worst)
    assert "<img" not in pages[1]


def test_publish_refuses_a_report_with_images(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    with (tmp_path / "run" / "report.html").open("a") as file:
        file.write('<img src="data:image/jpeg;base64,">')
    result = call("publish", tmp_path / "run", "--registry", tmp_path / "registry")
    assert result.exit_code == 2
    assert "may show patients" in result.stderr
    assert not (tmp_path / "registry").exists()


def test_two_artifacts_are_compared_on_the_same_images(
    run: Path, registry: Path, films: Path, home: Path, tmp_path: Path
) -> None:
    other = make_artifact(tmp_path / "other", with_ir=False)
    page = home / "comparison.html"
    result = call("compare", other, run, "--data", films, "--json", "--out", page)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["n"], found["split"]) == (36, "val")
    area = found["differences"]["auc"]
    assert area["value"] == pytest.approx(area["b"] - area["a"], abs=2e-6)
    assert area["b"] == evaluation(run, "--data", films)["auc"]["value"]
    assert area["value"] == pytest.approx(found["auc_delong"]["difference"], abs=2e-6)
    assert f"{found['b']['name']} is better on AUC" in found["verdict"]
    text = page.read_text()
    assert WARNING in text
    assert text.count("<svg") == 2
    assert "<img" not in text
    shown = call("compare", f"{CHEST}@1", f"{CHEST}@2", "--data", films).stdout
    assert "No difference shown" in shown
    assert WARNING in shown


def test_artifacts_of_two_diseases_cannot_be_compared(
    run: Path, films: Path, tmp_path: Path
) -> None:
    other = make_artifact(
        tmp_path / "other",
        disease="malaria_cell",
        classes=("parasitized", "uninfected"),
        finding="parasitized",
        with_ir=False,
    )
    result = call("compare", run, other, "--data", films)
    assert result.exit_code == 2
    assert "only artifacts of one disease" in result.stderr


def test_splits_and_operating_points_can_be_chosen(run: Path, films: Path, home: Path) -> None:
    found = evaluation(run, "--data", films, "--split", "train", "--operating-point", "rule_in")
    assert (found["n"], found["split"], found["operating_point"]) == (60, "train", "rule_in")
    assert found["threshold"] == open_artifact(run).card.operating_point("rule_in").threshold
    result = call("evaluate", run, "--data", films, "--out", home / "evaluation.html")
    assert result.exit_code == 0, result.output
    assert WARNING in (home / "evaluation.html").read_text()


def test_other_names_missing_classes_and_foreign_files_are_taken(
    run: Path, tmp_path: Path, make_images: MakeImages
) -> None:
    make_images(tmp_path / "odd", {f"{ILL.title()}/ward 1": 5}, start=900)
    (tmp_path / "odd" / ILL.title() / "notes.txt").write_text("notes")
    (tmp_path / "odd" / ILL.title() / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    found = evaluation(run, "--data", tmp_path / "odd")
    assert found["n"] == 5
    assert found["split"] == "all"
    assert found["skipped"]["count"] == 2
    assert found["auc"] == {"value": None, "low": None, "high": None}
    assert found["sensitivity"]["value"] is not None


def test_names_in_odd_cases_deep_folders_and_foreign_files_change_no_byte(
    run: Path, tmp_path: Path, make_images: MakeImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    healthy, ill = "no-FINDING", ILL.upper().replace(" ", "_")
    make_images(tmp_path / "odd", {f"normal-{healthy}": 3, ill: 4, f"{ill}/w": 2})
    (tmp_path / "odd" / f"normal-{healthy}").rename(tmp_path / "odd" / healthy)
    (tmp_path / "odd/README").write_text("loose")
    (tmp_path / "odd" / healthy / "sheet.csv").write_text("a,b")
    broken = (tmp_path / "odd" / ill / "000.png").read_bytes()[:-300]
    (tmp_path / "odd" / ill / "broken.png").write_bytes(broken)
    outputs = []
    for cache in ("one", "one", "two"):
        monkeypatch.setenv("SIGHTLINE_TRAINER_CACHE_DIR", str(tmp_path / cache))
        outputs.append(call("evaluate", run, "--data", tmp_path / "odd", "--json").stdout)
    assert outputs[0] == outputs[1] == outputs[2]
    found = json.loads(outputs[0])
    assert found["per_class"] == {"normal": 3, "pneumonia": 6}
    assert (found["n"], found["groups"], found["split"]) == (9, 9, "all")
    assert found["skipped"]["reasons"] == {
        "damaged-image": 1,
        "not-an-image": 1,
        "outside-class-folders": 1,
    }


def test_more_than_two_classes_are_decided_by_the_largest(
    tmp_path: Path, make_images: MakeImages
) -> None:
    artifact = make_artifact(
        tmp_path / "artifact",
        disease="breast_ultrasound",
        classes=("benign", "malignant", "normal"),
        finding="malignant",
        with_ir=False,
    )
    make_images(tmp_path / "d", {"Benign": 5, "cancer": 6, "HEALTHY": 7})
    found = evaluation(artifact, "--data", tmp_path / "d", "--operating-point", "rule_out")
    assert (found["decision"], found["threshold"]) == ("argmax", None)
    table = found["confusion"]
    assert {name: sum(row.values()) for name, row in table.items()} == found["per_class"]
    caught = table["malignant"]["malignant"]
    alarms = table["benign"]["malignant"] + table["normal"]["malignant"]
    assert found["finding"] == "malignant"
    assert found["sensitivity"]["value"] == pytest.approx(caught / 6, abs=1e-6)
    assert found["specificity"]["value"] == pytest.approx(1 - alarms / 12, abs=1e-6)
    right = sum(table[name][name] for name in table)
    assert found["accuracy"]["value"] == pytest.approx(right / 18, abs=1e-6)
    assert set(FIGURES) <= set(found)


def test_a_published_artifact_is_whole_and_answers_as_the_candidate(
    run: Path, registry: Path, films: Path
) -> None:
    artifact = open_artifact(registry / "chest_xray_pneumonia" / "2")
    card = artifact.card
    assert card.version == "2"
    assert artifact.ir_xml is not None
    assert len(card.golden) == len(card.demo_images)
    if computes("bf16"):
        assert card.precisions["bf16"].images == 36
    else:
        assert "bf16" not in card.precisions
    assert not (registry / "chest_xray_pneumonia/2/run.json").exists()
    assert not (registry / "chest_xray_pneumonia/2/scores.csv").exists()
    served = evaluation(registry / "chest_xray_pneumonia" / "2", "--data", films)
    assert served["engine"] == "openvino-f32"
    trained = evaluation(run, "--data", films)
    assert trained["engine"] == "keras"
    assert served["confusion"] == trained["confusion"]
    assert served["auc"] == trained["auc"]


def test_versions_go_live_come_back_and_retire(registry: Path, films: Path) -> None:
    name = "chest_xray_pneumonia"
    assert call("evaluate", name, "--data", films, "--json").exit_code == 2
    for version in ("1", "2"):
        assert call("promote", name, version).exit_code == 0
        assert evaluation(name, "--data", films)["version"] == version
    assert call("rollback", name).exit_code == 0
    assert evaluation(name, "--data", films)["version"] == "1"
    assert call("retire", name, "2").exit_code == 0
    rows = json.loads(call("list", "--json").stdout)["versions"]
    assert all(datetime.fromisoformat(row.pop("changed_at")) for row in rows)
    assert rows == [
        {"disease": name, "version": "1", "role": "live"},
        {"disease": name, "version": "2", "role": "retired"},
    ]
    assert "retired" in call("list").stdout
    assert call("promote", name, "9").exit_code == 2


def test_without_a_registry_the_shipped_artifact_is_live(
    registry: Path, films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGHTLINE_TRAINER_REGISTRY", str(tmp_path / "none"))
    monkeypatch.setenv("SIGHTLINE_TRAINER_MODELS_DIR", str(registry))
    assert evaluation("chest_xray_pneumonia", "--data", films)["version"] == "2"
    assert not (tmp_path / "none").exists()


def test_what_the_machine_refuses_is_a_sentence_too(
    run: Path, films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("SIGHTLINE_TRAINER_CACHE_DIR", str(tmp_path / "file" / "cache"))
    result = call("evaluate", run, "--data", films)
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"{tmp_path}/file/cache")
    assert line.endswith("cannot be used: Not a directory.")
    monkeypatch.setenv("SIGHTLINE_TRAINER_WORKERS", "many")
    result = call("list")
    assert result.exit_code == 2
    assert result.stderr.startswith("SIGHTLINE_TRAINER_WORKERS: Input should be a valid integer")


def test_evaluate_refuses_an_unknown_class_a_missing_split_and_a_tampered_model(
    run: Path, films: Path, tmp_path: Path, make_images: MakeImages
) -> None:
    make_images(tmp_path / "odd", {"normal": 1, "cats": 1})
    assert "'cats'" in call("evaluate", run, "--data", tmp_path / "odd").stderr
    assert "no split 'test'" in call("evaluate", run, "--data", films, "--split", "test").stderr
    copy = tmp_path / "artifact"
    copy.mkdir()
    for name in ("card.json", "model.keras"):
        (copy / name).write_bytes((run / name).read_bytes())
    content = bytearray((copy / "model.keras").read_bytes())
    content[len(content) // 2] ^= 1
    (copy / "model.keras").write_bytes(bytes(content))
    result = call("evaluate", copy, "--data", films)
    assert result.exit_code == 2
    assert hashlib.sha256(content).hexdigest() in result.stderr
