"""Commands that take models in from elsewhere."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from trainer.commands import read_settings, refusing, told


@refusing
def import_h5(
    file: Annotated[Path, typer.Argument(help="Legacy Keras .h5 image classifier.")],
    disease: Annotated[str, typer.Option(help="A disease of the catalogue.")],
    classes: Annotated[
        str | None,
        typer.Option(help="Classes in the order of the outputs, a,b,c; else the catalogue's."),
    ] = None,
    probability_of: Annotated[
        str | None, typer.Option(help="The class whose probability a single output is.")
    ] = None,
    input_scale: Annotated[
        str, typer.Option(help="What the network wants its pixels to be: 0-1, -1-1 or 0-255.")
    ] = "0-1",
    licence: Annotated[str | None, typer.Option(help="Of the file, for the card.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; must not exist.")] = None,
) -> None:
    """Rebuild a legacy classifier from an allow-list of layers; its card says it is unmeasured."""
    from trainer.legacy.candidate import Order, import_h5

    stamp = f"{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    order = Order(
        file=file,
        disease=disease,
        out=out or read_settings().runs_dir / f"{disease}-import-{stamp}",
        classes=tuple(one.strip() for one in classes.split(",")) if classes else (),
        probability_of=probability_of,
        input_scale=input_scale,
        **({"licence": licence} if licence else {}),
    )
    folder = import_h5(order)
    typer.echo(f"{folder}")
    told.print(f"Nothing was measured: trainer evaluate {folder} --data DATA", highlight=False)
