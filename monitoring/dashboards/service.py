"""Is the service well?"""

from typing import Any

from monitoring.dashboards import limits
from monitoring.dashboards.board import UP_OR_DOWN, Board, Limit, Panel, Query, Row

#: What machines ask each other is no request of anybody's.
OURS = 'route!~"/healthz|/readyz|/metrics|/internal/.*"'
SERVICES = ("web_ui", "inference_service", "gateway", "inference_worker")
ROLES = ("web", "inference", "identity", "worker")


def _kept(objective: dict[str, Any]) -> Panel:
    longest = limits.windows()[-1]["long"]
    name, target = objective["name"], objective["target"]
    return Panel(
        title=f"Kept: {name}",
        says=f"{objective['promise']} How often that was true in the last {longest}; promised are "
        f"{100 * target:g} %.",
        queries=(
            Query(f'1 - sightline:bad:ratio_rate{longest}{{objective="{name}"}}', "{{objective}}"),
        ),
        unit="percentunit",
        kind="number",
        limits=(Limit(target, above=False),),
        alerts=(objective["runbook"],),
        decimals=2,
        width=12,
    )


def _burns(objective: dict[str, Any]) -> Panel:
    name, budget = objective["name"], round(1 - objective["target"], 6)
    spans = [one["long"] for one in limits.windows()]
    return Panel(
        title=f"Budget burns: {name}",
        says="How many times faster than allowed the promise is broken, by the window that is "
        "looked at. 1 uses up what is allowed exactly; lines are where the alerts begin.",
        queries=tuple(
            Query(f'sightline:bad:ratio_rate{span}{{objective="{name}"}} / {budget}', span)
            for span in spans
        ),
        unit="short",
        limits=tuple(Limit(one["factor"]) for one in reversed(limits.windows())),
        alerts=(objective["runbook"],),
        names=tuple(spans),
        width=12,
    )


def _slow(quantile: float, of: str) -> str:
    return (
        f"histogram_quantile({quantile}, sum by (le, {of}) "
        f"(rate(sightline_http_request_seconds_bucket{{{OURS}}}[$__rate_interval])))"
    )


PROMISES = Row(
    "What is promised",
    (*map(_kept, limits.objectives()), *map(_burns, limits.objectives())),
)

NOW = Row(
    "Now",
    (
        Panel(
            title="Instances that answer",
            says="Instances of each service whose /metrics Prometheus could read.",
            queries=(Query('sum by (role) (up{job="sightline"})', "{{role}}"),),
            unit="short",
            kind="number",
            limits=(Limit(1, above=False),),
            alerts=("SightlineServiceDown", "SightlineServiceMissing"),
            width=8,
        ),
        Panel(
            title="Redis, as services see it",
            says="Whether Redis answers each service. Without it no reading is kept.",
            queries=(Query("min by (service) (sightline_store_up)", "{{service}}"),),
            unit="short",
            kind="number",
            words=UP_OR_DOWN,
            alerts=("SightlineStoreDown",),
            width=8,
        ),
        Panel(
            title="Nginx",
            says="Whether the one way in answers its exporter.",
            queries=(Query("min by (instance) (nginx_up)", "{{instance}}"),),
            unit="short",
            kind="number",
            words=UP_OR_DOWN,
            alerts=("SightlineProxyDown",),
            width=4,
        ),
        Panel(
            title="Live models",
            says="1 where the live version is loaded, 0 where it was refused and nothing is read.",
            queries=(
                Query(
                    "min by (disease, version) (sightline_model_live)", "{{disease}} {{version}}"
                ),
            ),
            unit="short",
            kind="number",
            words=((0, "refused", UP_OR_DOWN[0][2]), (1, "live", UP_OR_DOWN[1][2])),
            alerts=("SightlineModelRefused",),
            width=4,
        ),
        Panel(
            title="Alerts that fire",
            says="SightlineWatchdog always does: where it is missing, nobody is watching.",
            queries=(
                Query(
                    'count by (alertname, severity) (ALERTS{alertstate="firing"})',
                    "{{alertname}} ({{severity}})",
                ),
            ),
            unit="short",
            kind="table",
            alerts=("SightlineWatchdog",),
            width=12,
        ),
        Panel(
            title="Versions that run",
            says="Instances by version: two versions of one service while it is being upgraded.",
            queries=(
                Query(
                    "count by (service, version) (sightline_build_info)", "{{service}} {{version}}"
                ),
            ),
            unit="short",
            kind="table",
            alerts=("SightlineVersionsDiffer",),
            width=12,
        ),
    ),
)

