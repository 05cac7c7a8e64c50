"""The gate: features that a file's size and grey curve do not change, reasons, and its file."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diagnosis.artifacts import open_artifact
from diagnosis.artifacts.card import Card
from diagnosis.errors import ArtifactRefused, CardRefused, DigestMismatch
from diagnosis.gate import SIZE, SPOILS, Parameters, features, look, statistics, verdict
from diagnosis.telemetry.metrics import LABELS
from tests.fixtures.artifacts import change_card, variant
from tests.fixtures.gates import blot, film, film_gate, give_gate, open_film_gate

# One worker fits the gate, not every one.
pytestmark = pytest.mark.xdist_group("film-gate")

#: Of the held-out films; the threshold may refuse one in fifty.
FILMS = [film(seed) for seed in range(2000, 2012)]


def apart(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.abs(features(first) - features(second)).mean())


def resized(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("shape", [(16, 16), (17, 400), (300, 50, 3), (1300, 1600)])
def test_every_image_gives_the_same_number_of_finite_features(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    for pixels in (
        np.zeros(shape, np.uint8),
        np.full(shape, 255, np.uint8),
        rng.integers(0, 256, shape).astype(np.uint8),
    ):
        found = features(pixels)
        assert found.shape == (SIZE,)
        assert np.isfinite(found).all()


def test_a_grey_image_looks_the_same_with_one_channel_and_with_three() -> None:
    for pixels in (
        film(2000),
        np.random.default_rng(3).integers(0, 256, (90, 61)).astype(np.uint8),
    ):
        grey = look(pixels)
        colour = look(np.repeat(pixels[..., np.newaxis], 3, axis=2))
        assert np.array_equal(grey.thumbnail, colour.thumbnail)
        assert np.array_equal(grey.features, colour.features)
        # One coloured pixel, and there is colour.
        spot = np.repeat(pixels[..., np.newaxis], 3, axis=2)
        spot[30:50, 20:40] = (250, 10, 10)
        assert not np.array_equal(look(spot).features, grey.features)


def test_statistics_say_what_a_person_sees_and_stay_from_0_to_1() -> None:
    halves = np.zeros((64, 64), np.uint8)
    # Not side by side: a plain side would be cut off as a frame.
    halves[:32, 32:] = halves[32:, :32] = 255
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 0] = 200
    noise = np.random.default_rng(1).integers(0, 256, (32, 32)).astype(np.uint8)
    black, white, split, coloured, noisy, smooth = (
        statistics(features(one))
        for one in (np.zeros((64, 64), np.uint8), 255 - np.zeros((64, 64), np.uint8), halves,
                    red, noise, film(2000))
    )  # fmt: skip
    assert (black["brightness"], black["dark"], black["bright"]) == (0, 1, 0)
    assert black["contrast"] == pytest.approx(0)
    assert (white["brightness"], white["dark"], white["bright"]) == (pytest.approx(1), 0, 1)
    assert split["contrast"] == pytest.approx(1, abs=0.05)
    # But for the seam, which is blurred.
    assert (split["dark"], split["bright"]) == pytest.approx((0.45, 0.45), abs=0.05)
    assert coloured["colour"] == pytest.approx(200 / 255)
    assert black["colour"] == 0
    assert noisy["sharpness"] > 0.9 > 3 * smooth["sharpness"]
    for wild in (-1e300, 1e300):
        found = statistics(np.full(SIZE, wild))
        assert all(0 <= value <= 1 for value in found.values())


def test_every_reason_of_the_gate_is_one_that_is_counted() -> None:
    source = Path(verdict.__file__).read_text(encoding="utf-8")
    written = set(re.findall(r'code="(gate-[a-z-]+)"', source))
    spoilt = {f"gate-{one.replace('_', '-')}" for one in SPOILS}
    assert written | spoilt == set(LABELS["sightline_gate_refusals", "reason"])


def test_size_depth_and_frame_of_a_file_say_next_to_nothing() -> None:
    one, other = FILMS[0], FILMS[1]
    between = apart(one, blot(0))
    assert apart(one, resized(one, 1600, 1300)) < 0.15 * between
    assert apart(one, one.astype(np.uint16) * 257) < 1e-9
    assert apart(one, np.repeat(one[..., None], 3, axis=2)) < 1e-9
    assert apart(one, np.pad(one, ((0, 0), (20, 20)))) < 0.15 * between
    assert apart(one, one // 2) < 0.5 * between
    assert apart(one, other) < 0.7 * between


def test_good_images_pass_and_other_acquisitions_of_them_too() -> None:
    gate = open_film_gate()
    kept = [gate.judge(look(one)) for one in FILMS]
    assert sum(one.reading.passed for one in kept) >= len(FILMS) - 2
    assert all((one.reason is None) == one.reading.passed for one in kept)
    enlarged = [gate.reading(look(resized(one, 900, 700))).passed for one in FILMS]
    assert sum(enlarged) >= len(FILMS) - 2


@pytest.mark.parametrize(
    ("code", "spoil"),
    [
        ("gate-blank", lambda one: np.full_like(one, 90)),
        ("gate-noise", lambda one: np.random.default_rng(3).permuted(one)),
        ("gate-inverted", lambda one: 255 - one),
        ("gate-upside-down", lambda one: one[::-1, ::-1]),
        ("gate-turned", np.rot90),
        (
            "gate-coloured",
            lambda one: np.stack([one, one // 10 * 6, one // 10 * 3], axis=2),
        ),
        ("gate-other-kind", lambda one: blot(700)),
    ],
)
def test_what_is_wrong_is_named_with_what_to_do(code: str, spoil: object) -> None:
    assert callable(spoil)
    gate = open_film_gate()
    verdicts = [gate.judge(look(np.ascontiguousarray(spoil(one)))) for one in FILMS[:6]]
    assert not any(one.reading.passed for one in verdicts)
    assert all(one.reading.score < one.reading.threshold for one in verdicts)
    reasons = [one.reason for one in verdicts if one.reason]
    assert sum(one.code == code for one in reasons) >= 5, [one.code for one in reasons]
    for one in reasons:
        assert one.detail.endswith(".")
        assert one.remedy.endswith(".")


def test_a_kind_is_named_only_where_it_was_fitted() -> None:
    gate = open_film_gate()
    verdict = gate.judge(look(blot(701)))
    assert verdict.reason is not None
    assert "a skin photograph" in verdict.reason.detail
    assert "a chest X-ray" in verdict.reason.detail
    checks = {one.kind: one for one in gate.gate.checks}
    assert checks["blots"].fitted
    assert checks["blots"].refused.value == 1.0
    assert checks["good images"].good


def test_the_file_holds_exactly_the_numbers_of_its_record() -> None:
    made = film_gate()
    again = Parameters.from_bytes(made.content, made.gate)
    assert again.to_bytes() == made.content
    for content in (made.content[:-4], made.content + bytes(4), b""):
        with pytest.raises(ValueError, match="bytes"):
            Parameters.from_bytes(content, made.gate)
    wrong = np.frombuffer(made.content, "<f4").copy()
    wrong[7] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        Parameters.from_bytes(wrong.tobytes(), made.gate)
    wrong = np.frombuffer(made.content, "<f4").copy()
    wrong[SIZE : SIZE + 1] = 0
    with pytest.raises(ValueError, match="divisor"):
        Parameters.from_bytes(wrong.tobytes(), made.gate)


def test_an_artifact_brings_its_gate_verified(tiny_artifact: Path, tmp_path: Path) -> None:
    folder = variant(tiny_artifact, tmp_path / "one")
    assert open_artifact(folder).gate is None
    made = give_gate(folder)
    artifact = open_artifact(folder)
    assert artifact.gate == made.content
    assert artifact.card.gate == made.gate
    path = folder / made.record().name
    path.write_bytes(made.content[:-1] + b"x")
    with pytest.raises(DigestMismatch):
        open_artifact(folder)
    path.write_bytes(made.content)
    fewer = made.gate.model_copy(update={"components": made.gate.components - 1})
    change_card(folder, lambda card: card.model_copy(update={"gate": fewer}))
    with pytest.raises(ArtifactRefused) as refused:
        open_artifact(folder)
    assert str(refused.value.cause).startswith("gate: ")


def test_a_card_has_both_halves_of_a_gate_or_none(tiny_artifact: Path, tmp_path: Path) -> None:
    folder = variant(tiny_artifact, tmp_path / "one")
    give_gate(folder)
    card = Card.from_json((folder / "card.json").read_bytes())
    with pytest.raises(CardRefused):
        Card.from_json(card.model_copy(update={"gate": None}).to_json())
