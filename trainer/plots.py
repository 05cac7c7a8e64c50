"""The report's drawings, as SVG text: figures, curves of training, confusion, ROC, reliability."""

import io
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from trainer import metrics
from trainer.measures import Measures
from trainer.metrics import ECE_BINS, Floats, Scores
from trainer.metrics.curves import bin_of
from trainer.metrics.paired import Difference

# Told apart by the colour-blind (Okabe and Ito 2008), and dark enough on white.
_BLUE, _ORANGE, _GREEN, _GREY = "#0072b2", "#d55e00", "#009e73", "#6b7280"
_CYCLE = (_ORANGE, _BLUE, _GREEN, "#cc79a7", "#56b4e9", "#e69f00", "#000000")


@dataclass(frozen=True)
class Curves:
    """What is drawn: what was measured on a held-out set, and the epochs of training."""

    measures: Measures
    history: list[dict[str, Any]]


def draw(curves: Curves) -> dict[str, str]:
    """Every drawing by name; `loss` and `accuracy` only where there were epochs."""
    scores = curves.measures.scores
    drawn = {
        "figures": _figures(curves.measures),
        "confusion": _confusion(scores),
        "roc": _roc({"": scores}),
        "reliability": _reliability(scores),
    }
    if curves.history:
        drawn["loss"] = _epochs(curves.history, "loss", "Loss")
        drawn["accuracy"] = _epochs(curves.history, "accuracy", "Accuracy")
    return drawn


def _axes(title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5, 3.9), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e5e7eb", linewidth=0.8)
    axes.set_axisbelow(True)
    return figure, axes


def _svg(figure: Figure, description: str) -> str:
    FigureCanvasSVG(figure)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    svg = text[text.index("<svg") :]
    # Names inside one page must not meet; a screen reader gets one sentence, not the strokes.
    name = re.sub(r"\W", "", description)[:24]
    svg = re.sub(r'(id="|href="#|url\(#)', lambda match: f"{match[1]}{name}-", svg)
    return svg.replace("<svg", f'<svg role="img" aria-label="{description}"', 1)


def _epochs(history: list[dict[str, Any]], key: str, title: str) -> str:
    figure, axes = _axes(f"{title} by epoch")
    epochs = range(1, len(history) + 1)
    axes.plot(
        epochs, [one[key] for one in history], color=_BLUE, marker="o", ms=3, label="training"
    )
    validation = [one[f"val_{key}"] for one in history]
    axes.plot(epochs, validation, color=_ORANGE, marker="o", ms=3, label="validation")
    best = int(np.argmin([one["val_loss"] for one in history]))
    axes.axvline(best + 1, color=_GREY, linestyle=":", label="kept")
    for place in range(1, len(history)):
        if history[place]["phase"] != history[place - 1]["phase"]:
            axes.axvline(place + 0.5, color="#d1d5db")
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel(title.lower())
    axes.legend(frameon=False)
    return _svg(figure, f"{title} by epoch for training and validation")


def _confusion(scores: Scores) -> str:
    table = metrics.confusion(scores)
    names = list(scores.class_ids)
    counts = np.array([[table[true][said] for said in names] for true in names])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, axes = _axes("Confusion matrix")
    axes.grid(visible=False)
    # Not `imshow`, which would put a bitmap into the page: one without any can be given away.
    edges = np.arange(len(names) + 1) - 0.5
    axes.pcolormesh(edges, edges, shares, cmap="Blues", vmin=0, vmax=1)
    axes.invert_yaxis()
    for row, column in np.ndindex(counts.shape):
        colour = "white" if shares[row, column] > 0.5 else "#111827"
        label = f"{counts[row, column]}\n{shares[row, column]:.0%}"
        axes.text(column, row, label, ha="center", va="center", color=colour, fontsize=9)
    axes.set_xticks(range(len(names)), names, rotation=30 if len(names) > 3 else 0)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("decided")
    axes.set_ylabel("true")
    return _svg(figure, "Confusion matrix of true and decided classes")


def _roc(models: dict[str, Scores]) -> str:
    """One model's curves by class, or one curve of each of several models by their names."""
    figure, axes = _axes("ROC")
    axes.plot([0, 1], [0, 1], color=_GREY, linestyle=":", label="guessing")
    colours = iter(_CYCLE * 200)
    for model, scores in models.items():
        pair = scores.finding if scores.finding and (model or len(scores.class_ids) == 2) else None
        for name in (pair,) if pair else scores.class_ids:
            label = f"{model}: {name}" if model and not pair else model or name
            place = scores.class_ids.index(name)
            positive = scores.labels == place
            if not positive.any() or positive.all():
                continue
            order = np.argsort(-scores.probabilities[:, place], kind="stable")
            ordered = scores.probabilities[order, place]
            ends = np.r_[np.flatnonzero(ordered[1:] != ordered[:-1]), len(ordered) - 1]
            caught = np.cumsum(positive[order])[ends] / positive.sum()
            alarms = np.cumsum(~positive[order])[ends] / (~positive).sum()
            axes.plot(np.r_[0, alarms], np.r_[0, caught], color=next(colours), label=label)
    axes.set_xlabel("1 - specificity")
    axes.set_ylabel("sensitivity")
    axes.legend(frameon=False, loc="lower right")
    return _svg(figure, "ROC curve of each class against the rest")


