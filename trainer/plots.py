"""The report's drawings, as SVG text: curves of training, confusion, ROC and reliability."""

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
from trainer.metrics import ECE_BINS, Scores

# Told apart by the colour-blind (Okabe and Ito 2008), and dark enough on white.
_BLUE, _ORANGE, _GREEN, _GREY = "#0072b2", "#d55e00", "#009e73", "#6b7280"
_CYCLE = (_ORANGE, _BLUE, _GREEN, "#cc79a7", "#56b4e9", "#e69f00", "#000000")


@dataclass(frozen=True)
class Curves:
    """What is drawn: the scores of a held-out set, and the epochs of training."""

    scores: Scores
    history: list[dict[str, Any]]


def draw(curves: Curves) -> dict[str, str]:
    """Every drawing by name; `loss` and `accuracy` only where there were epochs."""
    drawn = {
        "confusion": _confusion(curves.scores),
        "roc": _roc(curves.scores),
        "reliability": _reliability(curves.scores),
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
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for row, column in np.ndindex(counts.shape):
        colour = "white" if shares[row, column] > 0.5 else "#111827"
        label = f"{counts[row, column]}\n{shares[row, column]:.0%}"
        axes.text(column, row, label, ha="center", va="center", color=colour, fontsize=9)
    axes.set_xticks(range(len(names)), names, rotation=30 if len(names) > 3 else 0)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("decided")
    axes.set_ylabel("true")
    return _svg(figure, "Confusion matrix of true and decided classes")


def _roc(scores: Scores) -> str:
    figure, axes = _axes("ROC")
    axes.plot([0, 1], [0, 1], color=_GREY, linestyle=":", label="guessing")
    names = [scores.finding] if len(scores.class_ids) == 2 and scores.finding else scores.class_ids
    for name, colour in zip(names, _CYCLE * len(names), strict=False):
        place = scores.class_ids.index(name)
        positive = scores.labels == place
        if not positive.any() or positive.all():
            continue
        order = np.argsort(-scores.probabilities[:, place], kind="stable")
        ordered = scores.probabilities[order, place]
        ends = np.r_[np.flatnonzero(ordered[1:] != ordered[:-1]), len(ordered) - 1]
        caught = np.cumsum(positive[order])[ends] / positive.sum()
        alarms = np.cumsum(~positive[order])[ends] / (~positive).sum()
        axes.plot(np.r_[0, alarms], np.r_[0, caught], color=colour, label=name)
    axes.set_xlabel("1 - specificity")
    axes.set_ylabel("sensitivity")
    axes.legend(frameon=False, loc="lower right")
    return _svg(figure, "ROC curve of each class against the rest")


def _reliability(scores: Scores) -> str:
    figure, axes = _axes("Reliability")
    axes.plot([0, 1], [0, 1], color=_GREY, linestyle=":", label="perfect")
    two = len(scores.class_ids) == 2 and scores.finding is not None
    if two:
        place = scores.class_ids.index(scores.finding or "")
        stated = scores.probabilities[:, place]
        true = scores.labels == place
    else:
        stated = scores.probabilities.max(axis=1)
        true = scores.probabilities.argmax(axis=1) == scores.labels
    bins = np.minimum((stated * ECE_BINS).astype(int), ECE_BINS - 1)
    kept = [one for one in range(ECE_BINS) if (bins == one).any()]
    axes.plot(
        [stated[bins == one].mean() for one in kept],
        [true[bins == one].mean() for one in kept],
        color=_ORANGE,
        marker="o",
        ms=4,
        label="measured",
    )
    sizes = np.bincount(bins, minlength=ECE_BINS) / len(bins)
    axes.bar(
        (np.arange(ECE_BINS) + 0.5) / ECE_BINS, sizes, width=0.9 / ECE_BINS, color="#cfe3f1",
        label="share of images", zorder=0,
    )  # fmt: skip
    axes.set_xlabel("stated probability of the finding" if two else "stated probability")
    axes.set_ylabel("share that was so")
    axes.legend(frameon=False, loc="upper left")
    return _svg(figure, "Reliability: stated probability against observed share")
