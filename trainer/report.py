"""The report of a run: the same facts as JSON and as one HTML page that stands by itself."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from diagnosis import WARNING
from diagnosis.artifacts.card import Card
from trainer import metrics, plots
from trainer.data import DataSet
from trainer.metrics import Scores

#: What each figure says, in a sentence.
MEANINGS = {
    "auc": "The chance that a diseased image scores above a healthy one: 0.5 is guessing.",
    "accuracy": "The share of images decided rightly; depends on how common each class is.",
    "balanced_accuracy": "The mean recall of the classes; not helped by a common class.",
    "sensitivity": "Of the images with the finding, the share that is called.",
    "specificity": "Of the images without it, the share that is cleared.",
    "sensitivity_at_specificity_88": "The share caught if 12 % false alarms are accepted.",
    "ece": "How far stated probabilities lie from what happens, on average: 0 is best.",
}
_NAMES = {
    "auc": "AUC",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "sensitivity_at_specificity_88": "Sensitivity at 88 % specificity",
    "ece": "Calibration error (ECE)",
}


def facts(
    card: Card,
    scores: Scores,
    data: DataSet,
    measured_on: str,
    history: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Everything of the report, as `report.json` holds it.

    Args:
        card: of the artifact.
        scores: on the images that were measured.
        data: the whole data set, for its splits and the files that were left out.
        measured_on: names those images in a few words.
        history: one record an epoch, where the model was just trained.
    """
    return {
        "warning": WARNING,
        "disease": card.disease,
        "recipe": card.training.recipe,
        "digest": card.files.keras.digest,
        "created_at": card.created_at.isoformat(),
        "measured_on": measured_on,
        "classes": [{"id": one.id, "name": one.name} for one in card.classes],
        "finding": card.finding,
        "threshold": scores.threshold,
        "n": len(scores.labels),
        "groups": len(set(scores.groups.tolist())),
        "per_class": metrics.per_class(scores),
        "confusion": metrics.confusion(scores),
        "figures": {name: one.as_dict() for name, one in metrics.figures(scores).items()},
        "baseline_always_finding": metrics.baseline(scores),
        "operating_points": [one.model_dump(mode="json") for one in card.operating_points],
        "calibration": card.calibration.model_dump(mode="json"),
        "conformal": card.conformal.model_dump(mode="json"),
        "transfer": [one.model_dump(mode="json") for one in card.transfer],
        "training": card.training.model_dump(mode="json"),
        "population": card.population.model_dump(mode="json"),
        "splits": {name: data.of(name).per_class() for name in data.splits}
        or {"all": data.per_class()},
        "skipped": [{"file": one.path.name, "reason": one.reason} for one in data.skipped],
        "history": list(history),
    }


def write(folder: Path, found: dict[str, Any], curves: plots.Curves) -> None:
    """Write `report.json` and `report.html`."""
    text = json.dumps(found, indent=1, allow_nan=False)
    (folder / "report.json").write_text(text + "\n", encoding="utf-8")
    (folder / "report.html").write_text(page(found, curves), encoding="utf-8")


def page(found: dict[str, Any], curves: plots.Curves) -> str:
    """The HTML page: no script, no file beside it, drawings inside."""
    environment = Environment(
        loader=PackageLoader("trainer"), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["figure"] = _figure
    environment.filters["percent"] = lambda value: "-" if value is None else f"{value:.1%}"
    drawn = {name: Markup(svg) for name, svg in plots.draw(curves).items()}  # noqa: S704 - ours
    return environment.get_template("report.html.j2").render(
        **found, drawn=drawn, meanings=MEANINGS, names=_NAMES
    )


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
