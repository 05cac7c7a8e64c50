"""Where a registry's bytes lie: a folder, or a bucket, which look the same to the registry.

<disease>/<version>/{card.json, model.keras, ...}    never changes once it is there
<disease>/registry.json                              replaced as a whole
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from diagnosis.artifacts.artifact import CARD_NAME
from diagnosis.artifacts.version import names
from diagnosis.durable import exclusive, put_folder, replace_file, sweep
from diagnosis.errors import RegistryUnavailable

STATE = "registry.json"
DISEASE = re.compile(r"[a-z][a-z0-9_]{0,63}")
VERSION = re.compile(r"[1-9][0-9]{0,5}")

#: From the state's bytes, None at first, to the new ones; None changes nothing.
Change = Callable[[bytes | None], bytes | None]


class Storage(Protocol):
    """What a registry needs. Every method is safe beside other processes doing the same.

    Names were checked by the registry. Each method raises RegistryError where the storage cannot
    be used, and leaves nothing half-written.
    """

    def diseases(self) -> tuple[str, ...]:
        """What may be a disease, by name."""
        ...

    def versions(self, disease: str) -> tuple[str, ...]:
        """The complete versions, in any order."""
        ...

    def folder(self, disease: str, version: str) -> Path | None:
        """A folder with a version's files; None where there is no such version."""
        ...

    def put(self, disease: str, version: str, files: Mapping[str, bytes]) -> bool:
        """Add a version, files by relative name; False where it exists already."""
        ...

    def state(self, disease: str) -> bytes | None:
        """The bytes of the state; None where there is none."""
        ...

    def stamp(self, disease: str) -> str:
        """Changes whenever the state does; cheap enough to ask every second. Empty at first."""
        ...

    def change(self, disease: str, change: Change) -> None:
        """Replace the state by what is made of it; nobody else's change is lost.

        `change` may be called more than once, with newer states.
        """
        ...


class Folder:
    """A registry in a folder.

    Readers take no lock: a version appears complete or not at all, and the state is always one
    whole state. A writer holds `<disease>/.lock`; one that is killed leaves at most a folder or
    file beginning with `.incoming-`, which the next writer removes.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def diseases(self) -> tuple[str, ...]:
        """As `Storage.diseases`."""
        return names(self._root, DISEASE)

    def versions(self, disease: str) -> tuple[str, ...]:
        """As `Storage.versions`."""
        folder = self._root / disease
        return tuple(v for v in names(folder, VERSION) if (folder / v / CARD_NAME).is_file())

    def folder(self, disease: str, version: str) -> Path | None:
        """As `Storage.folder`: the version itself."""
        if not self._root.is_dir():
            # Not mounted, perhaps: then nothing can be said of any version.
            raise RegistryUnavailable("The registry's folder is not there.")
        return self._root / disease / version if version in self.versions(disease) else None

    def put(self, disease: str, version: str, files: Mapping[str, bytes]) -> bool:
        """As `Storage.put`."""
        with self._writing(disease) as folder:
            if (folder / version).exists():
                return False
            put_folder(folder, version, files)
        return True

    def state(self, disease: str) -> bytes | None:
        """As `Storage.state`."""
        try:
            return (self._root / disease / STATE).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise RegistryUnavailable(
                f"The registry's state of {disease} cannot be read.", cause=type(error).__name__
            ) from error

    def stamp(self, disease: str) -> str:
        """As `Storage.stamp`."""
        try:
            status = (self._root / disease / STATE).stat()
        except OSError:
            return ""
        return f"{status.st_ino}-{status.st_mtime_ns}-{status.st_size}"

    def change(self, disease: str, change: Change) -> None:
        """As `Storage.change`."""
        with self._writing(disease) as folder:
            after = change(self.state(disease))
            if after is not None:
                replace_file(folder / STATE, after)

    @contextmanager
    def _writing(self, disease: str) -> Iterator[Path]:
        """Hold the disease's lock; whatever a killed writer left is removed first."""
        folder = self._root / disease
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with exclusive(folder / ".lock"):
                sweep(folder)
                yield folder
        except OSError as error:
            raise RegistryUnavailable(
                "The registry's folder cannot be written.",
                remedy="Check that the folder exists, is not read-only, and has space left.",
                cause=f"{type(error).__name__}: {error.strerror}",
            ) from error
