"""How many instances and dollars some readings a second take: the tables of docs/scaling.md.

    python -m tests.load.scaling        prints them

Measured figures are those of docs/performance.md; prices are assumptions. Change either here, and
the document follows: SIGHTLINE_WRITE_TABLES=1 has its test write them there.
"""

import math
from dataclasses import dataclass

RATES = (1, 100, 10_000)


@dataclass(frozen=True)
class Measured:
    """Of a film of 1600 x 1300 pixels, on two cores; see docs/performance.md."""

    readings_per_core_second: float = 44 / 2
    """Through Nginx, stored, the client's share included."""
    identity_ms: float = 1.5
    """Of a core, for the question who is asking."""
    redis_ms: float = 0.10
    """Of Redis' one core, for a reading and its audit event."""
    chain_ms: float = 0.017
    """Of a core, to chain one audit event and bring it to the disk, 500 at a time."""
    redis_kb: float = 2.3
    """Of memory, for a reading with its indexes."""


@dataclass(frozen=True)
class Assumed:
    """Not measured: what a film weighs, how full a machine may be, and what AWS charges.

    Prices are for us-east-1, Linux, on demand, without tax, as of 2026-11-26; not looked up at AWS.
    """

    image_mb: float = 0.3
    retention_days: float = 30
    utilisation: float = 0.6
    """Of the cores, so that a reading does not wait long and one instance may fail."""
    inference_cores: int = 8
    """Whole cores of a c7i.4xlarge, which has two threads a core."""
    inference_hour: float = 0.714
    small_cores: float = 1.0
    """Of a c7i.large, which is enough for everything at one reading a second."""
    small_hour: float = 0.0893
    web_cores: int = 2
    """Of an m7i.xlarge: pages, identity service, chainer."""
    web_hour: float = 0.2016
    edge_gbit: float = 0.78
    """What a c7i.large carries for hours; more only in bursts."""
    edge_hour: float = 0.0893
    redis_node_hour: float = 0.39
    """MemoryDB, db.r7g.large; one node, whose log lies in several zones."""
    balancer_hour: float = 0.05
    """Two load balancers, without what they count by use."""
    image_gb_month: float = 0.023
    """S3, in several zones, without its requests."""


@dataclass(frozen=True)
class Plan:
    """What one rate takes."""

    rate: int
    cores: float
    inference: int
    web: int
    edge: int
    shards: int
    dollars_hour: float

    @property
    def per_million(self) -> float:
        """Dollars of machines for a million readings, where they come at this rate all day."""
        return self.dollars_hour / (self.rate * 3600) * 1e6


def plan(rate: int, measured: Measured | None = None, assumed: Assumed | None = None) -> Plan:
    """Instances and dollars for this many readings a second."""
    m, a = measured or Measured(), assumed or Assumed()
    cores = rate / m.readings_per_core_second
    if cores <= a.small_cores * a.utilisation:
        return Plan(rate, cores, 1, 0, 0, 0, a.small_hour)
    # One more of each than is needed, so that one may fail.
    inference = math.ceil(cores / a.utilisation / a.inference_cores) + 1
    identity = rate * m.identity_ms / 1000
    web = math.ceil(identity / a.utilisation / a.web_cores) + 1
    edge = math.ceil(rate * a.image_mb * 8 / 1000 / (a.edge_gbit * a.utilisation)) + 1
    shards = math.ceil(rate * m.redis_ms / 1000 / a.utilisation)
    hour = (
        inference * a.inference_hour
        + web * a.web_hour
        + edge * a.edge_hour
        + shards * a.redis_node_hour
        + a.balancer_hour
    )
    return Plan(rate, cores, inference, web, edge, shards, hour)


def machines() -> str:
    """The table of instances and dollars."""
    heads = "readings a second", "busy cores", "inference", "web", "edge", "Redis shards"
    heads += "$ an hour", "$ a million readings"
    rows = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for one in map(plan, RATES):
        if one.web == 0:
            what = "1 server (c7i.large) with all of it | | |"
        else:
            what = f"{one.inference:,} | {one.web:,} | {one.edge:,} | {one.shards:,}"
        cores = f"{one.cores:.2g}" if one.cores < 100 else f"{one.cores:,.0f}"
        dollars = f"{one.dollars_hour:,.2f} | {one.per_million:,.2f}"
        rows.append(f"| {one.rate:,} | {cores} | {what} | {dollars} |")
    return "\n".join(rows) + "\n"


def storage() -> str:
    """The table of what is kept."""
    m, a = Measured(), Assumed()
    images = f"images of {a.retention_days:.0f} days"
    heads = "readings a second", images, "$ a month for them", "rows in Redis, a day more", "a year"
    rows = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for rate in RATES:
        day = rate * 86_400
        images_gb = day * a.retention_days * a.image_mb / 1000
        rows_gb = day * m.redis_kb / 1e6
        rows.append(
            f"| {rate:,} | {images_gb:,.0f} GB | {images_gb * a.image_gb_month:,.0f}"
            f" | {rows_gb:,.1f} GB | {rows_gb * 365:,.0f} GB |"
        )
    return "\n".join(rows) + "\n"


#: Each table by the name that its mark in the document has.
TABLES = {"machines": machines, "storage": storage}

if __name__ == "__main__":
    for name, table in TABLES.items():
        print(f"{name}\n\n{table()}")  # noqa: T201
