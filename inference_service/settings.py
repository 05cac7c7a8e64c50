"""What the service needs to know about where it runs; nothing else here reads the environment."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

#: What may hand a child its libraries and its language; no setting and no secret does.
INHERITED = ("LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH")


def child_environment() -> dict[str, str]:
    """What a child process inherits of this one's environment."""
    return {name: value for name, value in os.environ.items() if name in INHERITED}


def usable_cores() -> int:
    """How many cores this process may run on; fewer than the machine has where it is confined."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Settings(BaseSettings):
    """Settings of inference_service, each from `SIGHTLINE_INFERENCE_<NAME>`."""

    model_config = SettingsConfigDict(
        env_prefix="SIGHTLINE_INFERENCE_",
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
    )

    redis_url: SecretStr
    """Where readings are stored: `unix:///path`, `redis://` or `rediss://`, with the password if
    there is one. It has no default, so that no reading lands in a Redis that happens to run."""
    redis_ca_file: Path | None = None
    """For `rediss://`: the authority (PEM) that signed the server's certificate; by default those
    that the system trusts."""
    identity_key_file: Path
    """Public key (PEM, Ed25519) of the gateway, which signs who is asking. It has no default:
    without it nobody could be told from anybody."""
    registry: str = ".run/registry"
    """The registry, which says what version of each disease is live: a folder outside the
    checkout, as it changes, or `s3://BUCKET/PREFIX`."""
    registry_cache_dir: Path = Path(".run/registry-cache")
    """Where the versions of a registry in a bucket are kept once they were fetched."""
    models_dir: Path = Path("models")
    """The artifacts that ship, read-only; what the registry lacks of them is copied at start."""
    catalogue_dir: Path | None = None
    """Another folder of disease files, in place of the catalogue that ships."""
    image_dir: Path = Path(".run/images")
    """Where the checked, de-identified images are kept; Redis holds no pixels."""
    image_bucket: str = ""
    """A bucket to keep them in instead, `s3://BUCKET/PREFIX`, and the files of batches that wait;
    in `image_dir` then lies only what is being taken in."""
    image_retention_days: Annotated[float, Field(gt=0, le=36500)] = 30.0
    """How long an image is kept; its reading stays. No longer than the people who may look at a
    reading again need it, because it is the image of a patient."""
    keep_dicom: bool = False
    """Keep beside the image, as long as it, the DICOM file that it came in, de-identified: the
    picture in full depth, and none of the attributes that name anybody. Files are never kept as
    they came."""
    sweep_seconds: Annotated[float, Field(gt=0, le=86400)] = 3600.0
    """How often images past their retention time are deleted."""
    patient_reference_key_file: Path = Path(".run/patient_reference.key")
    """Key of the hash that stands in for a patient reference; made on the first start, readable
    by its owner only. Keep it with the data: with another key, no old reference is found again."""
    card_key_file: Path | None = None
    """Public key (PEM, Ed25519) that every artifact's card must be signed by; an artifact without
    that signature is refused. Unset: cards need no signature."""
    engine: Literal["openvino", "keras"] = "openvino"
    """What runs the models. `keras` is the reference, slow, and needs Keras and a backend."""
    precision: Literal["f32", "bf16", "f16", "int8"] = "f32"
    """Precision of the arithmetic. Below f32 it is used only for an artifact whose card records
    that it passed the comparison with f32, and int8 only where the artifact brings its 8-bit
    graph; every other artifact stays at f32."""
    threads: Annotated[int, Field(ge=1, le=256)] = Field(default_factory=usable_cores)
    """Readings made at once, one core each; more than the cores would only slow each other."""
    max_waiting: Annotated[int, Field(ge=0, le=10_000)] = 32
    """Readings that may wait for a thread, uploads included. One more is refused at once with
    503, which is kinder than a queue nobody sees the end of, and bounds the memory."""
    upload_seconds: Annotated[float, Field(gt=0, le=600)] = 30.0
    """How long an upload may take; a slower one would hold its place in the queue for good."""
    deadline_seconds: Annotated[float, Field(gt=0, le=600)] = 30.0
    """How long a reading may take from its upload's end; after that the caller has given up."""
    decoding_seconds: Annotated[float, Field(gt=0, le=600)] = 20.0
    """How long reading one image may take, by the clock and in processor time; the process that
    reads it is then killed and the image refused."""
    decoding_memory_mb: Annotated[int, Field(ge=256, le=65_536)] = 1536
    """MiB that a process that reads images may allocate; there is one for each of the threads. It
    has to be enough for the largest image that is taken, 50 megapixels."""
    decoding_images: Annotated[int, Field(ge=1, le=1_000_000)] = 500
    """Images that such a process reads before a fresh one takes its place."""
    events_seconds: Annotated[float, Field(gt=0, le=3600)] = 300.0
    """How long a stream of new readings is held open; the browser then asks again, and is asked
    again who it is."""
    batch_items_waiting: Annotated[int, Field(ge=1, le=10_000_000)] = 20_000
    """Files of batches that may wait for workers; more are refused with 503 and `Retry-After`."""
    batch_lease_seconds: Annotated[float, Field(ge=1, le=3600)] = 15.0
    """How long a file stays with a worker that gives no sign of life; another one then reads it. A
    worker gives a sign three times as often."""
    reload_seconds: Annotated[float, Field(gt=0, le=3600)] = 2.0
    """How often the registry is asked for a change and Redis for a sign of life."""
    drift_seconds: Annotated[float, Field(gt=0, le=86400)] = 60.0
    """How often it is looked whether a window of readings is full, and what it comes to."""
    drift_stops: bool = True
    """Whether a model that drifted past its limits is stopped until two people have lifted that;
    `false` only shows it, and alerts."""
    conversion_cache_dir: Path = Path(".run/converted")
    """Graphs made here from artifacts that came without one, by the digest of the artifact."""
    conversion_seconds: Annotated[float, Field(gt=0, le=3600)] = 180.0
    """How long such a conversion may take, in a process of its own."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """The least severe line that is logged."""
    traces_url: str | None = None
    """Where traces go, by OTLP over HTTP; None: nothing is traced."""
