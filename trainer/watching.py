"""What Prometheus can read of the trainer while it works, where a port is set for it."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from prometheus_client import start_http_server

from diagnosis.telemetry import TrainingMetrics
from trainer.refusals import TrainerRefused
from trainer.runtime import keras
from trainer.settings import Settings

#: The Keras callbacks that measure a fit: of a disease, to so many images.
Measure = Callable[[str, int], Sequence[Any]]


@contextmanager
def measured(settings: Settings) -> Iterator[Measure]:
    """As `shown`, for what Keras fits."""
    with shown(settings) as metrics:
        if metrics is None:
            yield lambda _disease, _images: ()
        else:
            yield lambda disease, images: (_epochs(metrics, disease, images),)


@contextmanager
def shown(
    settings: Settings, without: Callable[[str], None] | None = None
) -> Iterator[TrainingMetrics | None]:
    """Answer `/metrics` on the port of the settings while the block runs; without one, nothing.

    Args:
        settings: with the port.
        without: told why nothing is shown where the port cannot be listened on.

    Raises:
        TrainerRefused: it cannot, and nobody is to be told so.
    """
    if settings.metrics_port is None:
        yield None
        return
    metrics = TrainingMetrics()
    with ExitStack() as ending:
        _watch_gpus(metrics, ending)
        try:
            server, thread = start_http_server(
                settings.metrics_port, settings.metrics_address, metrics.registry
            )
        except OSError as error:
            reason = f"Metrics cannot be shown on port {settings.metrics_port}: {error.strerror}."
            if without is None:
                raise TrainerRefused(
                    f"{reason} Set another SIGHTLINE_TRAINER_METRICS_PORT, or none."
                ) from error
            without(reason)
            yield None
            return
        ending.callback(thread.join)
        ending.callback(server.server_close)
        ending.callback(server.shutdown)
        yield metrics


def _epochs(metrics: TrainingMetrics, disease: str, images: int) -> Any:
    """The callback that keeps the metrics of a fit up to date."""

    class Epochs(keras().callbacks.Callback):  # type: ignore[misc]
        def on_epoch_begin(self, epoch: int, _logs: Any = None) -> None:
            self.began, self.trained = time.perf_counter(), 0.0
            metrics.epoch.labels(disease).set(epoch)

        def on_test_begin(self, _logs: Any = None) -> None:
            # Inside an epoch Keras validates last.
            self.trained = time.perf_counter() - self.began

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            seconds = self.trained or time.perf_counter() - self.began
            metrics.epoch.labels(disease).set(epoch + 1)
            metrics.images_per_second.labels(disease).set(images / max(seconds, 1e-9))
            for split, name in (("train", "loss"), ("val", "val_loss")):
                if name in (logs or {}):
                    metrics.loss.labels(disease, split).set(float(logs[name]))

    return Epochs()


def _watch_gpus(metrics: TrainingMetrics, ending: ExitStack) -> None:
    """Ask each GPU whenever somebody reads the metrics, where NVIDIA's library answers."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        # No such GPU, or no driver: there is nothing to show.
        return
    ending.callback(pynvml.nvmlShutdown)
    for number in range(pynvml.nvmlDeviceGetCount()):
        gpu = pynvml.nvmlDeviceGetHandleByIndex(number)

        def share(gpu: Any = gpu) -> float:
            return float(pynvml.nvmlDeviceGetUtilizationRates(gpu).gpu) / 100

        def used(gpu: Any = gpu) -> float:
            return float(pynvml.nvmlDeviceGetMemoryInfo(gpu).used)

        metrics.gpu_utilisation.labels(str(number)).set_function(share)
        metrics.gpu_memory.labels(str(number)).set_function(used)
