"""The state of a disease's versions, and the events that made it."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import StringConstraints

from diagnosis.artifacts.card import Record, Version
from diagnosis.artifacts.stopping import UnderReview, review_of
from diagnosis.contracts import DriftStatistic, Slug
from diagnosis.errors import ModelStopped

Done = Literal["promote", "shadow", "rollback", "retire", "stop", "lift"]
PersonName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80)]


class RegistryEvent(Record):
    """Something that was done to a disease's versions."""

    at: datetime
    action: Done
    version: Version | None
    """The version that it was done to; None when a shadow was taken away."""
    previous: Version | None
    """The version that was live (for `shadow`: shadow) until then."""
    acknowledged_by: PersonName | None = None
    """Who accepted that this promotion lowers sensitivity; None where it does not."""
    reason: str | None = None
    """Why the version was stopped: the statistics that were past their limits."""


class RegistryState(Record):
    """A disease's state. A version that is in none of the places is published and waits."""

    schema_version: Literal[1] = 1
    disease: Slug
    live: Version | None = None
    shadow: Version | None = None
    retired: tuple[Version, ...] = ()
    under_review: tuple[UnderReview, ...] = ()
    """Versions that were stopped, and may be live only once that is lifted."""
    history: tuple[RegistryEvent, ...] = ()
    """Oldest first."""

    def lineage(self) -> tuple[str, ...]:
        """The versions that were live and may be again, oldest first; the live one is last.

        A rollback takes the last one away, so that two in a row go back two versions.
        """
        line: list[str] = []
        for past in self.history:
            version = past.version
            if past.action == "promote" and version is not None:
                line.append(version)
            elif past.action == "rollback" and version is not None:
                while line and line[-1] != version:
                    line.pop()
            elif past.action == "retire":
                line = [one for one in line if one != version]
        return tuple(line)

    def stopped(self, version: str | None) -> bool:
        """Whether a version may not be live until its stop is lifted."""
        return version in {one.version for one in self.under_review}

    @property
    def awaited(self) -> tuple[UnderReview, ...]:
        """Of those under review the ones that would answer again: they are not retired."""
        return tuple(one for one in self.under_review if one.version not in self.retired)

    def changed_at(self, version: str) -> datetime | None:
        """When something was last done to a version, or it stopped being live; None: never."""
        for past in reversed(self.history):
            replaced = past.previous == version and past.action in ("promote", "rollback", "shadow")
            if past.version == version or replaced:
                return past.at
        return None


def event(
    action: Done,
    version: str | None,
    previous: str | None,
    acknowledged_by: str | None = None,
    reason: str | None = None,
) -> RegistryEvent:
    """Something done now."""
    return RegistryEvent(
        at=datetime.now(UTC),
        action=action,
        version=version,
        previous=previous,
        acknowledged_by=acknowledged_by,
        reason=reason,
    )


def make_live(
    state: RegistryState,
    version: str,
    action: Literal["promote", "rollback"],
    acknowledged_by: str | None = None,
) -> RegistryState:
    """The state with another live version, which is neither shadow nor retired any more.

    Raises:
        ModelStopped: it is under review.
    """
    if state.stopped(version):
        raise ModelStopped(f"Version {version} of {state.disease} is under review.")
    return changed(
        state,
        event(action, version, state.live, acknowledged_by),
        live=version,
        shadow=None if state.shadow == version else state.shadow,
        retired=tuple(one for one in state.retired if one != version),
    )


def changed(state: RegistryState, happened: RegistryEvent, **changes: object) -> RegistryState:
    """The state after an event."""
    return state.model_copy(update={**changes, "history": (*state.history, happened)})


def stop(state: RegistryState, version: str, past: tuple[DriftStatistic, ...]) -> RegistryState:
    """The state after the live version was stopped; as it was where another one is live by now."""
    if state.live != version:
        return state
    happened = event("stop", version, state.live, reason=", ".join(past))
    review = UnderReview(version=version, since=happened.at, past=past)
    others = tuple(one for one in state.under_review if one.version != version)
    return changed(state, happened, live=None, shadow=version, under_review=(*others, review))


def consent(state: RegistryState, version: str, by: str, roles: tuple[str, ...]) -> RegistryState:
    """The state after one more person agreed that a stopped version answers again.

    Once it is lifted it is live again, unless another version is by now, or it was retired.

    Raises:
        NotUnderReview: it is not stopped.
        AlreadyAgreed: this person has agreed before, and that stands.
        RegistryError: none of the roles counts.
    """
    review = review_of(state.under_review, version).with_consent(by, roles)
    others = tuple(one for one in state.under_review if one.version != version)
    if not review.lifted:
        return state.model_copy(update={"under_review": (*others, review)})
    live = state.live or (None if version in state.retired else version)
    return changed(
        state,
        event("lift", version, state.live),
        live=live,
        shadow=None if live == version and state.shadow == version else state.shadow,
        under_review=others,
    )
