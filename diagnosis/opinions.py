"""How often a model's answer changed a clinician's mind, and whether rightly."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from diagnosis.contracts import (
    DiseaseOpinions,
    OpinionCounts,
    OpinionSummary,
    Prediction,
    Review,
)


@dataclass(frozen=True)
class Opined:
    """A reading with all that was said of it.

    Args:
        prediction: the reading.
        reviews: oldest first.
        known: the class that the image is known to show; None where nobody knows.
    """

    prediction: Prediction
    reviews: Sequence[Review]
    known: str | None = None


def summary(readings: Iterable[Opined], *, complete: bool = True) -> OpinionSummary:
    """What first opinions became, in all and by disease.

    A person's mind is what their first opinion and their newest review hold. Whether it was
    changed rightly is told by the class that the image is known to show, else by the newest review
    of somebody else, else by a later correction of the person's own: whoever corrects a second
    time has learnt more.

    Args:
        readings: those with at least one first opinion; others count for nothing.
        complete: whether these are all there are.
    """
    total: Counter[str] = Counter()
    by_disease: defaultdict[str, Counter[str]] = defaultdict(Counter)
    names: dict[str, str] = {}
    for one in readings:
        for found in _changes(one):
            names[one.prediction.disease] = one.prediction.disease_name
            total.update(found)
            by_disease[one.prediction.disease].update(found)
    ranked = sorted(by_disease.items(), key=lambda item: (-item[1]["readings"], item[0]))
    return OpinionSummary(
        total=OpinionCounts(**total),
        diseases=tuple(
            DiseaseOpinions(disease=disease, disease_name=names[disease], **counts)
            for disease, counts in ranked
        ),
        complete=complete,
    )


def _changes(one: Opined) -> Iterable[dict[str, int]]:
    """For each person with a first opinion and a later review, what to count."""
    for place, first in enumerate(one.reviews):
        if first.kind != "first_opinion":
            continue
        own = [
            later
            for later in one.reviews[place + 1 :]
            if later.created_by == first.created_by and later.kind == "review"
        ]
        if own:
            yield _change(first, own, _truth(one, first.created_by, own))


def _change(first: Review, own: Sequence[Review], truth: str | None) -> dict[str, int]:
    last = own[-1]
    answer = last.answer_class
    held, holds = first.class_id, _holds(last)
    # Who only disagrees holds something else than the answer, and nobody knows what.
    was_the_answer = held is not None and held == answer
    changed = was_the_answer if last.verdict == "disagree" else held != holds
    counts = {"readings": 1}
    if not changed:
        return counts
    rightly = truth is not None and holds == truth
    wrongly = truth is not None and held == truth
    return counts | {
        "changed": 1,
        "to_model": int(answer is not None and holds == answer),
        "away_from_model": int(was_the_answer),
        "rightly": int(rightly),
        "wrongly": int(wrongly),
        "unknown": int(not rightly and not wrongly),
    }


def _truth(one: Opined, author: str, own: Sequence[Review]) -> str | None:
    """What tells whether the person's newest review is right."""
    if one.known is not None:
        return one.known
    others = [_holds(review) for review in one.reviews if review.created_by != author]
    told = [held for held in others if held is not None]
    if told:
        return told[-1]
    corrections = [review.class_id for review in own if review.verdict == "correct"]
    return corrections[-1] if len(own) > 1 and corrections else None


def _holds(review: Review) -> str | None:
    """The class that a review holds; None where it does not say, and of a first opinion."""
    if review.verdict == "agree":
        return review.answer_class
    return review.class_id if review.verdict == "correct" else None
