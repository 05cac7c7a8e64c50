"""From features to a gate: a judge of kinds, a judge of the good kind alone, and a threshold.

The first is a multinomial logistic regression of the good images against every other kind; it
knows the kinds that it was fitted to, and only those. The second knows the good images alone, by
their principal components, and so stands against what nobody thought of. A posture, where one can
be told, is a logistic regression of its own, so that it takes nothing from the first.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from diagnosis.gate import Parameters
from diagnosis.gate.parameters import CLIP
from trainer.gate.vectors import Floats, Vectors
from trainer.refusals import DataRefused

#: Of good images as they are, and altered: what the threshold may refuse on held-back groups.
REFUSED_PLAIN = 0.02
REFUSED_CHANGED = 0.035
#: Kept back from fitting, by group, for the threshold.
HELD_BACK = 0.25
#: A posture is judged only where at least so many turned images are told at the threshold.
POSTURE_TOLD = 0.8
_POSTURES = ("turned", "upside_down")
_RIDGE = 1e-3
_COMPONENTS = 40
_STEPS = 60
#: Share of the quantile below which few good images stay, for each part of the score.
_FEW = 0.03


@dataclass(frozen=True)
class Fit:
    """A fitted gate, without its record."""

    parameters: Parameters
    threshold: float
    kinds: tuple[str, ...]
    """In the order of the weights, without the good one."""
    postures: tuple[str, ...]
    """The ways of turning that are told."""

    def refuses(self, vectors: Floats) -> NDArray[np.bool_]:
        """(N,) whether each image (N, d) is refused."""
        return np.asarray(self.parameters.scores(vectors) < self.threshold)


def fit(good: Vectors, others: Mapping[str, Floats], seed: int = 0) -> Fit:
    """Fit a gate.

    Args:
        good: images to pass; some groups are kept back for the threshold.
        others: features (N, d) of each kind to refuse, the spoilt good ones excepted.
        seed: of the choice of groups.

    Raises:
        DataRefused: there are too few good images to keep any back.
    """
    held = _held_back(good.groups, seed)
    if held.sum() < 2 or (~held).sum() < 4:
        raise DataRefused("A gate needs good images of at least a few patients or other groups.")
    own, back = good.of(~held), good.of(held)
    rows = own.every()
    kinds = {name: one for name, one in others.items() if len(one)}
    turned: dict[str, Floats] = {}
    for name, pairs in own.spoilt.items():
        (turned if name in _POSTURES else kinds)[name] = pairs.reshape(-1, rows.shape[1])
    centre = rows.mean(axis=0)
    pooled = np.concatenate([rows, *kinds.values()]).std(axis=0)
    # A feature that is nearly the same in all good images must not count for ever.
    scale = np.maximum(rows.std(axis=0), np.maximum(0.15 * pooled, 1e-4))

    def standard(values: Floats) -> Floats:
        return np.asarray(np.clip((values - centre) / scale, -CLIP, CLIP))

    ours = standard(rows)
    weights, bias = _regression([ours, *map(standard, kinds.values())])
    mean = ours.mean(axis=0)
    _, singular, axes = np.linalg.svd(ours - mean, full_matrices=False)
    kept = max(1, min(_COMPONENTS, len(ours) // 5, len(axes)))
    components, spread = axes[:kept], np.maximum(singular[:kept] ** 2 / len(ours), 1e-3)
    along = (ours - mean) @ components.T
    rest = max(float(((ours - mean) ** 2).sum(1).mean() - (along**2).sum(1).mean()), 1e-3)
    whole = {
        "centre": centre, "scale": scale, "weights": weights, "bias": bias,
        "posture": np.zeros(0), "mean": mean, "components": components, "spread": spread,
        "rest": np.array([rest]),
    }  # fmt: skip
    upright = _with_threshold(whole, back)
    if turned:
        slope, shift = _regression([ours, standard(np.concatenate(list(turned.values())))])
        posture = np.append(slope[0] - slope[1], shift[0] - shift[1])
        judged, threshold = _with_threshold(whole | {"posture": posture}, back)
        told = tuple(
            name
            for name in turned
            if (judged.scores(back.spoilt[name][:, 0]) < threshold).mean() >= POSTURE_TOLD
        )
        if told:
            return Fit(judged, threshold, tuple(kinds), told)
    return Fit(*upright, tuple(kinds), ())


def _with_threshold(whole: Mapping[str, Floats], back: Vectors) -> tuple[Parameters, float]:
    """The parameters on the common scale of their parts, and the threshold, by kept-back groups."""
    count = 4 if len(whole["posture"]) else 3
    bare = Parameters(**whole, low=np.zeros(count), typical=np.ones(count))
    parts = bare.parts(back.every())
    low, typical = np.quantile(parts, [_FEW, 0.5], axis=0)
    found = Parameters(**whole, low=low, typical=np.maximum(typical, low + 1e-3))
    # As they will be read from the file.
    found = Parameters(
        **{
            name: np.asarray(getattr(found, name), "<f4").astype(np.float64)
            for name in Parameters.__dataclass_fields__
        }
    )
    plain = np.quantile(found.scores(back.plain), REFUSED_PLAIN)
    changed = np.quantile(
        found.scores(back.changed.reshape(-1, back.plain.shape[1])), REFUSED_CHANGED
    )
    threshold = np.floor(min(plain, changed, 0.9) * 1e4) / 1e4
    return found, float(max(threshold, -100.0))


def _held_back(groups: tuple[str, ...], seed: int) -> NDArray[np.bool_]:
    names = sorted(set(groups))
    chosen = np.random.default_rng(seed).permutation(len(names))
    held = {names[place] for place in chosen[: max(1, round(HELD_BACK * len(names)))]}
    return np.array([one in held for one in groups])


def _regression(kinds: list[Floats]) -> tuple[Floats, Floats]:
    """Multinomial logistic regression with an L2 penalty; half the weight is the first kind's.

    Returns:
        Weights (kinds, d) and biases (kinds,).
    """
    # 32 bit halves the time; the penalty is far above its rounding.
    rows = np.concatenate(kinds).astype(np.float32)
    labels = np.repeat(np.arange(len(kinds)), [len(one) for one in kinds])
    share = np.array([0.5] + [0.5 / (len(kinds) - 1)] * (len(kinds) - 1))
    weight = (share / [len(one) for one in kinds])[labels]
    number, size = len(kinds), rows.shape[1]
    wanted = np.eye(number)[labels]

    def loss(flat: Floats) -> tuple[float, Floats]:
        slope, shift = flat[: number * size].reshape(number, size), flat[number * size :]
        logits = (rows @ slope.T.astype(np.float32)).astype(np.float64) + shift
        logits -= logits.max(axis=1, keepdims=True)
        exponentials = np.exp(logits)
        total = exponentials.sum(axis=1, keepdims=True)
        right = logits[np.arange(len(rows)), labels] - np.log(total[:, 0])
        apart = weight[:, None] * (exponentials / total - wanted)
        value = -float((weight * right).sum()) + _RIDGE / 2 * float((slope**2).sum())
        steep = (apart.T.astype(np.float32) @ rows).astype(np.float64) + _RIDGE * slope
        return value, np.concatenate([steep.ravel(), apart.sum(axis=0)])

    found = minimize(
        loss, np.zeros(number * (size + 1)), jac=True, method="L-BFGS-B",
        options={"maxiter": _STEPS},
    ).x  # fmt: skip
    return found[: number * size].reshape(number, size), found[number * size :]
