"""How well are the models doing?"""

from monitoring.dashboards.board import BAD, WELL, Board, Limit, Panel, Query, Row, Variable
from monitoring.dashboards.limits import alert_limit

_D = 'disease=~"$disease"'
BANDS = ("likely_negative", "uncertain", "likely_positive")
STATISTICS = ("input", "embedding", "score", "agreement")


def _quantile(quantile: float, metric: str, by: str) -> str:
    return (
        f"histogram_quantile({quantile}, sum by (le, {by}) (increase({metric}_bucket{{{_D}}}[1h])))"
    )


VOLUME = Row(
    "Volume",
    (
        Panel(
            title="Readings an hour",
            says="Images that were read, by disease.",
            queries=(
                Query(
                    f"sum by (disease) (increase(sightline_readings_total{{{_D}}}[1h]))",
                    "{{disease}}",
                ),
            ),
            unit="short",
        ),
        Panel(
            title="Not judged",
            says="Share of images that the image check turned away in an hour: another device, "
            "another examination, or a gate that is too strict.",
            queries=(
                Query(
                    "sum by (disease) (increase(sightline_readings_total"
                    f'{{{_D}, outcome="not_judged"}}[1h])) / '
                    f"sum by (disease) (increase(sightline_readings_total{{{_D}}}[1h]))",
                    "{{disease}}",
                ),
            ),
            unit="percentunit",
            ends=(0, 1),
            limits=(alert_limit("SightlineNothingJudged", 0),),
            alerts=("SightlineNothingJudged",),
        ),
        Panel(
            title="Why images are not judged",
            says="In an hour, by reason of the image check.",
            queries=(
                Query(
                    "sum by (disease, reason) "
                    f"(increase(sightline_gate_refusals_total{{{_D}}}[1h]))",
                    "{{disease}} {{reason}}",
                ),
            ),
            unit="short",
            alerts=("SightlineNothingJudged",),
        ),
    ),
)

ANSWERS = Row(
    "Answers",
    (
        Panel(
            title="Band mix",
            says="Of judged images. A mix that moves is a model that drifts, or other patients.",
            queries=(
                Query(
                    f"sum by (band) (increase(sightline_predictions_total{{{_D}}}[1h]))",
                    "{{band}}",
                ),
            ),
            unit="short",
            kind="share",
            names=BANDS,
        ),
        Panel(
            title="Class mix",
            says="The likeliest class of judged images, in an hour.",
            queries=(
                Query(
                    f"sum by (disease, class) (increase(sightline_predictions_total{{{_D}}}[1h]))",
                    "{{disease}} {{class}}",
                ),
            ),
            unit="short",
            kind="stack",
        ),
        Panel(
            title="Confidence",
            says="Probability of the likeliest class: the middle one of an hour, and the tenth "
            "below. It falls where images are unlike those of training.",
            queries=(
                Query(
                    _quantile(0.5, "sightline_prediction_confidence", "disease"), "{{disease}} p50"
                ),
                Query(
                    _quantile(0.1, "sightline_prediction_confidence", "disease"), "{{disease}} p10"
                ),
            ),
            unit="percentunit",
            ends=(0, 1),
        ),
        Panel(
            title="Confidence, all of it",
            says="How many readings with which probability.",
            queries=(
                Query(
                    "sum by (le) (increase("
                    f"sightline_prediction_confidence_bucket{{{_D}}}[$__rate_interval]))",
                    "{{le}}",
                ),
            ),
            unit="percentunit",
            kind="heat",
        ),
        Panel(
            title="Clinicians say",
            says="Reviews in the chosen time, by what was said.",
            queries=(
                Query(
                    "sum by (disease, opinion) "
                    f"(increase(sightline_reviews_total{{{_D}}}[$__range]))",
                    "{{disease}} {{opinion}}",
                ),
            ),
            unit="short",
            kind="bars",
        ),
        Panel(
            title="Agreement",
            says="Share of reviews of a day that agree with the reading.",
            queries=(
                Query(
                    "sum by (disease) (increase(sightline_reviews_total"
                    f'{{{_D}, opinion="agree"}}[1d])) / '
                    f"sum by (disease) (increase(sightline_reviews_total{{{_D}}}[1d]))",
                    "{{disease}}",
                ),
            ),
            unit="percentunit",
            ends=(0, 1),
        ),
    ),
)

