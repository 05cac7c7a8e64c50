"""The command that makes data sets of what clinicians said of readings."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from diagnosis import WARNING
from trainer.commands import refusing, shown, told


@refusing
def export_reviews(
    api: Annotated[str, typer.Option("--api", help="Address of Sightline, https://…")],
    key_file: Annotated[
        Path, typer.Option("--key-file", help="File (mode 600) with an API key of a clinician.")
    ],
    output: Annotated[Path, typer.Option("--output", help="A new folder for the data sets.")],
    ca_file: Annotated[
        Path | None, typer.Option("--ca-file", help="Authority (PEM) of the server, if its own.")
    ] = None,
) -> None:
    """Write reviewed readings as data sets with a manifest, disagreements first."""
    from trainer.api import fetcher, read_key
    from trainer.reviews import export_reviews as export

    fetch = fetcher(api, read_key(key_file), ca_file=ca_file)
    found = export(fetch, output, lambda text: told.print(text, highlight=False))
    table = Table("disease", "images with a class", "disagreements", "need a class")
    for disease in sorted({*found.images, *found.to_label}):
        table.add_row(
            disease,
            str(found.images[disease]),
            str(found.disagreements[disease]),
            str(found.to_label[disease]),
        )
    shown.print(table)
    if found.gone:
        shown.print(f"{found.gone} images are not kept any more.", highlight=False)
    shown.print(WARNING, highlight=False)
