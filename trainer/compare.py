"""`trainer compare`: two artifacts on the same images, with paired tests."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from diagnosis import WARNING
from diagnosis.artifacts import Card
from trainer.evaluate import Evaluation, group_numbers
from trainer.measures import INTERVALS
from trainer.metrics import Scores, paired
from trainer.metrics.paired import Difference, McNemar
from trainer.refusals import TrainerRefused

NAMES = {
    "auc": "AUC",
    "balanced_accuracy": "balanced accuracy",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "ece": "calibration error (lower is better)",
}
_CAUTIONS = (
    "Each model decides at its own threshold of the named operating point.",
    "Five figures are compared, each at 95 %: now and then one of them differs by chance alone.",
    "A model that was trained or calibrated on these images is flattered by them.",
)


@dataclass(frozen=True)
class Comparison:
    """Two models' answers for the same images, in the same order."""

    a: Evaluation
    b: Evaluation
    names: tuple[str, str]
    images: int
    only_in_one: int
    """Images that but one of the two could read."""

    @cached_property
    def differences(self) -> dict[str, Difference]:
        """Second minus first, by figure."""
        return paired.differences(self.a.scores, self.b.scores)

    @cached_property
    def decisions(self) -> dict[str, McNemar]:
        """McNemar's test on all decisions, on those with the finding, and on those without."""
        found = {
            name: paired.mcnemar(self.a.scores, self.b.scores, name)
            for name in ("accuracy", "sensitivity", "specificity")
        }
        return {name: one for name, one in found.items() if one is not None}

    @property
    def sentences(self) -> list[str]:
        """Which is better on what, in plain words."""
        said = []
        for name, one in self.differences.items():
            if one.value is None:
                said.append(f"{_capital(NAMES[name])}: not defined on these images.")
                continue
            by = f"{one.value:+.3f} ({one.low:+.3f} to {one.high:+.3f})"
            if one.better is None:
                said.append(f"{_capital(NAMES[name])}: no difference shown, {by}.")
            else:
                better = self.names[one.better == "b"]
                said.append(f"{_capital(NAMES[name])}: {better} is better, {by}.")
        return said

    @property
    def verdict(self) -> str:
        """One sentence over all figures."""
        wins = {
            side: [NAMES[name].partition(" (")[0] for name, one in self.differences.items()
                   if one.better == side]
            for side in ("a", "b")
        }  # fmt: skip
        parts = [
            f"{name} is better on {', '.join(wins[side])}"
            for side, name in zip(("a", "b"), self.names, strict=True)
            if wins[side]
        ]
        if parts:
            return f"{'; '.join(parts)}."
        if self.a.card.files.keras.digest == self.b.card.files.keras.digest:
            return "No difference shown: both are the same network."
        return "No difference shown on these images."

    def as_json(self) -> dict[str, Any]:
        """The one JSON object of `trainer compare --json`; differences are second minus first."""
        area = paired.delong(self.a.scores, self.b.scores)
        return {
            "disease": self.a.card.disease,
            "a": self._side(self.a, self.names[0]),
            "b": self._side(self.b, self.names[1]),
            "n": self.images,
            "groups": self.a.data.groups(),
            "split": self.a.split or "all",
            "only_in_one": self.only_in_one,
            "operating_point": self.a.operating_point,
            "differences": {name: one.__dict__ for name, one in self.differences.items()},
            "decisions_mcnemar": {name: one.__dict__ for name, one in self.decisions.items()},
            "auc_delong": area.__dict__ if area else None,
            "verdict": self.verdict,
            "sentences": self.sentences,
            "cautions": list(_CAUTIONS),
            "intervals": INTERVALS | {"method": "paired percentile bootstrap of whole groups"},
            "warning": WARNING,
        }

    @staticmethod
    def _side(one: Evaluation, name: str) -> dict[str, Any]:
        return {
            "name": name,
            "version": one.card.version,
            "digest": one.card.files.keras.digest,
            "recipe": one.card.training.recipe,
            "threshold": one.scores.threshold,
            "engine": one.engine,
        }


def check_same_task(a: Card, b: Card, names: tuple[str, str]) -> None:
    """Refuse two artifacts that do not answer the same question.

    Raises:
        TrainerRefused: they are of two diseases.
    """
    if a.disease != b.disease:
        raise TrainerRefused(
            f"{names[0]} is for {a.disease} and {names[1]} for {b.disease}; only artifacts of one "
            "disease can be compared."
        )


def compare(a: Evaluation, b: Evaluation, names: tuple[str, str]) -> Comparison:
    """Compare two evaluations of the same folder on the images that both could read.

    Raises:
        TrainerRefused: they are artifacts of two diseases, or no image was read by both.
    """
    check_same_task(a.card, b.card, names)
    if names[0] == names[1]:
        names = (f"{names[0]} (first)", f"{names[1]} (second)")
    paths = [{example.path for example in one.data.examples} for one in (a, b)]
    both = paths[0] & paths[1]
    if not both:
        raise TrainerRefused("No image could be read for both artifacts.")
    first, second = (_only(one, both) for one in (a, b))
    return Comparison(first, second, names, len(both), len(paths[0] ^ paths[1]))


def _only(one: Evaluation, paths: set[Any]) -> Evaluation:
    places = [n for n, example in enumerate(one.data.examples) if example.path in paths]
    data = one.data.keep(one.data.examples[place] for place in places)
    s = one.scores
    scores = Scores(
        s.class_ids, s.labels[places], s.probabilities[places], group_numbers(data), s.finding,
        s.threshold, None if s.uncalibrated is None else s.uncalibrated[places],
    )  # fmt: skip
    return Evaluation(one.card, data, scores, one.split, one.engine, one.operating_point)


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
