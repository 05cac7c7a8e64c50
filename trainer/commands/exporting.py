"""Commands that hand models on to other devices."""

from pathlib import Path
from typing import Annotated

import typer

from diagnosis import WARNING
from trainer.commands import read_settings, refusing, told
from trainer.commands.evaluating import Artifact


@refusing
def export(
    artifact: Artifact,
    onnx: Annotated[
        Path,
        typer.Option("--onnx", metavar="OUT", help="Folder to make, with the graph as ONNX."),
    ],
) -> None:
    """Write an artifact as ONNX with all that its answers are read by, and prove it unchanged."""
    from trainer.evaluate import find_artifact
    from trainer.export import export as export_to

    done = export_to(find_artifact(artifact, read_settings()), onnx)
    typer.echo(f"{onnx}")
    told.print(
        f"{done.made.model.onnx.bytes:,} bytes; probabilities within {done.largest_difference:.1e}"
        f" of the card's on {done.images} golden images. {WARNING}",
        highlight=False,
    )
