"""`trainer import-h5`: a rebuilt network and a card that says that nothing was measured."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diagnosis.artifacts.card import (
    Calibration,
    Card,
    CardClass,
    Conformal,
    Evaluation,
    Files,
    Input,
    OperatingPoint,
    Population,
    Training,
)
from diagnosis.artifacts.opener import inspect_keras
from diagnosis.catalogue import Disease
from diagnosis.catalogue import disease as disease_of
from diagnosis.contracts import Interval, now
from diagnosis.preprocess import Preprocessing
from trainer.candidate import KERAS_NAME, save_model
from trainer.legacy.file import LegacyFile, read_legacy
from trainer.legacy.network import Outputs, rebuild
from trainer.refusals import LegacyRefused, TrainerRefused

#: How the network wants its pixels, which are 0 to 255: the steps after the resize.
INPUT_SCALES: dict[str, tuple[dict[str, Any], ...]] = {
    "0-1": ({"op": "scale"},),
    "-1-1": ({"op": "scale", "divisor": 127.5, "offset": 1.0},),
    "0-255": ({"op": "scale", "divisor": 1.0},),
}
_UNMEASURED = "Nothing was measured: the model was imported from a file."
_NOBODY = "Not known: the model was imported from a file that does not say whom its images show."


@dataclass(frozen=True)
class Order:
    """What `trainer import-h5` was asked for."""

    file: Path
    disease: str
    out: Path
    classes: tuple[str, ...] = ()
    """Names of the classes in the order of the file's outputs; empty: the catalogue's order."""
    probability_of: str | None = None
    input_scale: str = "0-1"
    licence: str = "Not stated with the file it was imported from: do not pass it on."


def import_h5(order: Order) -> Path:
    """Make a candidate of a legacy `.h5` classifier; its folder appears when it is whole.

    Raises:
        LegacyRefused: the file is not one that is imported; nothing is left behind.
        UnknownDisease: the catalogue has none of this name.
    """
    disease = disease_of(order.disease)
    if order.out.exists():
        raise TrainerRefused(f"{order.out} exists already; name another folder with --out.")
    if order.input_scale not in INPUT_SCALES:
        raise LegacyRefused(
            f"There is no input scale {order.input_scale!r}: {', '.join(INPUT_SCALES)}."
        )
    outputs = _outputs(disease, order)
    file = read_legacy(order.file)
    model = rebuild(file, outputs)
    order.out.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".incoming-", dir=order.out.parent))
    try:
        record = save_model(model, draft)
        inspect_keras((draft / KERAS_NAME).read_bytes())
        card = _card(disease, order, file, model, Files(keras=record), outputs)
        (draft / "card.json").write_bytes(card.to_json())
        draft.chmod(0o755)
        draft.rename(order.out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return order.out


def _outputs(disease: Disease, order: Order) -> Outputs:
    """What the outputs mean, in the words of the catalogue."""

    def known(name: str) -> str:
        found = disease.class_for_folder(name)
        if found is None:
            raise LegacyRefused(
                f"{name!r} is no class of {disease.id}. It has: {', '.join(disease.class_ids)}."
            )
        return found.id

    if disease.open_classes:
        raise LegacyRefused(f"{disease.id} takes its classes from its artifact; it has no order.")
    classes = tuple(map(known, order.classes)) or disease.class_ids
    if sorted(classes) != sorted(disease.class_ids):
        raise LegacyRefused(
            f"--classes names {', '.join(classes)}; every class of {disease.id} must stand there "
            f"once: {', '.join(disease.class_ids)}."
        )
    of = None if order.probability_of is None else known(order.probability_of)
    return Outputs(classes, disease.class_ids, of)


def _card(
    disease: Disease, order: Order, file: LegacyFile, model: Any, files: Files, outputs: Outputs
) -> Card:
    _, height, width, channels = model.input_shape
    preprocessing = Preprocessing.model_validate(
        {
            "name": "imported",
            "steps": [
                {"op": "greyscale" if channels == 1 else "rgb"},
                {"op": "resize", "width": width, "height": height},
                *INPUT_SCALES[order.input_scale],
            ],
        }
    )
    nothing = Interval(value=0.0, low=0.0, high=1.0)
    settings: dict[str, str | float | int | bool] = {
        "file": file.name,
        "file_digest": file.digest,
        "file_keras": file.keras_version,
        "input_scale": order.input_scale,
        "outputs": outputs.probability_of or " ".join(outputs.classes),
    }
    return Card(
        disease=disease.id,
        version="1",
        created_at=now(),
        summary=f"{disease.name}: imported from {file.name}. {_UNMEASURED}",
        licence=order.licence,
        files=files,
        classes=tuple(CardClass(id=one.id, name=one.name) for one in disease.classes),
        finding=disease.finding,
        input=Input(height=height, width=width, channels=channels),
        preprocessing=preprocessing,
        preprocessing_digest=preprocessing.digest,
        calibration=Calibration(temperature=1.0, fitted_on=_UNMEASURED),
        operating_points=(
            OperatingPoint(
                name="balanced",
                threshold=0.5,
                sensitivity=nothing,
                specificity=nothing,
                chosen_by=f"{_UNMEASURED} The threshold is 0.5, and its sensitivity and specificity"
                " may be anything from 0 to 1.",
            ),
        )
        if disease.finding
        else (),
        # A set that holds every class excludes none: each reading is uncertain.
        conformal=Conformal(
            coverage=0.95, quantiles=dict.fromkeys(disease.class_ids, 1.0), fitted_on=_UNMEASURED
        ),
        population=Population(description=_NOBODY),
        training=Training(
            recipe="import-h5",
            dataset=f"Not known; the network and its weights come from {file.name}.",
            images=0,
            groups=0,
            per_class=dict.fromkeys(disease.class_ids, 0),
            seed=0,
            keras_version=file.keras_version,
            settings=settings,
        ),
        evaluation=Evaluation(
            dataset=_UNMEASURED,
            images=0,
            groups=0,
            per_class=dict.fromkeys(disease.class_ids, 0),
            figures={},
        ),
        limitations=(
            f"{_UNMEASURED} Measure it with `trainer evaluate` before anybody relies on it.",
            f"The preprocessing ({order.input_scale}, {width} x {height}) was stated by a person.",
        ),
    )
