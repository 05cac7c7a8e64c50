"""A batch from its first file to its last: what is left of it is read, posted and written down."""

import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from diagnosis.artifacts import VerifiedArtifact, check_against
from diagnosis.catalogue import disease as disease_of
from diagnosis.contracts import OperatingPointName
from trainer.evaluate import find_artifact
from trainer.infer.engines import EngineName, Setup, answers, chosen_engine
from trainer.infer.journal import Journal, check_name, known, opened
from trainer.infer.posting import Poster
from trainer.infer.predictor import Answer, Job, point_of
from trainer.infer.record import Record
from trainer.infer.sources import source_at
from trainer.infer.telling import Telling
from trainer.refusals import TrainerRefused
from trainer.runtime import Precision
from trainer.settings import Settings
from trainer.watching import shown

FOLDER = "batches"


class Watcher(Protocol):
    """What is told how far a batch is."""

    def begin(self, done: int, total: int) -> None:
        """So many of all files were done by earlier runs."""

    def advance(self, files: int) -> None:
        """So many more are done."""


@dataclass(frozen=True)
class Asked:
    """What a person asked for."""

    disease: str
    """A disease of the catalogue, or DISEASE@VERSION."""
    source: str
    """A folder, or s3://BUCKET/PREFIX."""
    batch: str
    """The batch's name."""
    engine: EngineName | Literal["auto"] = "auto"
    operating_point: OperatingPointName | None = None
    unit: str = "default"
    images: Path | None = None
    """Where checked images are kept; None keeps none."""
    retry_failed: bool = False
    precision: Precision = "f32"
    ray: bool = False
    """Whether Ray hands the work out."""


@dataclass(frozen=True)
class Ran:
    """What came of a run."""

    journal: Journal
    artifact: VerifiedArtifact
    names: tuple[str, ...]
    """Every file of the batch."""
    engine: str
    files: int
    """Done by this run; the others were done before."""
    seconds: float


Log = Callable[[str], None]


def infer(asked: Asked, settings: Settings, watcher: Watcher, log: Log) -> Ran:
    """Read what is left of a batch; when this returns, every file has a reading or a reason.

    Args:
        asked: which batch, of what, by what.
        settings: Redis, the registry and where runs lie.
        watcher: is told how far it is.
        log: a line for a person.

    Raises:
        TrainerRefused: it cannot be done as it was asked for; what is done is kept.
        SightlineError: the artifact does not pass its checks, or a store was away for long.
    """
    check_name(asked.batch)
    if settings.redis_url is None:
        raise TrainerRefused(
            "Where to post readings is not set: SIGHTLINE_TRAINER_REDIS_URL, which "
            "`.venv/bin/gateway redis-url` prints for the stack of `make run`."
        )
    source = source_at(asked.source)
    names = source.names()
    folder = settings.runs_dir / FOLDER / asked.batch
    artifact = _artifact(asked, folder, settings)
    began = time.monotonic()
    with (
        opened(folder, _request(asked, artifact)) as journal,
        Poster(settings.redis_url.get_secret_value(), settings.redis_ca_file, log=log) as poster,
        # Readings do not wait for a port, which a training on this machine may have.
        shown(settings, log) as metrics,
    ):
        poster.ping()
        left = _left(journal, names, retry_failed=asked.retry_failed)
        watcher.begin(len(names) - len(left), len(names))
        telling = Telling(poster, metrics, artifact.card.disease)
        if not journal.lines:
            telling.began()
        record = Record(poster, journal, names)
        engine = chosen_engine() if asked.engine == "auto" else asked.engine
        if left:
            job = Job(journal.request.id, asked.unit, asked.operating_point, asked.precision)
            setup = Setup(engine, settings.workers, artifact, source, job, asked.images)
            with closing(_blocks(asked, setup, left, settings)) as blocks:
                for block in blocks:
                    # What the journal holds is done, so it comes last.
                    poster.post([one.prediction for one in block if one.prediction is not None])
                    telling.did(block)
                    record.advance(journal.add(block))
                    watcher.advance(len(block))
        record.end()
        if left:
            telling.ended()
    return Ran(journal, artifact, tuple(names), engine, len(left), time.monotonic() - began)


def _left(journal: Journal, names: Iterable[str], *, retry_failed: bool) -> list[str]:
    """The files that are still to be done."""
    done = {name for name, line in journal.lines.items() if not (retry_failed and line.problem)}
    return [name for name in names if name not in done]


def _blocks(
    asked: Asked, setup: Setup, names: Sequence[str], settings: Settings
) -> Generator[list[Answer], None, None]:
    if asked.ray:
        from trainer.infer import ray_engine

        return ray_engine.answers(setup, names, settings.ray_address)
    return answers(setup, names)


def _artifact(asked: Asked, folder: Path, settings: Settings) -> VerifiedArtifact:
    """The live artifact; of a batch that was begun the one that it was begun with."""
    disease, _, version = asked.disease.partition("@")
    disease_of(disease)
    begun = known(folder)
    if begun is not None and begun.disease == disease and version in ("", begun.version):
        artifact = find_artifact(f"{disease}@{begun.version}", settings)
    else:
        artifact = find_artifact(asked.disease, settings)
    check_against(artifact.card, disease_of(artifact.card.disease))
    try:
        point_of(artifact.card, asked.operating_point)
    except KeyError:
        there = ", ".join(one.name for one in artifact.card.operating_points) or "none"
        raise TrainerRefused(f"The artifact's operating points are: {there}.") from None
    return artifact


def _request(asked: Asked, artifact: VerifiedArtifact) -> dict[str, Any]:
    return {
        "name": asked.batch,
        "disease": artifact.card.disease,
        "version": artifact.card.version,
        "digest": artifact.digest,
        "source": asked.source if "://" in asked.source else str(Path(asked.source).resolve()),
        "unit": asked.unit,
        "operating_point": asked.operating_point,
        "precision": asked.precision,
    }
