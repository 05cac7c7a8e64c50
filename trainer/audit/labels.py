"""Suspected wrong labels, by confident learning (Northcutt, Jiang and Chuang 2021), in a few lines.

Probabilities come out of fold, from a regularised logistic regression on cheap features, with whole
groups in one fold. An image is suspect when another class is at least as probable for it as that
class is, on average, for the images labelled so. It is a list to look at, never a verdict.

How good the list is depends on how good the model is. With 3 % of all labels changed at random, it
named 77 % of them on chest films (balanced accuracy 0.97; 82 % of the list was right) and 65 % on
brain MRI (0.85; half of the first hundred were right). On breast ultrasound (0.58) and skin (0.40)
one in ten of the first was right: below `RELIABLE` most suspicions are the model's own mistakes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Folds, where every class has as many groups.
FOLDS = 5
#: Balanced accuracy of the cheap model from which on its suspicions say something of the labels.
RELIABLE = 0.75
#: Images a class needs.
FEWEST = 20
_COMPONENTS = 64

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Suspect:
    """An image whose label may be wrong."""

    place: int
    """In the list that was given."""
    label: str
    suggested: str
    margin: float
    """Probability of the suggested class less that of the label; the larger, the more suspect."""


@dataclass(frozen=True)
class LabelReview:
    """What confident learning found."""

    suspects: tuple[Suspect, ...]
    """The most suspect first."""
    balanced_accuracy: float
    """Of the cheap model, out of fold: the mean share of each class that it gets right."""
    images: int


def review(
    features: NDArray[np.float32], labels: Sequence[str], groups: Sequence[str], *, seed: int = 0
) -> LabelReview | str:
    """Look for wrong labels; a sentence where there are too few images to.

    Args:
        features: (N, F), one row an image.
        labels: class of each image.
        groups: what must not be in two folds: patients, and copies of an image.
        seed: of the folds.
    """
    names = sorted(set(labels))
    if len(names) < 2:
        return "Labels were not checked: there is one class only."
    y = np.array([names.index(one) for one in labels], np.int64)
    numbers = np.unique(np.array(groups), return_inverse=True)[1].astype(np.int64)
    least = min(int((y == k).sum()) for k in range(len(names)))
    fewest_groups = min(len(set(numbers[y == k].tolist())) for k in range(len(names)))
    if least < FEWEST or fewest_groups < FOLDS:
        return (
            f"Labels were not checked: each class needs {FEWEST} images of {FOLDS} groups, and one "
            f"has {least} of {fewest_groups}."
        )
    probabilities = out_of_fold(features, y, numbers, seed=seed)
    recall = [float((probabilities[y == k].argmax(1) == k).mean()) for k in range(len(names))]
    own = probabilities[np.arange(len(y)), y]
    suspects = []
    for place, other in enumerate(confident(probabilities, y)):
        if other not in {-1, y[place]}:
            margin = float(probabilities[place, other] - own[place])
            suspects.append(Suspect(place, names[y[place]], names[other], round(margin, 4)))
    suspects.sort(key=lambda one: (-one.margin, one.place))
    return LabelReview(tuple(suspects), round(float(np.mean(recall)), 4), len(y))


def confident(probabilities: Floats, labels: Integers) -> Integers:
    """The class that each image confidently belongs to, or -1: a row of the confident joint.

    A class counts for an image when its probability there is at least the mean that it has on the
    images labelled so; the most probable of those that count wins.
    """
    thresholds = np.array(
        [probabilities[labels == k, k].mean() for k in range(probabilities.shape[1])]
    )
    counts = probabilities >= thresholds
    best = np.where(counts, probabilities, -1.0).argmax(axis=1)
    return np.where(counts.any(axis=1), best, -1).astype(np.int64)


def out_of_fold(
    features: NDArray[np.float32], labels: Integers, groups: Integers, *, seed: int
) -> Floats:
    """Probabilities (N, classes) of each image by a model that saw no image of its group."""
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    classes = int(labels.max()) + 1
    found = np.zeros((len(labels), classes))
    for train, held in folds.split(features, labels, groups):
        model = make_pipeline(
            StandardScaler(),
            PCA(min(_COMPONENTS, len(train) - 1, features.shape[1]), random_state=seed),
            StandardScaler(),
            LogisticRegression(C=0.1, max_iter=300, class_weight="balanced"),
        )
        model.fit(features[train], labels[train])
        # A fold may lack a rare class whose groups are all held.
        found[np.ix_(held, model[-1].classes_)] = model.predict_proba(features[held])
    return found
