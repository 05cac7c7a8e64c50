"""Commands that augment training images, or show what that does."""

from pathlib import Path
from typing import Annotated

import typer

from diagnosis.catalogue import disease as disease_of
from diagnosis.durable import replace_file
from trainer.augment.page import policy_page
from trainer.augment.policies import POLICIES, policy_of
from trainer.augment.writing import Wish
from trainer.augment.writing import augment as write
from trainer.commands import Manifest, read_settings, refusing, told
from trainer.commands.data import DataArgument
from trainer.progress import Bars
from trainer.refusals import TrainerRefused

Seed = Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Of the draws.")]
DiseaseOfData = Annotated[str, typer.Option("--disease", help="A disease of the catalogue.")]
_NAMES = ", ".join(POLICIES)


@refusing
def augment(
    data: DataArgument,
    disease: DiseaseOfData,
    policy: Annotated[str, typer.Option(help=f"One of {_NAMES}.")],
    to: Annotated[
        int, typer.Option("--to", min=1, max=1_000_000, help="Training images a class is to have.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the files; must not exist.")],
    manifest: Manifest = None,
    whole: Annotated[
        bool, typer.Option("--whole", help="Copy the originals too: a folder to train on.")
    ] = False,
    seed: Seed = 0,
) -> None:
    """Write augmented training images until every class has enough; a killed call goes on."""
    settings = read_settings()
    wish = Wish(
        data=data,
        disease=disease_of(disease),
        policy=policy_of(policy),
        to=to,
        out=out,
        manifest=manifest,
        seed=seed,
        whole=whole,
    )
    bars = Bars(told)
    with bars.shown():
        done = write(wish, cache=settings.cache_dir, workers=settings.workers, progress=bars.files)
    typer.echo(f"{done.folder}")
    counts = ", ".join(f"{name} {count}" for name, count in done.made.items())
    told.print(f"Made: {counts}.", markup=False, highlight=False, soft_wrap=True)
    if done.unchanged:
        told.print(
            f"{done.unchanged} planned files were left out: unreadable, or their technique does "
            "not change them.",
            markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip


@refusing
def show_policy(
    data: DataArgument,
    disease: DiseaseOfData,
    out: Annotated[Path, typer.Option(metavar="FILE", help="HTML page to write.")],
    policy: Annotated[
        str | None, typer.Option(help=f"One of {_NAMES}; else all that the disease allows.")
    ] = None,
    manifest: Manifest = None,
    seed: Seed = 0,
) -> None:
    """Write a page that shows each augmentation policy on ten images."""
    if out.is_dir() or not out.parent.is_dir():
        raise TrainerRefused(f"{out} cannot be written: name a file in a folder that exists.")
    settings = read_settings()
    page = policy_page(
        data,
        disease_of(disease),
        policy_of(policy) if policy else None,
        manifest=manifest,
        seed=seed,
        cache=settings.cache_dir,
        workers=settings.workers,
    )
    replace_file(out, page.encode())
    typer.echo(f"{out}")
