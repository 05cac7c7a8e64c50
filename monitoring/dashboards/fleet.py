"""Is the fleet well? The machines, by node_exporter."""

from monitoring.dashboards.board import Board, Panel, Query, Row, Variable
from monitoring.dashboards.limits import alert_limit

_ONE = 'instance=~"$instance"'
#: Without what lives in memory or shows other file systems once more.
_DISKS = f'{_ONE}, fstype!~"tmpfs|overlay|squashfs|ramfs"'


def _rate(metric: str, more: str = "") -> str:
    return f"rate({metric}{{{_ONE}{more}}}[$__rate_interval])"


WORK = Row(
    "Processors and memory",
    (
        Panel(
            title="Processors busy",
            says="Share of all cores that do anything.",
            queries=(
                Query(
                    "1 - avg by (instance) ("
                    + _rate("node_cpu_seconds_total", ', mode="idle"')
                    + ")",
                    "{{instance}}",
                ),
            ),
            unit="percentunit",
            ends=(0, 1),
        ),
        Panel(
            title="What they do",
            says="Cores by what keeps them busy, all chosen machines together. `steal` is what "
            "another machine of the same host took, `iowait` waits for disks.",
            queries=(
                Query(
                    "sum by (mode) (" + _rate("node_cpu_seconds_total", ', mode!="idle"') + ")",
                    "{{mode}}",
                ),
            ),
            unit="short",
            kind="stack",
            names=("user", "system", "iowait", "steal", "softirq", "irq", "nice"),
        ),
        Panel(
            title="Load a core",
            says="Processes that want to run, for each core; above 1 some wait.",
            queries=(
                Query(
                    f"sum by (instance) (node_load1{{{_ONE}}}) / "
                    f'count by (instance) (node_cpu_seconds_total{{{_ONE}, mode="idle"}})',
                    "{{instance}}",
                ),
            ),
            unit="short",
        ),
        Panel(
            title="Memory available",
            says="Share that programs could still have. The line is where somebody is told.",
            queries=(
                Query(
                    f"node_memory_MemAvailable_bytes{{{_ONE}}} / node_memory_MemTotal_bytes",
                    "{{instance}}",
                ),
            ),
            unit="percentunit",
            ends=(0, 1),
            limits=(alert_limit("SightlineMemoryShort"),),
            alerts=("SightlineMemoryShort",),
        ),
        Panel(
            title="Processes ended for lack of memory",
            says="In an hour; each was taken by the system because memory had run out.",
            queries=(Query(f"increase(node_vmstat_oom_kill{{{_ONE}}}[1h])", "{{instance}}"),),
            unit="short",
            alerts=("SightlineMemoryShort",),
        ),
        Panel(
            title="Open files",
            says="Share of the files that the system may hold open.",
            queries=(
                Query(f"node_filefd_allocated{{{_ONE}}} / node_filefd_maximum", "{{instance}}"),
            ),
            unit="percentunit",
        ),
    ),
)

DISKS = Row(
    "Disks",
    (
        Panel(
            title="Space left",
            says="Share of each file system. At the lower line nothing is accepted soon, at the "
            "upper one somebody is told where it also fills within a day.",
            queries=(
                Query(
                    f"node_filesystem_avail_bytes{{{_DISKS}}} / node_filesystem_size_bytes",
                    "{{instance}} {{mountpoint}}",
                ),
            ),
            unit="percentunit",
            kind="bars",
            ends=(0, 1),
            limits=(alert_limit("SightlineDiskFull"), alert_limit("SightlineDiskFills", 0)),
            alerts=("SightlineDiskFull", "SightlineDiskFills"),
        ),
        Panel(
            title="Space left in a day",
            says="Where each file system will be tomorrow if it goes on as in the last six hours; "
            "below nothing it is full by then.",
            queries=(
                Query(
                    f"predict_linear(node_filesystem_avail_bytes{{{_DISKS}}}[6h], 86400)",
                    "{{instance}} {{mountpoint}}",
                ),
            ),
            unit="bytes",
            ends=(None, None),
            alerts=("SightlineDiskFills",),
        ),
        Panel(
            title="Disks busy",
            says="Share of the time in which a disk had something to do.",
            queries=(Query(_rate("node_disk_io_time_seconds_total"), "{{instance}} {{device}}"),),
            unit="percentunit",
        ),
    ),
)

REST = Row(
    "Network and clock",
    (
        Panel(
            title="Network",
            says="Bytes a second, in and out, without what stays on the machine.",
            queries=(
                Query(
                    "sum by (instance) ("
                    + _rate("node_network_receive_bytes_total", ', device!="lo"')
                    + ")",
                    "{{instance}} in",
                ),
                Query(
                    "sum by (instance) ("
                    + _rate("node_network_transmit_bytes_total", ', device!="lo"')
                    + ")",
                    "{{instance}} out",
                ),
            ),
            unit="Bps",
        ),
        Panel(
            title="Packets lost",
            says="Dropped or faulty packets a second, both ways.",
            queries=(
                Query(
                    "sum by (instance) ("
                    + " + ".join(
                        _rate(f"node_network_{way}_{what}_total")
                        for way in ("receive", "transmit")
                        for what in ("drop", "errs")
                    )
                    + ")",
                    "{{instance}}",
                ),
            ),
            unit="pps",
        ),
        Panel(
            title="Clock",
            says="Seconds between the clock and the time that it is kept by.",
            queries=(Query(f"node_timex_offset_seconds{{{_ONE}}}", "{{instance}}"),),
            unit="s",
            ends=(None, None),
            limits=(alert_limit("SightlineClockOff", 0),),
            alerts=("SightlineClockOff",),
        ),
        Panel(
            title="Clock is kept",
            says="Whether something keeps the clock.",
            queries=(Query(f"node_timex_sync_status{{{_ONE}}}", "{{instance}}"),),
            unit="short",
            kind="number",
            words=((0, "no", "#D55E00"), (1, "yes", "#0072B2")),
            alerts=("SightlineClockOff",),
            width=12,
        ),
        Panel(
            title="Runs since",
            says="How long each machine has been running.",
            queries=(Query(f"time() - node_boot_time_seconds{{{_ONE}}}", "{{instance}}"),),
            unit="s",
            kind="number",
            width=12,
        ),
    ),
)

BOARD = Board(
    uid="sightline-fleet",
    title="Is the fleet well?",
    says="Processors, memory, disks, network and clocks of the machines.",
    rows=(WORK, DISKS, REST),
    variables=(Variable("instance", "Machine", "node_uname_info", "instance"),),
)
