"""The metrics of a training run, in a registry of their own: a run is no service."""

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    ProcessCollector,
)

#: Which images a loss is of.
SPLITS = ("train", "val")


class TrainingMetrics:
    """What `trainer train` shows while it runs, where a port is set for it."""

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
