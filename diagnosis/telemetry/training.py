"""The metrics of the trainer at work, in a registry of their own: a run is no service.

What `trainer infer` reads is counted by the services too, for Prometheus sees the trainer only
while it runs; so the names differ, or a sum would count a reading twice.
"""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    ProcessCollector,
)

#: Which images a loss is of.
SPLITS = ("train", "val")


class TrainingMetrics:
    """What `trainer train` and `trainer infer` show while they run, where a port is set."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.process = ProcessCollector(registry=self.registry)
        self.epoch = Gauge(
            "sightline_training_epoch",
            "Epochs of the present phase that are done.",
            ("disease",),
            registry=self.registry,
        )
        self.loss = Gauge(
            "sightline_training_loss",
            "Loss after the last epoch, of the training images and of those held out.",
            ("disease", "split"),
            registry=self.registry,
        )
        self.images_per_second = Gauge(
            "sightline_training_images_per_second",
            "Training images a second in the last epoch, its validation not counted.",
            ("disease",),
            registry=self.registry,
        )
        self.gpu_utilisation = Gauge(
            "sightline_training_gpu_utilisation_ratio",
            "Share of the last moment in which a GPU computed, by its number.",
            ("gpu",),
            registry=self.registry,
        )
        self.gpu_memory = Gauge(
            "sightline_training_gpu_memory_bytes",
            "Memory of a GPU that is in use, by its number.",
            ("gpu",),
            registry=self.registry,
        )
        self.infer_files = Counter(
            "sightline_infer_files",
            "Files that this run read, by whether it posted a reading (done) or not (failed).",
            ("disease", "outcome"),
            registry=self.registry,
        )
        self.infer_predictions = Counter(
            "sightline_infer_predictions",
            "Judged readings that this run posted, by most probable class and band.",
            ("disease", "class", "band"),
            registry=self.registry,
        )
