"""A corpus of hostile files: classes by name, each a function of randomness, the same by seed.

`python -m tests.security.hostile_images FOLDER` writes the files.
"""

import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

from tests.security import hostile_dicom, hostile_others, hostile_rasters, hostile_tiff

Make = Callable[[random.Random], bytes]

SEED = 4
#: Files of each class in the whole corpus.
EACH = 8


def _classes(module: ModuleType, *families: str) -> dict[str, Make]:
    """The functions of a module that are named for a format and what is wrong."""
    return {
        name.replace("_", "-"): make
        for name, make in vars(module).items()
        if name.startswith(tuple(f"{family}_" for family in families))
        and getattr(make, "__module__", "") == module.__name__
    }


CLASSES: dict[str, Make] = {
    **_classes(hostile_rasters, "jpeg", "png", "bmp", "webp"),
    **_classes(hostile_tiff, "tiff"),
    **_classes(hostile_dicom, "dicom"),
    **_classes(hostile_others, "file"),
}


def files(name: str, number: int = EACH) -> Iterator[bytes]:
    """So many files of a class, the same ones each time."""
    for index in range(number):
        yield CLASSES[name](random.Random(f"{SEED} {name} {index}"))


def main() -> None:
    """Write the corpus into a folder."""
    folder = Path(sys.argv[1])
    for name in CLASSES:
        for index, data in enumerate(files(name)):
            place = folder / name / f"{index}.bin"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)


if __name__ == "__main__":
    main()
