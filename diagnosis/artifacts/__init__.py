"""Artifacts: the card, the verification of every byte, and the registry of versions."""

from diagnosis.artifacts.artifact import VerifiedArtifact, check_against, open_artifact
from diagnosis.artifacts.card import Card
from diagnosis.artifacts.opener import inspect_keras
from diagnosis.artifacts.registry import Registry, SeedProblem, storage_at
from diagnosis.artifacts.signature import sign
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
    "open_artifact",
    "sign",
    "storage_at",
]
