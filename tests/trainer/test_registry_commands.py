"""Commands about the registry that need no training: keys, promotion by name, diff, list."""

import json
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from diagnosis.artifacts import Card, Registry, storage_at
from tests.diagnosis.artifacts.test_promotion import measured
from tests.fixtures.artifacts import change_card, variant
from trainer.cli import app

CHEST = "chest_xray_pneumonia"


def call(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def two(tiny_artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A registry whose live version 1 catches more than the waiting version 2."""
    root = tmp_path / "registry"
    monkeypatch.setenv("SIGHTLINE_TRAINER_REGISTRY", str(root))
    one = measured(variant(tiny_artifact, tmp_path / "v1", version="1"), chosen=0.9)
    two = measured(variant(tiny_artifact, tmp_path / "v2", version="2"), chosen=0.8, threshold=0.4)

    def retrained(card: Card) -> Card:
        training = card.training.model_copy(update={"recipe": "[bold]other", "images": 7})
        return card.model_copy(update={"training": training})

    change_card(two, retrained)
    for folder in (one, two):
        Registry(root).publish(folder)
    assert call("promote", CHEST, "1").exit_code == 0
    return root


def test_a_lower_sensitivity_goes_live_only_by_name(two: Path) -> None:
    refused = call("promote", CHEST, "2")
    assert refused.exit_code == 2
    assert "--acknowledge-lower-sensitivity NAME" in refused.stderr
    assert call("promote", CHEST, "2", "--acknowledge-lower-sensitivity", "A. B.").exit_code == 0
    assert Registry(two).state(CHEST).history[-1].acknowledged_by == "A. B."


def test_list_says_when_a_state_changed(two: Path) -> None:
    rows = json.loads(call("list", "--json").stdout)["versions"]
    assert [(row["version"], row["role"]) for row in rows] == [("1", "live"), ("2", "published")]
    assert rows[0]["changed_at"].startswith("20")
    assert rows[1]["changed_at"] is None


def test_diff_names_what_differs_and_nothing_else(two: Path) -> None:
    found = json.loads(call("diff", CHEST, "1", "2", "--json").stdout)["differences"]
    assert {(one["part"], one["field"]): (one["before"], one["after"]) for one in found} == {
        ("thresholds", "operating_points.balanced.threshold"): (0.5, 0.4),
        ("thresholds", "operating_points.balanced.sensitivity"): (
            "0.900 (0.850 to 0.950)",
            "0.800 (0.750 to 0.850)",
        ),
        ("recipe", "training.recipe"): ("tiny", "[bold]other"),
        ("data", "training.images"): (1, 7),
    }
    assert "[bold]other" in call("diff", CHEST, "1", "2").stdout
    assert "say the same" in call("diff", CHEST, "1", "1").stdout
    missing = call("diff", CHEST, "1", "9")
    assert missing.exit_code == 2
    assert "no version 9" in missing.stderr


def test_a_key_is_made_once_and_an_unsigned_version_is_refused(
    two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = call("make-key", "--out", tmp_path / "private.pem")
    assert made.exit_code == 0
    assert made.stdout.startswith("-----BEGIN PUBLIC KEY-----")
    assert stat.S_IMODE((tmp_path / "private.pem").stat().st_mode) == 0o600
    assert call("make-key", "--out", tmp_path / "private.pem").exit_code == 2
    public = tmp_path / "public.pem"
    public.write_text(made.stdout)
    monkeypatch.setenv("SIGHTLINE_TRAINER_CARD_KEY_FILE", str(public))
    refused = call("promote", CHEST, "1")
    assert refused.exit_code == 2
    assert "signature-missing" in refused.stderr
    public.write_text("no key")
    assert "no public key" in call("promote", CHEST, "1").stderr


def test_the_commands_work_on_a_bucket(
    tiny_artifact: Path, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = f"s3://{bucket}/models"
    monkeypatch.setenv("SIGHTLINE_TRAINER_REGISTRY_CACHE_DIR", str(tmp_path / "cache"))
    for version in ("1", "2"):
        folder = measured(variant(tiny_artifact, tmp_path / version, version=version), chosen=0.9)
        Registry(storage_at(place, tmp_path / "other")).publish(folder)
    for version in ("1", "2"):
        done = call(
            "promote", CHEST, version, "--registry", place, "--acknowledge-lower-sensitivity", "A."
        )
        assert done.exit_code == 0, done.stderr
    assert call("rollback", CHEST, "--registry", place).exit_code == 0
    assert call("retire", CHEST, "2", "--registry", place).exit_code == 0
    rows = json.loads(call("list", "--json", "--registry", place).stdout)["versions"]
    assert [(row["version"], row["role"]) for row in rows] == [("1", "live"), ("2", "retired")]
    assert call("diff", CHEST, "1", "2", "--registry", place).exit_code == 0
    refused = call("list", "--registry", "s3://no-such-bucket-at-all")
    assert refused.exit_code == 2
    assert "The registry's bucket cannot be used." in refused.stderr
