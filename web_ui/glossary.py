"""The words of the field that the pages use, explained once.

A page marks such a word with the `term` macro of `templates/terms.html`, which explains it on hover
and focus; the about page lists them all.
"""

from dataclasses import dataclass
from itertools import count

from web_ui.languages import _

_serial = count(1)


@dataclass(frozen=True)
class Term:
    """A word of the field and what it means; `id` is what `term` asks for."""

    id: str
    name: str
    meaning: str


def serial() -> int:
    """A number that no other element of any page has, for an `id` in a part of a page."""
    return next(_serial)


def glossary() -> tuple[Term, ...]:
    """All terms in the reader's language, in the order in which a reading needs them."""
    return (
        Term(
            "reading",
            _("Reading"),
            _("One image, read by one model: its answer with everything that it rests on."),
        ),
        Term(
            "image_check",
            _("Image check"),
            _(
                "Asked before anything else: is this an image that the model may judge at all?"
                " One that is not gets no probabilities."
            ),
        ),
        Term(
            "band",
            _("Band"),
            _(
                "What the model can stand by at its stated coverage: likely positive, uncertain or"
                " likely negative. Uncertain means that neither can be excluded."
            ),
        ),
        Term(
            "finding",
            _("Finding"),
            _("The class that the model is there to catch, such as pneumonia in a chest X-ray."),
        ),
        Term(
            "calibrated",
            _("Calibrated probability"),
            _(
                "A percentage that keeps its word: of a hundred images that get 80 %, about eighty"
                " show the finding, in patients like those the model was measured on."
            ),
        ),
        Term(
            "threshold",
            _("Threshold"),
            _("The probability from which on a reading counts as positive."),
        ),
        Term(
            "operating_point",
            _("Operating point"),
            _(
                "A threshold with a purpose: rule out misses fewest, rule in calls fewest for"
                " nothing, balanced stands between them."
            ),
        ),
        Term(
            "sensitivity",
            _("Sensitivity"),
            _("Of the patients who have the finding, the share that the model calls positive."),
        ),
        Term(
            "specificity",
            _("Specificity"),
            _(
                "Of the patients who do not have the finding, the share that the model calls"
                " negative."
            ),
        ),
        Term(
            "interval",
            _("95 % interval"),
            _(
                "The range that a figure may lie in, given how few patients it was measured on:"
                " the fewer patients, the wider."
            ),
        ),
        Term(
            "auc",
            _("AUC"),
            _(
                "How well the model tells the two apart over all thresholds: 1 is perfect, 0.5 is"
                " a coin. Measured on validation patients."
            ),
        ),
        Term(
            "coverage",
            _("Coverage"),
            _(
                "How often the true class is among those that the model does not exclude, for"
                " example 90 of 100 times. The bands rest on it."
            ),
        ),
        Term(
            "heatmap",
            _("Heatmap"),
            _(
                "Where in the image the network found what speaks for a class. It does not outline"
                " a disease."
            ),
        ),
        Term(
            "review",
            _("Review"),
            _(
                "What a clinician says of a reading: agree, disagree or correct it. It is kept with"
                " its author and its time, beside earlier ones."
            ),
        ),
        Term(
            "first_opinion",
            _("First opinion"),
            _(
                "What a clinician holds before seeing what the model says. Kept beside it,"
                " so that one can tell how often the model changed a mind."
            ),
        ),
        Term(
            "card",
            _("Model card"),
            _(
                "The record of a model: what it was trained on, how it was measured, how good it is"
                " and what it must not be used for."
            ),
        ),
        Term(
            "demonstration",
            _("Demonstration"),
            _(
                "A model that shows how it works and must not be relied on for a patient; its page"
                " says why."
            ),
        ),
        Term(
            "candidate",
            _("Clinical candidate"),
            _(
                "A model whose data and measurements would let a clinical evaluation begin. It is"
                " not a medical device."
            ),
        ),
        Term(
            "unit",
            _("Unit"),
            _("The group of people who see the same readings, such as a ward or a department."),
        ),
    )


def term_of(name: str) -> Term:
    """One term in the reader's language. Raises KeyError for a word that is not explained."""
    return {one.id: one for one in glossary()}[name]
