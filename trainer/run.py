"""A training run: what was asked for, on which data, by which recipe, and who is told."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from diagnosis.catalogue import Disease
from trainer.about import About
from trainer.augment import Augmenter, usable
from trainer.data import DataSet
from trainer.families import Families
from trainer.pixels import PixelStore, Progress
from trainer.recipes import Recipe
from trainer.settings import Settings


@dataclass(frozen=True)
class Request:
    """What `trainer train` was asked for."""

    disease: str
    data: Path
    recipe: str
    out: Path
    manifest: Path | None = None
    about: Path | None = None
    leave_families_out: bool = False
    weights: Path | None = None
    seed: int = 0
    epochs: int | None = None
    laptop: bool = False
    others: tuple[Path, ...] = ()
    """Folders of other kinds of images, for the gate."""


@dataclass(frozen=True)
class Watch:
    """Who is told how training goes."""

    log: Callable[[str], None] = lambda _: None
    files: Progress | None = None
    callbacks: Callable[[str, int], Sequence[Any]] = lambda _name, _epochs: ()


@dataclass(frozen=True)
class Run:
    """One training run, its data read, split and checked, and its recipe chosen."""

    request: Request
    settings: Settings
    watch: Watch
    recipe: Recipe
    about: About
    families: Families
    data: DataSet
    store: PixelStore

    @property
    def disease(self) -> Disease:
        """The disease that is trained for."""
        return self.data.disease

    @cached_property
    def augmenter(self) -> Augmenter:
        """The recipe's augmentations, as far as the disease allows them."""
        return Augmenter(
            self.disease,
            usable(self.disease, self.recipe.augmentations),
            strength=self.recipe.strength,
        )
