"""The trainer's settings: the only place in `trainer` that reads the environment."""

from pathlib import Path

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

#: The checkout; relative defaults would depend on where a command is typed.
PROJECT = Path(__file__).resolve().parents[1]


class Settings(BaseSettings):
    """Read once from the environment; every name begins with SIGHTLINE_TRAINER_."""

    model_config = SettingsConfigDict(env_prefix="SIGHTLINE_TRAINER_", frozen=True, extra="ignore")

    registry: str = Field(
        str(PROJECT / ".run" / "registry"),
        description="The registry that publish and promote write to: a folder, or s3://BUCKET/PREFIX.",
    )
    registry_cache_dir: Path = Field(
        PROJECT / ".run" / "registry-cache",
        description="The versions of a registry in a bucket, once they were fetched.",
    )
    models_dir: Path = Field(
        PROJECT / "models",
        description="The artifacts that ship; read where the registry does not exist yet.",
    )
    signing_key_file: Path | None = Field(
        None,
        description="Private key (PEM, Ed25519) that `publish` signs cards with; unset: unsigned.",
    )
    card_key_file: Path | None = Field(
        None,
        description="Public key that a card must be signed by before `promote` makes it live.",
    )
    runs_dir: Path = Field(
        PROJECT / "trainer-runs",
        description="Where a training run without --out puts its folder.",
    )
    cache_dir: Path = Field(
        PROJECT / ".run" / "trainer-cache",
        description="Preprocessed images, by the digest of their steps and of the file.",
    )
    data: Path | None = Field(
        None,
        validation_alias=AliasChoices("SIGHTLINE_TRAINER_DATA", "SIGHTLINE_DATA"),
        description="Folder of data sets; pretrained weights are looked for in its `weights`.",
    )
    weights: Path | None = Field(
        None,
        description="Pretrained SqueezeNet v1.1 weights (.h5) of the recipes that start from them.",
    )
    redis_url: SecretStr | None = Field(
        None,
        description="Where `infer` posts readings: unix://, redis:// or rediss://, as trainer.",
    )
    redis_ca_file: Path | None = Field(
        None,
        description="For rediss://: the authority (PEM) that signed the server's certificate.",
    )
    ray_address: str | None = Field(
        None,
        description="Cluster for `--engine ray`: HOST:6379 or ray://HOST:10001; unset: one here.",
    )
    metrics_port: int | None = Field(
        None,
        ge=1,
        le=65535,
        description="Port on which `train` answers /metrics while it runs; unset: nothing listens.",
    )
    metrics_address: str = Field(
        "127.0.0.1",
        description="Address of that port; a Prometheus elsewhere needs one that it can reach.",
    )
    workers: int = Field(
        2, ge=1, le=64, description="Threads that decode, preprocess and augment images."
    )

    def find_weights(self, pattern: str) -> Path | None:
        """Where a recipe's weights are: the setting, or the folder of data sets, or None.

        Args:
            pattern: of the file's name; empty where a recipe never takes any by itself.
        """
        if not pattern:
            return None
        if self.weights is not None:
            return self.weights
        if self.data is None:
            return None
        found = sorted((self.data / "weights").glob(pattern))
        return found[0] if found else None
