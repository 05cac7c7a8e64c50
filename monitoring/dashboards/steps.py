"""Where does a reading spend its time?"""

from monitoring.dashboards import limits
from monitoring.dashboards.board import Board, Limit, Panel, Query, Row, Variable

#: In the order of a reading.
STEPS = ("queue", "decode", "gate", "preprocess", "infer", "explain", "store")
_DISEASE = 'disease=~"$disease"'
_READINGS = 'service="inference_service", route="/api/v1/diseases/{disease}/predictions"'


def _all(quantile: float) -> str:
    return (
        f"histogram_quantile({quantile}, sum by (le) (rate("
        f"sightline_http_request_seconds_bucket{{{_READINGS}}}[$__rate_interval])))"
    )


def _step(end: str, span: str) -> str:
    return f"sum by (step) ({span}(sightline_reading_step_seconds_{end}{{{_DISEASE}}}"


PROMISE = Limit(limits.seconds_of("readings"))

WHOLE = Row(
    "The whole reading",
    (
        Panel(
            title="From request to answer",
            says="Half, 19 of 20 and 99 of 100 readings are faster than that. The line is what is "
            "promised.",
            queries=tuple(
                Query(_all(one), name) for one, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
            ),
            unit="s",
            limits=(PROMISE,),
            alerts=("SightlineReadingsBudgetBurns",),
            names=("p50", "p95", "p99"),
            width=12,
        ),
        Panel(
            title="How long readings take",
            says="How many took how long; a second band above the first is a second cause.",
            queries=(
                Query(
                    "sum by (le) (increase("
                    f"sightline_http_request_seconds_bucket{{{_READINGS}}}[$__rate_interval]))",
                    "{{le}}",
                ),
            ),
            unit="s",
            kind="heat",
            width=12,
        ),
    ),
)

EACH = Row(
    "Its steps",
    (
        Panel(
            title="Mean time of each step",
            says="Stacked: together what a reading takes in the mean.",
            queries=(
                Query(
                    f"{_step('sum', 'rate')}[$__rate_interval])) / "
                    f"{_step('count', 'rate')}[$__rate_interval]))",
                    "{{step}}",
                ),
            ),
            unit="s",
            kind="stack",
            names=STEPS,
            width=12,
        ),
        Panel(
            title="Slowest in twenty (p95) of each step",
            says="The step that is slow now and then.",
            queries=(
                Query(
                    "histogram_quantile(0.95, sum by (le, step) (rate("
                    f"sightline_reading_step_seconds_bucket{{{_DISEASE}}}[$__rate_interval])))",
                    "{{step}}",
                ),
            ),
            unit="s",
            names=STEPS,
            width=12,
        ),
        Panel(
            title="All time by step",
            says="Seconds that all readings of the chosen time spent in each step: what to make "
            "faster first.",
            queries=(Query(f"{_step('sum', 'increase')}[$__range]))", "{{step}}"),),
            unit="s",
            kind="bars",
            names=STEPS,
            width=12,
        ),
        Panel(
            title="All time by disease",
            says="Seconds that readings of each disease took, all steps together.",
            queries=(
                Query(
                    "sum by (disease) (increase("
                    f"sightline_reading_step_seconds_sum{{{_DISEASE}}}[$__range]))",
                    "{{disease}}",
                ),
            ),
            unit="s",
            kind="bars",
            width=12,
        ),
    ),
)

PRESSURE = Row(
    "Too much at once",
    (
        Panel(
            title="Readings that wait",
            says="Accepted and not begun, by instance. The line is where somebody is told.",
            queries=(Query("sum by (instance) (sightline_readings_waiting)", "{{instance}}"),),
            unit="short",
            limits=(limits.alert_limit("SightlineReadingsWait"),),
            alerts=("SightlineReadingsWait",),
            width=12,
        ),
        Panel(
            title="Processes that read images and ended",
            says="In 15 minutes, by how. `recycled` is as it should be; the others are files that "
            "crash their reader, or memory that is short.",
            queries=(
                Query(
                    "sum by (outcome) (increase(sightline_decoder_ends_total[15m]))", "{{outcome}}"
                ),
            ),
            unit="short",
            limits=(limits.alert_limit("SightlineReadersEnd"),),
            alerts=("SightlineReadersEnd",),
            names=("recycled", "crashed", "hung", "killed", "nonsense"),
            width=12,
        ),
    ),
)

BOARD = Board(
    uid="sightline-steps",
    title="Where does a reading spend its time?",
    says="From the request to the answer, and each step between.",
    rows=(WHOLE, EACH, PRESSURE),
    variables=(Variable("disease", "Disease", "sightline_reading_step_seconds_count", "disease"),),
)