REQUESTS = Row(
    "Requests",
    (
        Panel(
            title="Requests a second",
            says="Of people and programs, by the service that answered.",
            queries=(
                Query(
                    "sum by (service) "
                    f"(rate(sightline_http_requests_total{{{OURS}}}[$__rate_interval]))",
                    "{{service}}",
                ),
            ),
            unit="reqps",
            names=SERVICES,
        ),
        Panel(
            title="Failures a second",
            says="Answers of 500 and above, which are failures of ours.",
            queries=(
                Query(
                    "sum by (service) (rate(sightline_http_requests_total"
                    f'{{{OURS}, status=~"5.."}}[$__rate_interval]))',
                    "{{service}}",
                ),
            ),
            unit="reqps",
            names=SERVICES,
            alerts=("SightlineAnswersBudgetBurns",),
        ),
        Panel(
            title="Slowest in twenty (p95)",
            says="19 of 20 requests took less than that.",
            queries=(Query(_slow(0.95, "service"), "{{service}}"),),
            unit="s",
            names=SERVICES,
        ),
        Panel(
            title="Refusals a second",
            says="Requests that were refused, by the code of the error: what is asked for wrongly, "
            "and `overloaded` where more comes than can be read.",
            queries=(
                Query(
                    "sum by (code) (rate(sightline_refusals_total[$__rate_interval]))", "{{code}}"
                ),
            ),
            unit="reqps",
            alerts=("SightlineShedding",),
        ),
        Panel(
            title="Tries to sign in",
            says="In ten minutes, by how they ended; many refusals: somebody may guess.",
            queries=(
                Query("sum by (outcome) (increase(sightline_sign_ins_total[10m]))", "{{outcome}}"),
            ),
            unit="short",
            names=("allowed", "refused"),
            limits=(limits.alert_limit("SightlineSignInsRefused"),),
            alerts=("SightlineSignInsRefused",),
        ),
        Panel(
            title="Slowest routes (p95)",
            says="The ten routes whose slowest requests take longest, now.",
            queries=(Query(f"topk(10, {_slow(0.95, 'route')})", "{{route}}"),),
            unit="s",
            kind="bars",
        ),
    ),
)

PROXY = Row(
    "Nginx",
    (
        Panel(
            title="Requests at the door",
            says="Everything that came, refusals at the door included.",
            queries=(
                Query(
                    "sum by (instance) (rate(nginx_http_requests_total[$__rate_interval]))",
                    "{{instance}}",
                ),
            ),
            unit="reqps",
        ),
        Panel(
            title="Connections",
            says="Open now: reading a request, writing an answer, or idle.",
            queries=(
                Query("sum(nginx_connections_reading)", "reading"),
                Query("sum(nginx_connections_writing)", "writing"),
                Query("sum(nginx_connections_waiting)", "idle"),
            ),
            unit="short",
            kind="stack",
            names=("reading", "writing", "idle"),
        ),
        Panel(
            title="Connections not taken",
            says="Accepted and not handled, a second: Nginx is at its limit of connections.",
            queries=(
                Query(
                    "sum(rate(nginx_connections_accepted[$__rate_interval])) "
                    "- sum(rate(nginx_connections_handled[$__rate_interval]))",
                    "not taken",
                ),
            ),
            unit="cps",
        ),
    ),
)

PROCESSES = Row(
    "Processes",
    (
        Panel(
            title="Memory",
            says="Resident memory of each service; what only grows is a leak.",
            queries=(
                Query('sum by (role) (process_resident_memory_bytes{job="sightline"})', "{{role}}"),
            ),
            unit="bytes",
            names=ROLES,
        ),
        Panel(
            title="Processor time",
            says="Cores that each service keeps busy.",
            queries=(
                Query(
                    "sum by (role) "
                    '(rate(process_cpu_seconds_total{job="sightline"}[$__rate_interval]))',
                    "{{role}}",
                ),
            ),
            unit="short",
            names=ROLES,
        ),
        Panel(
            title="Runs since",
            says="How long each service has been running; a jump to nothing is a restart.",
            queries=(
                Query(
                    'min by (role) (time() - process_start_time_seconds{job="sightline"})',
                    "{{role}}",
                ),
            ),
            unit="s",
            names=ROLES,
            alerts=("SightlineServiceRestarts",),
        ),
    ),
)

BOARD = Board(
    uid="sightline-service",
    title="Is the service well?",
    says="What is promised and how far it is kept, who answers, and what goes wrong.",
    rows=(NOW, PROMISES, REQUESTS, PROXY, PROCESSES),
)
