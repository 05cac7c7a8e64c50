"""Whether clinicians agree with a model as often as its card says that it is right.

Of a window of reviewed readings the disagreements are counted. The model is held to the low end of
its accuracy's interval: of a model that is no worse, a window has more disagreements than the limit
with a probability that an exact binomial bound gives (Clopper and Pearson 1934), chosen so that
`persisted` windows in a row do so anywhere in a stretch no more often than is allowed.
"""

from math import comb

from diagnosis.drift.reference import Reference

#: Readings whose reviews are looked at together.
REVIEWS = 50
#: See `diagnosis.drift.null`.
_SHARED_BY = 4


def window_rate(reference: Reference) -> float:
    """How often a window may be past the limit while nothing is wrong."""
    looks = reference.stretch - reference.persisted + 1
    share = reference.false_stops / _SHARED_BY
    return float((share / looks) ** (1 / reference.persisted))


def disagreement_limit(accuracy: float, rate: float, reviews: int = REVIEWS) -> float:
    """The share of disagreements past which a window counts as too many.

    Args:
        accuracy: how often the model is right at least, 0 to 1.
        rate: how often so many may occur all the same.
        reviews: in the window.

    Returns:
        A share of `reviews`; more than that has a probability of `rate` at most. 1: any number may
        occur, and no window is past it.
    """
    wrong = 1 - accuracy
    more = 1.0
    for count in range(reviews + 1):
        # More than `count`; counted down, so that the sum is of what is left.
        more -= comb(reviews, count) * wrong**count * (1 - wrong) ** (reviews - count)
        if more <= rate:
            return count / reviews
    return 1.0
