"""OpenVINO and the Keras reference give the same answers, for every artifact there is."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from diagnosis.artifacts import Card, VerifiedArtifact, open_artifact
from diagnosis.artifacts.card import sealed
from diagnosis.catalogue import disease
from diagnosis.errors import ArtifactRefused
from diagnosis.images import read_image
from diagnosis.judgement import probabilities
from inference_service.engines import Engine, Precision, make_engine
from inference_service.loading import loader, proved
from tests.fixtures.decoders import shared
from tests.fixtures.live_service import DISEASE, settings_in
from tests.fixtures.processor import computes

ROOT = Path(__file__).parents[2]
#: Outputs of the Keras reference, by the digest of the artifact; heatmaps by `<digest> maps`.
References = dict[str, NDArray[np.float32]]

SHIPPED = sorted((ROOT / "models").glob("*/*/card.json"))

pytestmark = pytest.mark.xdist_group("golden")

#: Runs the reference in a process of its own: TensorFlow stays out of this one. FOLDER holds
#: `<name>.keras`, `<name>.json` and `<name>.in.npy` of each artifact and gets `<name>.out.npy`, and
#: the heatmaps of the first input as `<name>.map.npy` where the card says how they are made.
REFERENCE = """
import sys
from pathlib import Path
import numpy as np
from diagnosis.artifacts import Card
from inference_service.engines.keras_engine import KerasEngine
for model in Path(sys.argv[1]).glob("*.keras"):
    card = Card.from_json(model.with_suffix(".json").read_bytes())
    engine = KerasEngine(model.read_bytes(), card=card)
    inputs = np.load(model.with_suffix(".in.npy"))
    np.save(model.with_suffix(".out.npy"), engine.predict(inputs))
    if engine.explains:
        np.save(model.with_suffix(".map.npy"), engine.explain(inputs[0]))
