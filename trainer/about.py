"""What a data set's folder cannot say of itself: whom it shows, under which licence it stands.

A TOML file, given with `--about` or lying beside the data (`about.toml` in DATA, `x.about.toml`
next to `x.npz`), fills the card's population, licence and limitations. Nothing is made up where
there is none, and nothing is trained on data whose licence nobody states.
"""

import re
import tomllib
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from diagnosis.artifacts.card import Population, Sentence
from trainer.data import beside
from trainer.refusals import DataRefused

NAME = "about.toml"
#: Characters of a sentence on a card.
_LONGEST = 2000


def _compiles(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return text


Pattern = Annotated[str, AfterValidator(_compiles)]


class About(BaseModel):
    """The facts of a data set that go onto the card."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: Sentence
    """Its name, source and year."""
    licence: Sentence | None = None
    """Of the artifact, with what the data's licence asks for."""
    population: Population = Field(
        default_factory=lambda: Population(description="Not described by the data set.")
    )
    families: dict[str, Pattern] = Field(default_factory=dict)
    """Acquisition families and their patterns in file names. A recipe may weigh them alike in
    training; `--leave-families-out` measures without each."""
    limitations: Annotated[tuple[Sentence, ...], Field(max_length=20)] = ()
    disease: str = ""
    """The disease of the catalogue that the data is for, in the files of `trainer/datasets`."""
    recipe: str = ""
    """The recipe that is proposed for it; neither goes onto the card."""

    @property
    def stated_licence(self) -> str:
        """The licence as the card carries it."""
        return self.licence or "Not stated."


def licensed(about: About, data: Path, licence: str | None) -> About:
    """The facts with the licence that `--licence` states, or their own.

    Raises:
        DataRefused: nobody states one; the sentence says how.
    """
    stated = (licence or about.licence or "").strip()
    if not stated:
        raise DataRefused(
            f"No licence is stated for {data}, and the card must carry one. Write licence = "
            f'"..." into {beside(data, NAME)}, name a file that states it with --about, or say it '
            'with --licence "...".'
        )
    if len(stated) > _LONGEST:
        raise DataRefused(f"The licence has {len(stated)} characters, at most {_LONGEST}.")
    return about.model_copy(update={"licence": stated})


def read_about(data: Path, choice: Path | None) -> About:
    """The facts from a file that was chosen, or from the one beside DATA, or only the name.

    Raises:
        DataRefused: the chosen file is missing or not valid.
    """
    path = choice or beside(data, NAME)
    if not path.is_file():
        if choice is not None:
            raise DataRefused(f"{choice} does not exist.")
        return About(dataset=data.resolve().name or "unnamed")
    try:
        return About.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataRefused(f"{path} cannot be read: {error}.") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "file"
        raise DataRefused(f"{path}: {where}: {first['msg']}.") from error
