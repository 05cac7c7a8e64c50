"""`trainer export`: the graph that leaves for a browser answers as the artifact that is served."""

import json
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from diagnosis.artifacts import Card, open_artifact
from diagnosis.catalogue import disease as disease_of
from diagnosis.errors import NotPortable
from diagnosis.portable import PortableModel, portable, to_onnx
from tests.fixtures.artifacts import change_card
from trainer.cli import app
from trainer.engine import compile_ir
from trainer.export import _run, prove
from trainer.runtime import openvino
from trainer.settings import PROJECT

SHIPPED = sorted((PROJECT / "models").glob("*/*"))
CHEST = "chest_xray_pneumonia"


def call(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.parent.name)
def test_every_artifact_that_ships_answers_the_same_as_onnx(folder: Path) -> None:
    artifact = open_artifact(folder)
    made = portable(artifact, disease_of(artifact.card.disease))
    assert len(made.demo_images) >= 2
    assert prove(artifact, made) <= 1e-3
    # 16-bit weights stay 16 bit: the graph has to fit a ward's connection.
    assert artifact.ir_bin is not None
    assert len(made.onnx) < 1.03 * len(artifact.ir_bin)


def test_an_export_holds_all_that_a_device_needs(tiny_artifact: Path, tmp_path: Path) -> None:
    done = call("export", tiny_artifact, "--onnx", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    assert sorted(one.name for one in (tmp_path / "out").rglob("*.*")) == [
        "demo-0.png", "demo-1.png", "model.json", "model.onnx",
    ]  # fmt: skip
    model = PortableModel.model_validate_json((tmp_path / "out/model.json").read_bytes())
    assert model.disease == CHEST
    assert model.onnx.bytes == (tmp_path / "out/model.onnx").stat().st_size
    assert model.preprocessing.size == (model.width, model.height)
    assert {one.file for one in model.golden} == {"demo-0.png", "demo-1.png"}
    assert "A clinician decides." in model.warning


def test_a_folder_that_exists_is_left_alone(tiny_artifact: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("kept")
    refused = call("export", tiny_artifact, "--onnx", tmp_path)
    assert refused.exit_code == 2
    assert "exists already" in refused.stderr
    assert [one.name for one in tmp_path.iterdir()] == ["mine"]


def test_a_graph_that_answers_otherwise_is_not_written(tiny_artifact: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_artifact, tmp_path / "artifact")

    def other(card: Card) -> Card:
        golden = tuple(
            one.model_copy(update={"logits": (one.logits[0] + 1, *one.logits[1:])})
            for one in card.golden
        )
        return card.model_copy(update={"golden": golden})

    change_card(folder, other)
    refused = call("export", folder, "--onnx", tmp_path / "out")
    assert refused.exit_code == 2
    assert "differ from the card's" in refused.stderr
    assert not (tmp_path / "out").exists()


def test_an_artifact_without_golden_images_proves_nothing(
    tiny_artifact: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_artifact, tmp_path / "artifact")
    change_card(folder, lambda card: card.model_copy(update={"golden": ()}))
    refused = call("export", folder, "--onnx", tmp_path / "out")
    assert (refused.exit_code, "no golden outputs" in refused.stderr) == (2, True)


def test_an_operation_without_a_twin_is_refused_by_name(tiny_artifact: Path) -> None:
    artifact = open_artifact(tiny_artifact)
    assert artifact.ir_xml is not None
    assert artifact.ir_bin is not None
    strange = artifact.ir_xml.replace(b'type="ReLU"', b'type="Erf"')
    with pytest.raises(NotPortable) as refused:
        to_onnx(strange, artifact.ir_bin, {})
    assert "onnx-Erf" in str(refused.value.cause)
    # What a page is told names no part of the network.
    assert "Erf" not in refused.value.detail


def test_what_rounds_up_is_refused(tiny_artifact: Path) -> None:
    artifact = open_artifact(tiny_artifact)
    assert artifact.ir_xml is not None
    assert artifact.ir_bin is not None
    strange, count = re.subn(rb'rounding_type="floor"', b'rounding_type="ceil"', artifact.ir_xml)
    assert count == 1
    with pytest.raises(NotPortable):
        to_onnx(strange, artifact.ir_bin, {})


@pytest.mark.parametrize("half", [False, True], ids=["f32", "f16"])
def test_each_operation_means_the_same(half: bool) -> None:
    ov = openvino()
    image, outputs = _every_operation(ov.opset13)
    network = ov.Model([outputs], [image], "every")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.xml"
        ov.save_model(network, path, compress_to_fp16=half)
        xml, constants = path.read_bytes(), path.with_suffix(".bin").read_bytes()
    kinds = set(re.findall(r'type="(\w+)" version', xml.decode()))
    assert {"GroupConvolution", "Pad", "Clamp", "AvgPool", "HSwish", "SoftMax", "Reshape"} <= kinds
    inputs = np.random.default_rng(5).normal(0, 1, (3, 13, 13, 4)).astype(np.float32)
    expected = compile_ir(xml, constants, "f32")(inputs)
    assert float(expected.std()) > 0.01
    np.testing.assert_allclose(_run(to_onnx(xml, constants, {}), inputs), expected, atol=2e-6)


def _every_operation(ops: Any) -> tuple[Any, Any]:
    """A network with the operations and the variants that recipes use; odd sides throughout."""
    random = np.random.default_rng(3)

    def number(*shape: int) -> Any:
        return ops.constant(random.normal(0, 0.4, shape).astype(np.float32))

    image = ops.parameter([-1, 13, 13, 4], np.float32, name="image")
    x = ops.transpose(image, np.array([0, 3, 1, 2]))
    x = ops.pad(x, np.array([0, 0, 1, 0]), np.array([0, 0, 2, 1]), "constant", np.float32(0.3))
    x = ops.convolution(x, number(6, 4, 3, 3), [2, 2], [0, 0], [0, 0], [1, 1], "same_upper")
    x = ops.clamp(ops.add(x, number(1, 6, 1, 1)), 0.0, 6.0)
    x = ops.group_convolution(x, number(6, 1, 1, 3, 3), [1, 1], [1, 1], [1, 1], [1, 1], "explicit")
    gate = ops.sigmoid(ops.reduce_mean(x, np.array([2, 3]), True))
    x = ops.multiply(ops.hswish(x), gate)
    x = ops.concat([x, ops.swish(x, np.float32(1.3)), ops.hsigmoid(x)], 1)
    pooled = ops.max_pool(x, [2, 2], [1, 1], [0, 0], [0, 0], [3, 3], "floor", "same_upper")
    means = ops.avg_pool(x, [2, 2], [1, 1], [1, 1], [3, 3], True, "floor", "explicit")
    x = ops.subtract(pooled.output(0), ops.relu(means))
    x = ops.divide(x, ops.constant(np.float32(1.7)))
    x = ops.reshape(x, np.array([0, -1]), True)
    x = ops.matmul(x, number(5, 18 * 16), False, True)
    x = ops.unsqueeze(ops.softmax(x, 1), np.array([1]))
    return image, ops.squeeze(x, np.array([1]))


def test_the_description_is_the_cards(tiny_artifact: Path) -> None:
    artifact = open_artifact(tiny_artifact)
    model = json.loads(portable(artifact, disease_of(CHEST)).model.model_dump_json())
    card = json.loads(artifact.card_json)
    assert model["temperature"] == card["calibration"]["temperature"]
    for name in ("finding", "operating_points", "conformal", "preprocessing", "output", "golden"):
        assert model[name] == card[name], name
