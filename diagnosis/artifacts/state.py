"""The state of a disease's versions, and the events that made it."""

from datetime import UTC, datetime
from typing import Literal

from diagnosis.artifacts.card import Record, Version
from diagnosis.contracts import Slug


class RegistryEvent(Record):
    """Something that was done to a disease's versions."""

    at: datetime
    action: Literal["promote", "shadow", "rollback", "retire"]
    version: Version | None
    """The version that it was done to; None when a shadow was taken away."""
    previous: Version | None
    """The version that was live (for `shadow`: shadow) until then."""


class RegistryState(Record):
    """A disease's state. A version that is in none of the places is published and waits."""

    schema_version: Literal[1] = 1
    disease: Slug
    live: Version | None = None
    shadow: Version | None = None
    retired: tuple[Version, ...] = ()
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


def event(
    action: Literal["promote", "shadow", "rollback", "retire"],
    version: str | None,
    previous: str | None,
) -> RegistryEvent:
    """Something done now."""
    return RegistryEvent(at=datetime.now(UTC), action=action, version=version, previous=previous)


def make_live(
    state: RegistryState, version: str, action: Literal["promote", "rollback"]
) -> RegistryState:
    """The state with another live version, which is neither shadow nor retired any more."""
    return changed(
        state,
        event(action, version, state.live),
        live=version,
        shadow=None if state.shadow == version else state.shadow,
        retired=tuple(one for one in state.retired if one != version),
    )


def changed(state: RegistryState, happened: RegistryEvent, **changes: object) -> RegistryState:
    """The state after an event."""
    return state.model_copy(update={**changes, "history": (*state.history, happened)})