def _figures(found: Measures) -> str:
    """Each figure with its interval, and the two models that know nothing beside it."""
    figure, axes = _axes("Figures and what they must beat")
    names = [name for name in _COMPARED if name in found.figures]
    places = np.arange(len(names))[::-1]
    for place, name in zip(places, names, strict=True):
        one = found.figures[name]
        if one.value is not None:
            low = one.value if one.low is None else one.low
            high = one.value if one.high is None else one.high
            axes.plot([low, high], [place, place], color=_BLUE, linewidth=2)
            axes.plot([one.value], [place], "o", color=_BLUE, ms=6)
    for shift, marker, colour, label, baseline in (
        (0.18, "x", _ORANGE, "always the finding", found.always_finding),
        (-0.18, "+", _GREY, f"always {found.majority_class}", found.majority),
    ):
        pairs = [(baseline[n], p) for p, n in zip(places, names, strict=True) if n in baseline]
        if pairs:
            values, rows = zip(*pairs, strict=True)
            axes.plot(values, np.add(rows, shift), marker, color=colour, ms=6, label=label)
    axes.plot([], [], "o-", color=_BLUE, label="the model")
    axes.set_yticks(places, [name.replace("_", " ") for name in names])
    axes.set_xlim(-0.03, 1.03)
    axes.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.35, -0.08), ncol=3)
    return _svg(figure, "Figures with intervals beside two trivial models")


_COMPARED = ("auc", "accuracy", "balanced_accuracy", "sensitivity", "specificity", "ppv", "npv")


def _reliability(scores: Scores) -> str:
    figure, axes = _axes("Reliability")
    axes.plot([0, 1], [0, 1], color=_GREY, linestyle=":", label="perfect")
    two = len(scores.class_ids) == 2 and scores.finding is not None
    place = scores.class_ids.index(scores.finding) if two and scores.finding else None
    drawn = [("calibrated", scores.probabilities, _ORANGE, "-")]
    if scores.uncalibrated is not None:
        drawn.insert(0, ("before calibration", scores.uncalibrated, _BLUE, "--"))
    for label, values, colour, style in drawn:
        stated, true = _stated(values, scores, place)
        bins = bin_of(stated)
        kept = [one for one in range(ECE_BINS) if (bins == one).any()]
        x = [stated[bins == one].mean() for one in kept]
        y = [true[bins == one].mean() for one in kept]
        shares = [(bins == one).mean() for one in kept]
        axes.plot(x, y, color=colour, linestyle=style, linewidth=0.8, alpha=0.5)
        # A dot's size says how many images stand behind it.
        axes.scatter(x, y, s=8 + 150 * np.array(shares), color=colour, label=label, zorder=3)
    sizes = np.bincount(bin_of(_stated(scores.probabilities, scores, place)[0]), minlength=ECE_BINS)
    axes.bar(
        (np.arange(ECE_BINS) + 0.5) / ECE_BINS, sizes / len(scores.labels), width=0.9 / ECE_BINS,
        color="#cfe3f1", label="share of images", zorder=0,
    )  # fmt: skip
    axes.set_xlabel("stated probability of the finding" if two else "stated probability")
    axes.set_ylabel("share that was so")
    axes.legend(frameon=False, loc="upper left", fontsize=8)
    return _svg(figure, "Reliability: stated probability against observed share")


def _stated(values: Floats, scores: Scores, place: int | None) -> tuple[Floats, Floats]:
    """The stated probability of each image, and whether it was so."""
    if place is not None:
        return values[:, place], (scores.labels == place).astype(np.float64)
    return values.max(axis=1), (values.argmax(axis=1) == scores.labels).astype(np.float64)


def draw_comparison(
    models: dict[str, Scores], differences: dict[str, Difference]
) -> dict[str, str]:
    """ROC curves of two models on the same images, and the differences of their figures.

    Args:
        models: by the name that the page gives them, the first one first.
        differences: second minus first, by figure.
    """
    first, second = models
    figure, axes = _axes("Second minus first")
    axes.axvline(0, color=_GREY, linestyle=":")
    names = list(differences)
    for place, name in enumerate(reversed(names)):
        one = differences[name]
        if one.value is not None and one.low is not None and one.high is not None:
            colour = _GREY if one.better is None else _BLUE if one.better == "b" else _ORANGE
            axes.plot([one.low, one.high], [place, place], color=colour, linewidth=2)
            axes.plot([one.value], [place], "o", color=colour, ms=6)
    axes.set_yticks(range(len(names)), [name.replace("_", " ") for name in reversed(names)])
    axes.set_xlabel("difference, 95 % interval")
    return {
        "differences": _svg(figure, f"Differences of figures of {second} and {first}"),
        "roc": _roc(models),
    }