DRIFT = Row(
    "Drift",
    (
        Panel(
            title="Under review",
            says="Models that were demoted because they drifted; two people must lift it.",
            queries=(
                Query(f"max by (disease) (sightline_model_under_review{{{_D}}})", "{{disease}}"),
            ),
            unit="short",
            kind="number",
            words=((0, "live", WELL), (1, "under review", BAD)),
            alerts=("SightlineModelUnderReview",),
            width=12,
        ),
        Panel(
            title="Images that wait",
            says="Readings until the next window is compared: a hundred make one.",
            queries=(Query(f"max by (disease) (sightline_drift_images{{{_D}}})", "{{disease}}"),),
            unit="short",
            kind="number",
            width=12,
        ),
        Panel(
            title="Drift of its limit",
            says="Each statistic as a share of its own limit, derived from the model's reference: "
            "past 1 in two windows in a row the model is stopped, and readings say so.",
            queries=(
                Query(
                    f"sightline_drift{{{_D}}} / on (disease, statistic) group_left () "
                    f"max by (disease, statistic) (sightline_drift_limit{{{_D}}})",
                    "{{disease}} {{statistic}}",
                ),
            ),
            unit="percentunit",
            limits=(Limit(1),),
            alerts=("SightlineModelDrifts",),
            width=12,
        ),
        Panel(
            title="What images look like",
            says="The middle one of an hour, for each figure that the image check takes. A step "
            "is another device or another setting of it.",
            queries=(
                Query(
                    _quantile(0.5, "sightline_input_statistic", "disease, statistic"),
                    "{{disease}} {{statistic}}",
                ),
            ),
            unit="percentunit",
            width=12,
        ),
    ),
)

LIVE = Row(
    "Versions",
    (
        Panel(
            title="Live versions",
            says="1 where the version is loaded, 0 where it was refused.",
            queries=(
                Query(
                    f"min by (disease, version) (sightline_model_live{{{_D}}})",
                    "{{disease}} {{version}}",
                ),
            ),
            unit="short",
            kind="table",
            width=6,
            alerts=("SightlineModelRefused",),
        ),
        Panel(
            title="Versions taken in",
            says="Loads, swaps and refusals in the chosen time.",
            queries=(
                Query(
                    "sum by (disease, outcome) "
                    f"(increase(sightline_model_loads_total{{{_D}}}[$__range]))",
                    "{{disease}} {{outcome}}",
                ),
            ),
            unit="short",
            kind="bars",
            width=6,
            alerts=("SightlineModelRefused",),
        ),
        Panel(
            title="Memory of models",
            says="What the weights of each compiled model take.",
            queries=(Query(f"max by (disease) (sightline_model_bytes{{{_D}}})", "{{disease}}"),),
            unit="bytes",
            kind="bars",
            width=6,
        ),
        Panel(
            title="Time to load",
            says="Seconds from the file to a model that answers.",
            queries=(
                Query(f"max by (disease) (sightline_model_load_seconds{{{_D}}})", "{{disease}}"),
            ),
            unit="s",
            kind="bars",
            width=6,
        ),
    ),
)

BOARD = Board(
    uid="sightline-models",
    title="How well are the models doing?",
    says="Volume, answers, agreement with clinicians, and drift, by disease.",
    rows=(VOLUME, ANSWERS, DRIFT, LIVE),
    variables=(Variable("disease", "Disease", "sightline_model_live", "disease"),),
    since="now-24h",
)
