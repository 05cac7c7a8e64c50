"""The report of a run: the same facts as JSON and as one HTML page that stands by itself."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from diagnosis import WARNING
from diagnosis.artifacts.card import Card
from trainer import metrics
from trainer.data import DataSet
from trainer.measures import Measures
from trainer.metrics.subgroups import LEAST_GROUPS, LEAST_IMAGES
from trainer.mistakes import Tile

REPORT, REPORT_JSON = "report.html", "report.json"
#: Shows patients; it stays with the run.
WITH_IMAGES = "report-with-images.html"

#: What each figure says, in a sentence.
MEANINGS = {
    "auc": "The chance that a diseased image scores above a healthy one: 0.5 is guessing.",
    "accuracy": "The share of images decided rightly; depends on how common each class is.",
    "balanced_accuracy": "The mean recall of the classes; not helped by a common class.",
    "sensitivity": "Of the images with the finding, the share that is called.",
    "specificity": "Of the images without it, the share that is cleared.",
    "sensitivity_at_specificity_88": "The share caught if 12 % false alarms are accepted.",
    "ppv": "Of the images called the finding, the share that have it; at these images' prevalence.",
    "npv": "Of the images cleared, the share without the finding; at these images' prevalence.",
    "ece": "How far stated probabilities lie from what happens, on average: 0 is best.",
    "ece_uncalibrated": "The same before calibration: at temperature 1.",
    "brier": "Mean squared error of the stated probabilities: 0 is best.",
}
_NAMES = {
    "auc": "AUC",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "sensitivity_at_specificity_88": "Sensitivity at 88 % specificity",
    "ppv": "Positive predictive value",
    "npv": "Negative predictive value",
    "ece": "Calibration error (ECE)",
    "ece_uncalibrated": "ECE before calibration",
    "brier": "Brier score",
}
_POINTS = {"rule_out": "Rule-out", "balanced": "Balanced", "rule_in": "Rule-in"}


def facts(
    card: Card,
    found: Measures,
    data: DataSet,
    measured_on: str,
    history: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Everything of the report, as `report.json` holds it; it names no file of the data.

    Args:
        card: of the artifact.
        found: what was measured.
        data: the whole data set, for its splits and the files that were left out.
        measured_on: names those images in a few words.
        history: one record an epoch, where the model was just trained.
    """
    scores = found.scores
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
        "figures": {name: one.as_dict() for name, one in found.figures.items()},
        **found.as_json(),
        "chosen_points": [one.model_dump(mode="json") for one in card.operating_points],
        "calibration": card.calibration.model_dump(mode="json"),
        "conformal": card.conformal.model_dump(mode="json"),
        "transfer": [one.model_dump(mode="json") for one in card.transfer],
        "training": card.training.model_dump(mode="json"),
        "population": card.population.model_dump(mode="json"),
        "splits": {name: data.of(name).per_class() for name in data.splits}
        or {"all": data.per_class()},
        "skipped": data.skipped_by_reason(),
        "history": list(history),
    }


def write(
    folder: Path, found: dict[str, Any], drawn: Mapping[str, str], tiles: Sequence[Tile]
) -> None:
    """Write `report.json`, `report.html`, and `report-with-images.html`.

    Only the last one shows images of patients, and `publish` leaves it where it is.
    """
    text = json.dumps(found, indent=1, allow_nan=False)
    (folder / REPORT_JSON).write_text(text + "\n", encoding="utf-8")
    (folder / REPORT).write_text(page(found, drawn), encoding="utf-8")
    (folder / WITH_IMAGES).write_text(page(found, drawn, tiles), encoding="utf-8")


def page(
    found: dict[str, Any], drawn: Mapping[str, str], tiles: Sequence[Tile] | None = None
) -> str:
    """The HTML page: no script, no file beside it, drawings inside.

    Args:
        found: the facts.
        drawn: the drawings, as SVG by name.
        tiles: the worst mistakes with their pictures; None leaves them out, for a page that may
            be given away.
    """
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            **found,
            drawn=_safe(drawn),
            meanings=MEANINGS,
            names=_NAMES,
            point_names=_POINTS,
            prevalences=[(f"{one:.0%}", f"{100 * one:.0f}") for one in metrics.PREVALENCES],
            least_images=LEAST_IMAGES,
            least_groups=LEAST_GROUPS,
            tiles=tiles,
        )
    )


def comparison_page(found: dict[str, Any], drawn: Mapping[str, str], figure_names: Any) -> str:
    """The HTML page of `trainer compare`, from its JSON; it shows no image."""
    template = _environment().get_template("comparison.html.j2")
    return template.render(**found, drawn=_safe(drawn), names=figure_names)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("trainer"), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["figure"] = _figure
    environment.filters["signed"] = lambda value: "-" if value is None else f"{value:+.3f}"
    environment.filters["percent"] = lambda value: "-" if value is None else f"{value:.1%}"
    return environment


def _safe(drawn: Mapping[str, str]) -> dict[str, Markup]:
    return {name: Markup(svg) for name, svg in drawn.items()}  # noqa: S704 - ours


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