"""


def inputs(artifact: VerifiedArtifact) -> NDArray[np.float32]:
    """The demo images and some noise, as a batch."""
    card = artifact.card
    arrays = []
    for data in artifact.demo_images.values():
        image = read_image(data, decode_at_least=card.preprocessing.decode_at_least)
        arrays.append(card.preprocessing.apply(image.pixels))
    noise = np.random.default_rng(5).integers(0, 256, (4, 300, 280), dtype=np.uint8)
    arrays += [card.preprocessing.apply(one) for one in noise]
    return np.stack(arrays)


@pytest.fixture(scope="module")
def references(artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> References:
    """What Keras on TensorFlow answers for `inputs`, once for all, because it starts slowly."""
    folder = tmp_path_factory.mktemp("reference")
    digests = {}
    for number, place in enumerate([artifacts / DISEASE / "1", *(one.parent for one in SHIPPED)]):
        artifact = open_artifact(place)
        (folder / f"{number}.keras").write_bytes(artifact.keras)
        (folder / f"{number}.json").write_bytes(artifact.card.to_json())
        np.save(folder / f"{number}.in.npy", inputs(artifact))
        digests[artifact.digest] = folder / f"{number}.out.npy"
    ran = subprocess.run(
        [sys.executable, "-c", REFERENCE, folder],
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"},
        check=False,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    outputs = {digest: np.load(path) for digest, path in digests.items()}
    maps = {
        f"{digest} maps": path.with_suffix("").with_suffix(".map.npy")
        for digest, path in digests.items()
    }
    return outputs | {name: np.load(path) for name, path in maps.items() if path.exists()}


def openvino(artifact: VerifiedArtifact, cache: Path) -> Engine:
    return make_engine(
        "openvino", artifact, threads=2, conversion_cache=cache, conversion_seconds=120
    )


def agree(artifact: VerifiedArtifact, engine: Engine, reference: NDArray[np.float32]) -> None:
    batch = inputs(artifact)
    expected = probabilities(reference, artifact.card)
    together = probabilities(engine.predict(batch), artifact.card)
    assert together == pytest.approx(expected, abs=1e-3)
    alone = [probabilities(engine.predict(one[np.newaxis]), artifact.card)[0] for one in batch]
    assert np.stack(alone) == pytest.approx(expected, abs=1e-3)


def explain_alike(
    artifact: VerifiedArtifact, engine: Engine, reference: NDArray[np.float32]
) -> None:
    """Heatmaps by OpenVINO and by Keras differ by rounding alone."""
    found = engine.explain(inputs(artifact)[0])
    assert found.shape == reference.shape
    strongest = float(np.abs(reference).max())
    assert strongest > 0
    assert np.abs(found - reference).max() <= 0.03 * strongest


def test_the_tiny_artifact(artifacts: Path, tmp_path: Path, references: References) -> None:
    artifact = open_artifact(artifacts / DISEASE / "1")
    engine = openvino(artifact, tmp_path / "cache")
    agree(artifact, engine, references[artifact.digest])
    assert engine.explains
    explain_alike(artifact, engine, references[f"{artifact.digest} maps"])
    assert not (tmp_path / "cache").exists()
    assert engine.precision == "f32"


def test_something_ships() -> None:
    assert SHIPPED


@pytest.mark.parametrize("card", SHIPPED, ids=lambda path: "-".join(path.parts[-3:-1]))
@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_what_ships_loads_at_every_precision(
    card: Path, precision: Precision, tmp_path: Path
) -> None:
    """As the service loads it. Where the card does not allow a precision, f32 is taken."""
    folder = tmp_path / "service"
    load = loader(settings_in(folder, precision=precision), shared())
    artifact = open_artifact(card.parent)
    model = load(disease(artifact.card.disease), card.parent)
    check = artifact.card.precisions.get(precision)
    taken = check is not None and check.allowed and computes(precision)
    assert model.engine.precision == (precision if taken else "f32")
    model.engine.close()


@pytest.mark.parametrize("card", SHIPPED, ids=lambda path: "-".join(path.parts[-3:-1]))
def test_what_ships(card: Path, tmp_path: Path, references: References) -> None:
    artifact = open_artifact(card.parent)
    engine = openvino(artifact, tmp_path / "cache")
    assert artifact.card.golden, "a shipped artifact has golden outputs"
    proved(disease(artifact.card.disease), artifact, engine, shared())
    agree(artifact, engine, references[artifact.digest])
    assert engine.explains == (artifact.card.explanation is not None)
    if engine.explains:
        explain_alike(artifact, engine, references[f"{artifact.digest} maps"])


def test_an_artifact_without_a_graph_is_converted_once(
    artifacts: Path, tmp_path: Path, references: References
) -> None:
    whole = open_artifact(artifacts / DISEASE / "1")
    bare = VerifiedArtifact(whole.card, whole.keras, None, None, whole.demo_images)
    cache = tmp_path / "cache"
    converted = openvino(bare, cache)
    agree(bare, converted, references[whole.digest])
    # Its nodes have other names than those that the card was written for.
    assert not converted.explains
    [place] = cache.iterdir()
    assert place.name == whole.digest.removeprefix("sha256:")
    assert len(json.loads((place / "digests.json").read_text())) == 2
    made = {path.name: path.stat().st_mtime_ns for path in place.iterdir()}
    openvino(bare, cache)
    assert {path.name: path.stat().st_mtime_ns for path in place.iterdir()} == made
    # A cache that lost a byte is made again, not believed.
    graph = place / "model.bin"
    graph.write_bytes(graph.read_bytes()[:-1] + b"\x07")
    proved(disease(DISEASE), bare, openvino(bare, cache), shared())


def test_a_conversion_that_takes_too_long_or_fails_is_refused(
    artifacts: Path, tmp_path: Path
) -> None:
    whole = open_artifact(artifacts / DISEASE / "1")
    bare = VerifiedArtifact(whole.card, whole.keras, None, None, {})
    with pytest.raises(ArtifactRefused) as refused:
        make_engine("openvino", bare, conversion_cache=tmp_path, conversion_seconds=0.01)
    assert "more than 0.01 s" in str(refused.value.cause)
    broken = VerifiedArtifact(whole.card, b"PK nonsense", None, None, {})
    with pytest.raises(ArtifactRefused) as refused:
        make_engine("openvino", broken, conversion_cache=tmp_path, conversion_seconds=120)
    assert "the conversion failed" in str(refused.value.cause)
    assert list(tmp_path.iterdir()) == []


def test_a_lower_precision_is_used_only_where_the_card_allows_it(
    artifacts: Path, tmp_path: Path
) -> None:
    artifact = open_artifact(artifacts / DISEASE / "1")

    def precision(card: Card) -> str:
        changed = VerifiedArtifact(card, artifact.keras, artifact.ir_xml, artifact.ir_bin, {})
        engine = make_engine(
            "openvino", changed, precision="bf16", conversion_cache=tmp_path, conversion_seconds=1
        )
        return engine.precision

    assert precision(artifact.card) == "f32"
    for allowed in (True, False):
        check = {
            "allowed": allowed,
            "images": 1,
            "largest_probability_change": 0.0,
            "flipped_decisions": 0,
            "auc_change": 0.0,
        }
        text = json.loads(artifact.card.to_json()) | {"precisions": {"bf16": check}}
        card = Card.from_json(sealed(text))
        assert precision(card) == ("bf16" if allowed and computes("bf16") else "f32")


def test_a_graph_of_another_shape_is_refused(artifacts: Path, tmp_path: Path) -> None:
    artifact = open_artifact(artifacts / DISEASE / "1")
    three = artifact.card.model_copy(update={"classes": (*artifact.card.classes,) * 2})
    with pytest.raises(ArtifactRefused, match="checks"):
        openvino(
            VerifiedArtifact(three, artifact.keras, artifact.ir_xml, artifact.ir_bin, {}), tmp_path
        )
    with pytest.raises(ArtifactRefused, match="checks"):
        openvino(VerifiedArtifact(artifact.card, artifact.keras, b"<net/>", b"", {}), tmp_path)
