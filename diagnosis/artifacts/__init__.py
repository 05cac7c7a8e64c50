"""Artifacts: the card, the verification of every byte, and the registry of versions."""

from diagnosis.artifacts.artifact import VerifiedArtifact, check_against, open_artifact
from diagnosis.artifacts.card import Card
from diagnosis.artifacts.opener import inspect_keras
from diagnosis.artifacts.registry import Registry, SeedProblem, storage_at
from diagnosis.artifacts.signature import make_key, read_private_key, read_public_key, sign
from diagnosis.artifacts.state import RegistryEvent, RegistryState

__all__ = [
    "Card",
    "Registry",
    "RegistryEvent",
    "RegistryState",
    "SeedProblem",
    "VerifiedArtifact",
    "check_against",
    "inspect_keras",
    "make_key",
    "open_artifact",
    "read_private_key",
    "read_public_key",
    "sign",
    "storage_at",
]
