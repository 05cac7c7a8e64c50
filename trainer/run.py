"""A training run: what was asked for, on which data, by which recipe, and who is told."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from diagnosis.catalogue import Disease
from trainer.about import About
from trainer.augment import Augmenter
from trainer.data import DataSet
from trainer.families import Families
from trainer.pixels import PixelStore, Progress
from trainer.recipes import Recipe
from trainer.settings import Settings
from trainer.workplace import digest_of_request


@dataclass(frozen=True)
class Request:
    """What `trainer train` was asked for."""

    disease: str
    data: Path
    recipe: str
    out: Path
    manifest: Path | None = None
    about: Path | None = None
    licence: str | None = None
    """States the licence where no facts do."""
    sign_off: Path | None = None
    """File of sign-offs, where it is not beside the data."""
    allow_leakage: str | None = None
    """The reason to train although the declared splits separate what belongs together."""
    leave_copies_out: bool = False
    """Leave training images out that another split holds too, or nearly so."""
    leave_families_out: bool = False
    weights: Path | None = None
    seed: int = 0
    epochs: int | None = None
    laptop: bool = False
    overrides: tuple[str, ...] = ()
    """Settings of the recipe as `key=value`."""
    start: Path | None = None
    """Weights that `trainer pretrain` wrote."""
    resume: bool = False
    """Insist on going on with an unfinished run of the same request."""
    others: tuple[Path, ...] = ()
    """Folders of other kinds of images, for the gate."""


@dataclass(frozen=True)
class Watch:
    """Who is told how training goes."""

    log: Callable[[str], None] = lambda _: None
    files: Progress | None = None
    callbacks: Callable[[str, int], Sequence[Any]] = lambda _name, _epochs: ()
    measure: Callable[[str, int], Sequence[Any]] = lambda _disease, _images: ()
    """Further callbacks, of a fit for a disease to so many images."""


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
    data_record: dict[str, str] = field(default_factory=dict)
    """What the card says of the data's state: its listing and its sign-off."""

    @property
    def disease(self) -> Disease:
        """The disease that is trained for."""
        return self.data.disease

    @cached_property
    def digest(self) -> str:
        """What tells this run from every other: all that changes its result."""
        request = self.request
        return digest_of_request(
            {
                "disease": self.disease.id,
                "classes": self.disease.class_ids,
                "recipe": self.recipe.name,
                "settings": self.recipe.for_card(),
                "preprocessing": self.recipe.preprocessing.digest,
                "seed": request.seed,
                "leave_families_out": request.leave_families_out,
                "families": self.families.patterns,
                "weights": [str(one) for one in (request.weights, request.start)],
                "images": [(one.digest, one.class_id, one.split) for one in self.data.examples],
            }
        )

    @cached_property
    def augmenter(self) -> Augmenter:
        """The recipe's augmentations, as far as the disease allows them."""
        names, strength = self.recipe.changes(self.disease)
        return Augmenter(self.disease, names, strength=strength)
