"""The registry: which versions of each disease exist, and which is live, shadow or retired.

A version never changes once it is published. What is done with versions changes the disease's
state, which is one file that is always whole. Where the two lie, `storage` says.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import ValidationError

from diagnosis.artifacts.artifact import open_artifact, read_card
from diagnosis.artifacts.bucket import Bucket
from diagnosis.artifacts.card import Card
from diagnosis.artifacts.promotion import check_promotion
from diagnosis.artifacts.state import RegistryState, changed, consent, event, make_live, stop
from diagnosis.artifacts.storage import DISEASE, STATE, VERSION, Folder, Storage
from diagnosis.artifacts.version import check_place, contents, names
from diagnosis.contracts import DriftStatistic
from diagnosis.errors import (
    ArtifactRefused,
    NoEarlierVersion,
    RegistryError,
    RegistryUnavailable,
    SightlineError,
)


@dataclass(frozen=True)
class SeedProblem:
    """A shipped artifact that was not taken over, and why."""

    folder: Path
    error: SightlineError


def storage_at(place: str | Path, cache: Path) -> Storage:
    """Where a registry lies.

    Args:
        place: a folder, or `s3://BUCKET/PREFIX`.
        cache: folder for the versions of a bucket that are used.

    Raises:
        RegistryError: it is neither, or boto3, which asks buckets, is not installed.
    """
    if isinstance(place, str) and "://" in place:
        return Bucket(place, cache)
    return Folder(Path(place))


class Registry:
    """The registry. Every method is safe beside other processes doing the same.

    Args:
        storage: where it lies; a path is a folder.
        key: what is published, promoted, shadowed or rolled back to has to be signed by the owner
            of this key; None: it need not be signed.
    """

    def __init__(self, storage: Storage | Path, key: Ed25519PublicKey | None = None) -> None:
        self._storage = Folder(storage) if isinstance(storage, Path) else storage
        self._key = key

    def diseases(self) -> tuple[str, ...]:
        """The diseases that have a version, by name."""
        return tuple(name for name in self._storage.diseases() if self.versions(name))

    def versions(self, disease: str) -> tuple[str, ...]:
        """The versions of a disease, ascending; empty where there is none."""
        return tuple(sorted(self._storage.versions(_checked(disease)), key=int))

    def state(self, disease: str) -> RegistryState:
        """The state of a disease; an empty one where nothing was ever promoted.

        Raises:
            RegistryError: it cannot be read.
        """
        return _parsed(disease, self._storage.state(_checked(disease)))

    def folder(self, disease: str, version: str) -> Path:
        """A folder with the files of a version.

        Raises:
            RegistryError: there is no such version.
        """
        _checked(disease)
        found = self._storage.folder(disease, version) if VERSION.fullmatch(version) else None
        if found is None:
            raise RegistryError(f"The registry has no version {version[:20]} of {disease}.")
        return found

    def live_folder(self, disease: str) -> Path | None:
        """Where the live version lies, or None."""
        live = self.state(disease).live
        return None if live is None else self.folder(disease, live)

    def stamp(self, disease: str) -> str:
        """Changes whenever the state does; cheap enough to ask every second. Empty at first."""
        return self._storage.stamp(_checked(disease))

    def publish(self, folder: Path) -> str:
        """Take an artifact's folder in, verified, as the version its card names.

        The state does not change: a published version waits until it is promoted.

        Raises:
            ArtifactRefused: the artifact does not pass its checks.
            RegistryError: the version exists already, or the registry cannot be written.
        """
        artifact = open_artifact(folder, self._key)
        card = artifact.card
        if not self._storage.put(card.disease, card.version, contents(artifact, folder)):
            raise RegistryError(
                f"Version {card.version} of {card.disease} exists already.",
                remedy="A version never changes: publish under the next number.",
            )
        return card.version

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
            ModelStopped: it is under review.
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
            NoEarlierVersion: no other version was live before, or it is retired or under review.
            RegistryError: the disease has no version.
        """

        def change(state: RegistryState) -> RegistryState:
            earlier = [
                one for one in state.lineage() if one != state.live and not state.stopped(one)
            ]
            if not earlier:
                raise NoEarlierVersion(f"No earlier version of {disease} was live.")
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

    def stop(self, disease: str, version: str, past: tuple[DriftStatistic, ...]) -> bool:
        """Take a live version out of use because it drifted: it becomes the shadow, and no version
        takes its place. Whether it was live until now; else nothing is changed.

        Args:
            disease: of the catalogue.
            version: which.
            past: the statistics that were past their limits.

        Raises:
            RegistryError: the disease has no version.
        """
        stopped = False

        def change(state: RegistryState) -> RegistryState:
            nonlocal stopped
            after = stop(state, version, past)
            stopped = after != state
            return after

        self._change(disease, change)
        return stopped

    def lift(self, disease: str, version: str, by: str, roles: tuple[str, ...]) -> RegistryState:
        """One more person agrees that a stopped version answers again; it does once one engineer
        and one clinician have, who are two people. A consent lapses after `CONSENT_STANDS`.

        Args:
            disease: of the catalogue.
            version: which.
            by: the account of who agrees.
            roles: those of the account.

        Raises:
            NotUnderReview: it is not stopped.
            AlreadyAgreed: this person has agreed before, and that stands.
            ArtifactRefused: it does not pass its checks; it stays stopped.
            RegistryError: there is no such version, or none of the roles counts.
        """

        def change(state: RegistryState) -> RegistryState:
            after = consent(state, version, by, roles)
            if after.live == version:
                self._verify(disease, version)
            return after

        return self._change(disease, change)

    def retire(self, disease: str, version: str) -> RegistryState:
        """Take a version out of use. Where it is live, the disease has no live version then. One
        that is under review stays so: it comes back when that is lifted, and then by a promotion.

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
        for disease in names(models, DISEASE):
            if not names(models / disease, VERSION):
                continue
            try:
                good = self._seed_disease(models / disease, disease, problems)
                if good and self._storage.state(disease) is None:
                    self._start(disease, max(good, key=int))
            except SightlineError as error:
                problems.append(SeedProblem(models / disease, error))
        return tuple(problems)

    def _seed_disease(self, shipped: Path, disease: str, problems: list[SeedProblem]) -> list[str]:
        """Copy the missing versions; returns the shipped ones that are now there and verified."""
        good = []
        there = self.versions(disease)
        # With a state and all versions there, nothing is read: starts stay fast.
        settled = self._storage.state(disease) is not None
        for version in sorted(names(shipped, VERSION), key=int):
            if version in there and settled:
                continue
            source = self.folder(disease, version) if version in there else shipped / version
            try:
                artifact = open_artifact(source, self._key)
                check_place(artifact, disease, version)
                if version not in there:
                    # Where another process was faster, what it copied is the same.
                    self._storage.put(disease, version, contents(artifact, source))
            except ArtifactRefused as error:
                problems.append(SeedProblem(source, error))
            else:
                good.append(version)
        return good

    def _start(self, disease: str, version: str) -> None:
        """Make a version live where nothing was ever promoted."""

        def change(before: bytes | None) -> bytes | None:
            if before is not None:
                return None
            return _written(make_live(RegistryState(disease=disease), version, "promote"))

        self._storage.change(disease, change)

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
        except RegistryUnavailable:
            # It may be there all the same, and then a promotion has to stand beside it.
            raise
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
        after = RegistryState(disease=disease)

        def replaced(content: bytes | None) -> bytes | None:
            nonlocal after
            before = _parsed(disease, content)
            # Asked again, because the storage took the write for one that was too late. Where what
            # was to happen stands in the history, it was not: its answer was lost.
            if after.history and after.history[-1] in before.history:
                return None
            after = change(before)
            return None if after == before else _written(after)

        self._storage.change(disease, replaced)
        return after


def _checked(disease: str) -> str:
    if not DISEASE.fullmatch(disease):
        raise RegistryError(f"{disease[:80]!r} is not the name of a disease.")
    return disease


def _parsed(disease: str, content: bytes | None) -> RegistryState:
    if content is None:
        return RegistryState(disease=disease)
    try:
        state = RegistryState.model_validate_json(content)
    except ValidationError as error:
        raise RegistryError(
            f"The registry's state of {disease} cannot be read.",
            remedy=f"Restore {STATE} of {disease} from a backup, or move it away and promote.",
            cause=type(error).__name__,
        ) from error
    if state.disease != disease:
        raise RegistryError(f"The registry's state of {disease} is that of {state.disease}.")
    return state


def _written(state: RegistryState) -> bytes:
    return f"{state.model_dump_json(indent=2)}\n".encode()
