"""The registry: which versions of each disease exist, and which is live, shadow or retired.

    <root>/<disease>/<version>/{card.json, model.keras, ...}    never changes once it is there
    <root>/<disease>/registry.json                              replaced as a whole, by rename
    <root>/<disease>/.lock                                      held by whoever writes

Readers take no lock: a version folder appears complete or not at all, and `registry.json` is
always one whole state. A writer that is killed leaves at most a folder or file beginning with
`.incoming-`, which the next writer removes.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import ValidationError

from diagnosis.artifacts.artifact import (
    CARD_NAME,
    VerifiedArtifact,
    open_artifact,
    read_card,
)
from diagnosis.artifacts.card import Card
from diagnosis.artifacts.durable import exclusive, put_folder, replace_file, sweep
from diagnosis.artifacts.promotion import check_promotion
from diagnosis.artifacts.state import RegistryState, changed, event, make_live
from diagnosis.artifacts.version import check_place, contents, names
from diagnosis.errors import ArtifactRefused, RegistryError, SightlineError

_STATE = "registry.json"
_SLUG = re.compile(r"[a-z][a-z0-9_]{0,63}")
_VERSION = re.compile(r"[1-9][0-9]{0,5}")


@dataclass(frozen=True)
class SeedProblem:
    """A shipped artifact that was not taken over, and why."""

    folder: Path
    error: SightlineError


class Registry:
    """The registry in a folder. Every method is safe beside other processes doing the same.

    Args:
        root: the folder.
        key: what is published, promoted, shadowed or rolled back to has to be signed by the owner
            of this key; None: it need not be signed.
    """

    def __init__(self, root: Path, key: Ed25519PublicKey | None = None) -> None:
        self._root = root
        self._key = key

    def diseases(self) -> tuple[str, ...]:
        """The diseases that have a version, by name."""
        return tuple(name for name in names(self._root, _SLUG) if self.versions(name))

    def versions(self, disease: str) -> tuple[str, ...]:
        """The versions of a disease, ascending; empty where there is none."""
        folder = self._folder(disease)
        complete = (v for v in names(folder, _VERSION) if (folder / v / CARD_NAME).is_file())
        return tuple(sorted(complete, key=int))

    def state(self, disease: str) -> RegistryState:
        """The state of a disease; an empty one where nothing was ever promoted.

        Raises:
            RegistryError: `registry.json` cannot be read.
        """
        path = self._folder(disease) / _STATE
        try:
            state = RegistryState.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return RegistryState(disease=disease)
        except (OSError, ValidationError) as error:
            raise RegistryError(
                f"The registry's state of {disease} cannot be read.",
                remedy=f"Restore {_STATE} of {disease} from a backup, or move it away and promote.",
                cause=type(error).__name__,
            ) from error
        if state.disease != disease:
            raise RegistryError(f"The registry's state of {disease} is that of {state.disease}.")
        return state

    def folder(self, disease: str, version: str) -> Path:
        """Where a version lies.

        Raises:
            RegistryError: there is no such version.
        """
        if not _VERSION.fullmatch(version) or version not in self.versions(disease):
            raise RegistryError(f"The registry has no version {version[:20]} of {disease}.")
        return self._folder(disease) / version

    def live_folder(self, disease: str) -> Path | None:
        """Where the live version lies, or None."""
        live = self.state(disease).live
        return None if live is None else self.folder(disease, live)

    def stamp(self, disease: str) -> str:
        """Changes whenever the state does; cheap enough to ask every second. Empty at first."""
        try:
            status = (self._folder(disease) / _STATE).stat()
        except OSError:
            return ""
        return f"{status.st_ino}-{status.st_mtime_ns}-{status.st_size}"

    def publish(self, folder: Path) -> str:
        """Take an artifact's folder in, verified, as the version its card names.

        The state does not change: a published version waits until it is promoted.

        Raises:
            ArtifactRefused: the artifact does not pass its checks.
            RegistryError: the version exists already, or the registry cannot be written.
        """
        artifact = open_artifact(folder, self._key)
        with self._writing(artifact.card.disease):
            self._take_in(artifact, folder)
        return artifact.card.version

    def promote(
        self, disease: str, version: str, acknowledged_by: str | None = None
    ) -> RegistryState:
        """Make a version live, after verifying it once more; a retired one comes back.

        Args:
            disease: of the catalogue.
            version: which.
            acknowledged_by: who accepts that it catches fewer of the ill than the live one; kept
                in the history where it does.

        Raises:
            ArtifactRefused: it does not pass its checks; the live version stays.
            PromotionRefused: its sensitivity is lower, and nobody acknowledged it or the
                threshold is the old one; the live version stays.
            RegistryError: there is no such version.
        """

        def change(state: RegistryState) -> RegistryState:
            card = self._verify(disease, version)
            if state.live == version:
                return state
            lower = check_promotion(card, self._live_card(state), acknowledged_by)
            return make_live(state, version, "promote", acknowledged_by if lower else None)

        return self._change(disease, change)

    def rollback(self, disease: str) -> str:
        """Return to the version that was live before; says which.

        Raises:
            ArtifactRefused: that version does not pass its checks; the live version stays.
            RegistryError: no other version was live before, or it is retired.
        """

        def change(state: RegistryState) -> RegistryState:
            earlier = [one for one in state.lineage() if one != state.live]
            if not earlier:
                raise RegistryError(f"No earlier version of {disease} was live.")
            self._verify(disease, earlier[-1])
            return make_live(state, earlier[-1], "rollback")

        live = self._change(disease, change).live
        assert live is not None
        return live

    def shadow(self, disease: str, version: str | None) -> RegistryState:
        """Let a version answer beside the live one, unseen; None takes the shadow away.

        Raises:
            ArtifactRefused: it does not pass its checks.
            RegistryError: there is no such version, or it is live or retired.
        """

        def change(state: RegistryState) -> RegistryState:
            if version == state.shadow:
                return state
            if version is not None:
                if version == state.live or version in state.retired:
                    raise RegistryError(
                        f"Version {version} of {disease} is live or retired and cannot be shadow."
                    )
                self._verify(disease, version)
            return changed(state, event("shadow", version, state.shadow), shadow=version)

        return self._change(disease, change)

    def retire(self, disease: str, version: str) -> RegistryState:
        """Take a version out of use. Where it is live, the disease has no live version then.

        Raises:
            RegistryError: there is no such version, or it is retired already.
        """

        def change(state: RegistryState) -> RegistryState:
            self.folder(disease, version)
            if version in state.retired:
                raise RegistryError(f"Version {version} of {disease} is retired already.")
            return changed(
                state,
                event("retire", version, state.live),
                live=None if state.live == version else state.live,
                shadow=None if state.shadow == version else state.shadow,
                retired=tuple(sorted({*state.retired, version}, key=int)),
            )

        return self._change(disease, change)

    def seed(self, models: Path) -> tuple[SeedProblem, ...]:
        """Take over the artifacts that ship, `models/<disease>/<version>/`.

        Versions that are missing are copied. A disease without a state goes live with its
        highest shipped version; one with a state keeps it. An artifact that is refused is
        reported, and the others are taken over.
        """
        problems: list[SeedProblem] = []
        for disease in names(models, _SLUG):
            if not names(models / disease, _VERSION):
                continue
            try:
                with self._writing(disease):
                    good = self._seed_disease(models / disease, disease, problems)
                    if good and not (self._folder(disease) / _STATE).exists():
                        empty = RegistryState(disease=disease)
                        self._write(make_live(empty, max(good, key=int), "promote"))
            except SightlineError as error:
                problems.append(SeedProblem(models / disease, error))
        return tuple(problems)

    def _seed_disease(self, shipped: Path, disease: str, problems: list[SeedProblem]) -> list[str]:
        """Copy the missing versions; returns the shipped ones that are now there and verified."""
        good = []
        there = self.versions(disease)
        # With a state and all versions there, nothing is read: starts stay fast.
        settled = (self._folder(disease) / _STATE).exists()
        for version in sorted(names(shipped, _VERSION), key=int):
            source = self._folder(disease) / version if version in there else shipped / version
            if version in there and settled:
                continue
            try:
                artifact = open_artifact(source, self._key)
                check_place(artifact, disease, version)
                if version not in there:
                    self._take_in(artifact, source)
            except ArtifactRefused as error:
                problems.append(SeedProblem(source, error))
            else:
                good.append(version)
        return good

    def _folder(self, disease: str) -> Path:
        if not _SLUG.fullmatch(disease):
            raise RegistryError(f"{disease[:80]!r} is not the name of a disease.")
        return self._root / disease

    @contextmanager
    def _writing(self, disease: str) -> Iterator[None]:
        """Hold the disease's lock; whatever a killed writer left is removed first."""
        folder = self._folder(disease)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with exclusive(folder / ".lock"):
                sweep(folder)
                yield
        except OSError as error:
            raise RegistryError(
                "The registry's folder cannot be written.",
                remedy="Check that the folder exists, is not read-only, and has space left.",
                cause=f"{type(error).__name__}: {error.strerror}",
            ) from error

    def _take_in(self, artifact: VerifiedArtifact, source: Path) -> None:
        """Write the verified bytes as a new version; the lock is held."""
        card = artifact.card
        if (self._folder(card.disease) / card.version).exists():
            raise RegistryError(
                f"Version {card.version} of {card.disease} exists already.",
                remedy="A version never changes: publish under the next number.",
            )
        put_folder(self._folder(card.disease), card.version, contents(artifact, source))

    def card(self, disease: str, version: str) -> Card:
        """The card of a version; its seal was checked, the files that it names were not.

        Raises:
            ArtifactRefused: it is missing or not valid.
            RegistryError: there is no such version.
        """
        return read_card(self.folder(disease, version))

    def _live_card(self, state: RegistryState) -> Card | None:
        """The live version's card; None where none is live, or what is live cannot be used."""
        if state.live is None:
            return None
        try:
            return self.card(state.disease, state.live)
        except (ArtifactRefused, RegistryError):
            # No service answers with it: there is nothing that a promotion could worsen.
            return None

    def _verify(self, disease: str, version: str) -> Card:
        artifact = open_artifact(self.folder(disease, version), self._key)
        check_place(artifact, disease, version)
        return artifact.card

    def _change(
        self, disease: str, change: Callable[[RegistryState], RegistryState]
    ) -> RegistryState:
        if not self.versions(disease):
            raise RegistryError(f"The registry has no version of {disease[:80]}.")
        with self._writing(disease):
            before = self.state(disease)
            after = change(before)
            if after != before:
                self._write(after)
        return after

    def _write(self, state: RegistryState) -> None:
        text = state.model_dump_json(indent=2) + "\n"
        replace_file(self._folder(state.disease) / _STATE, text.encode())
