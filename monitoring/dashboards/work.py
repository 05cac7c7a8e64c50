"""How far are batches and training?"""

from monitoring.dashboards.board import Board, Panel, Query, Row, Variable
from monitoring.dashboards.limits import alert_limit

GPU = "an NVIDIA GPU on the trainer"
TRAINING_RUNS = "`trainer train` while it runs"
_DISEASE = 'disease=~"$disease"'

BATCHES = Row(
    "Batches",
    (
        Panel(
            title="Files that wait",
            says="Accepted and not finished, of all units.",
            queries=(Query("max(sightline_batch_items_waiting)", "files"),),
            unit="short",
            kind="number",
            alerts=("SightlineBatchesWait",),
            width=6,
        ),
        Panel(
            title="Oldest file waits for",
            says="How long the oldest file of a batch that no worker has finished has been there.",
            queries=(Query("max(sightline_batch_oldest_waiting_seconds)", "oldest"),),
            unit="s",
            kind="number",
            limits=(alert_limit("SightlineBatchWaitsLong"),),
            alerts=("SightlineBatchWaitsLong",),
            width=6,
        ),
        Panel(
            title="Batches, all in all",
            says="In the chosen time, by what became of them.",
            queries=(
                Query(
                    "sum by (outcome) (increase(sightline_batches_total[$__range]))", "{{outcome}}"
                ),
            ),
            unit="short",
            kind="number",
            decimals=0,
            width=12,
        ),
        Panel(
            title="Files a second",
            says="By how they ended: done, failed, or kept by another worker; and those that the "
            "trainer posted.",
            queries=(
                Query(
                    "sum by (outcome) (rate(sightline_batch_items_total[$__rate_interval]))",
                    "{{outcome}}",
                ),
                Query(
                    "sum by (outcome) (rate(sightline_posted_files_total[$__rate_interval]))",
                    "posted, {{outcome}}",
                ),
            ),
            unit="ops",
            names=("done", "failed", "kept by another", "posted, done", "posted, failed"),
            alerts=("SightlineBatchesWait",),
        ),
        Panel(
            title="Files that wait, over time",
            says="It falls while workers read; a level that stays is a worker that is missing.",
            queries=(Query("max(sightline_batch_items_waiting)", "files"),),
            unit="short",
            alerts=("SightlineBatchesWait",),
        ),
        Panel(
            title="Files taken over",
            says="In an hour, from workers that did not say any more that they live.",
            queries=(
                Query("sum(increase(sightline_batch_items_taken_over_total[1h]))", "taken over"),
            ),
            unit="short",
        ),
    ),
)

TRAINING = Row(
    "Training (only while something is trained)",
    (
        Panel(
            title="Epoch",
            says="The epoch that training is in.",
            queries=(Query(f"sightline_training_epoch{{{_DISEASE}}}", "{{disease}}"),),
            unit="short",
            only_with=TRAINING_RUNS,
        ),
        Panel(
            title="Loss",
            says="Of training and of validation; where only the first falls, it learns by heart.",
            queries=(Query(f"sightline_training_loss{{{_DISEASE}}}", "{{disease}} {{split}}"),),
            unit="short",
            only_with=TRAINING_RUNS,
        ),
        Panel(
            title="Images a second",
            says="How fast it goes.",
            queries=(Query(f"sightline_training_images_per_second{{{_DISEASE}}}", "{{disease}}"),),
            unit="short",
            only_with=TRAINING_RUNS,
        ),
        Panel(
            title="GPU busy",
            says="Share of the time in which the GPU computed; low: it waits for images.",
            queries=(Query("sightline_training_gpu_utilisation_ratio", "{{instance}} {{gpu}}"),),
            unit="percentunit",
            ends=(0, 1),
            width=12,
            only_with=GPU,
        ),
        Panel(
            title="GPU memory",
            says="What is used of it.",
            queries=(Query("sightline_training_gpu_memory_bytes", "{{instance}} {{gpu}}"),),
            unit="bytes",
            width=12,
            only_with=GPU,
        ),
    ),
)

BOARD = Board(
    uid="sightline-work",
    title="How far are batches and training?",
    says="Batches of many images, and models that are being trained.",
    rows=(BATCHES, TRAINING),
    variables=(Variable("disease", "Disease", "sightline_model_live", "disease"),),
)
