"""Is Redis well? By its exporter."""

from monitoring.dashboards.board import BAD, UP_OR_DOWN, WELL, Board, Panel, Query, Row
from monitoring.dashboards.limits import alert_limit

_WRITES = ((0, "fails", BAD), (1, "works", WELL))

NOW = Row(
    "Now",
    (
        Panel(
            title="Redis",
            says="Whether it answers its exporter.",
            queries=(Query("redis_up", "{{instance}}"),),
            unit="short",
            kind="number",
            words=UP_OR_DOWN,
            alerts=("SightlineRedisDown",),
            width=4,
        ),
        Panel(
            title="Log on the disk",
            says="Whether the last write to the append-only file and its last rewriting worked. "
            "Where not, nothing is accepted.",
            queries=(
                Query("redis_aof_last_write_status", "write"),
                Query("redis_aof_last_bgrewrite_status", "rewriting"),
            ),
            unit="short",
            kind="number",
            words=_WRITES,
            alerts=("SightlineRedisCannotWrite",),
            width=8,
        ),
        Panel(
            title="Runs since",
            says="How long it has been running.",
            queries=(Query("redis_uptime_in_seconds", "{{instance}}"),),
            unit="s",
            kind="number",
            width=4,
        ),
        Panel(
            title="Keys",
            says="All that is stored, and what will expire by itself.",
            queries=(
                Query("sum(redis_db_keys)", "all"),
                Query("sum(redis_db_keys_expiring)", "expire"),
            ),
            unit="short",
            kind="number",
            width=8,
        ),
    ),
)

ROOM = Row(
    "Room",
    (
        Panel(
            title="Memory",
            says="What is used, and the most that was.",
            queries=(
                Query("redis_memory_used_bytes", "used"),
                Query("redis_memory_used_peak_bytes", "most"),
                Query("redis_memory_used_rss_bytes", "of the system"),
            ),
            unit="bytes",
            names=("used", "most", "of the system"),
        ),
        Panel(
            title="Memory of what it may have",
            says="Where a limit is set; else of the machine's. At the limit it refuses to write.",
            queries=(
                Query(
                    "redis_memory_used_bytes / (redis_memory_max_bytes > 0) "
                    "or redis_memory_used_bytes / scalar(min(node_memory_MemTotal_bytes))",
                    "used",
                ),
            ),
            unit="percentunit",
            ends=(0, 1),
            limits=(alert_limit("SightlineRedisFills"),),
            alerts=("SightlineRedisFills",),
        ),
        Panel(
            title="Log on the disk, size",
            says="The append-only file; it is rewritten when it has doubled.",
            queries=(Query("redis_aof_current_size_bytes", "size"),),
            unit="bytes",
        ),
    ),
)

WORK = Row(
    "Work",
    (
        Panel(
            title="Commands a second",
            says="The ten commands that are sent most.",
            queries=(
                Query(
                    "topk(10, sum by (cmd) (rate(redis_commands_total[$__rate_interval])))",
                    "{{cmd}}",
                ),
            ),
            unit="ops",
        ),
        Panel(
            title="Time of a command",
            says="In the mean, by command; every write waits for the disk.",
            queries=(
                Query(
                    "topk(10, sum by (cmd) "
                    "(rate(redis_commands_duration_seconds_total[$__rate_interval])) / "
                    "(sum by (cmd) (rate(redis_commands_total[$__rate_interval])) > 0))",
                    "{{cmd}}",
                ),
            ),
            unit="s",
        ),
        Panel(
            title="Clients",
            says="Connections; `blocked` ones wait for new work, as workers do.",
            queries=(
                Query("redis_connected_clients", "all"),
                Query("redis_blocked_clients", "blocked"),
            ),
            unit="short",
            names=("all", "blocked"),
        ),
        Panel(
            title="Slow commands",
            says="Entries of the slow log; it holds the last 128.",
            queries=(Query("redis_slowlog_length", "entries"),),
            unit="short",
        ),
        Panel(
            title="Never to happen",
            says="Keys thrown away for lack of room, connections refused, and commands that were "
            "refused by rights or by limits, in an hour.",
            queries=(
                Query("increase(redis_evicted_keys_total[1h])", "keys thrown away"),
                Query("increase(redis_rejected_connections_total[1h])", "connections refused"),
                Query("sum(increase(redis_commands_rejected_calls_total[1h]))", "commands refused"),
            ),
            unit="short",
            names=("keys thrown away", "connections refused", "commands refused"),
        ),
        Panel(
            title="Network",
            says="Bytes a second, in and out.",
            queries=(
                Query("rate(redis_net_input_bytes_total[$__rate_interval])", "in"),
                Query("rate(redis_net_output_bytes_total[$__rate_interval])", "out"),
            ),
            unit="Bps",
            names=("in", "out"),
        ),
    ),
)

BOARD = Board(
    uid="sightline-redis",
    title="Is Redis well?",
    says="The store of readings, accounts and batches.",
    rows=(NOW, ROOM, WORK),
)
