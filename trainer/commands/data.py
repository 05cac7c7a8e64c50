"""Commands about a folder of labelled images."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from diagnosis.catalogue import disease as disease_of
from trainer import audit as auditing
from trainer.commands import AsJson, Manifest, print_json, read_settings, refusing, shown


@refusing
def audit(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Folder of class folders.")],
    disease: Annotated[str | None, typer.Option(help="Compare with its classes.")] = None,
    manifest: Manifest = None,
    as_json: AsJson = False,
) -> None:
    """Read every file of DATA and list what has to be mended before training."""
    settings = read_settings()
    report = auditing.audit(
        data,
        disease_of(disease) if disease else None,
        manifest=manifest,
        workers=settings.workers,
    )
    if as_json:
        print_json(report)
        return
    table = Table("split", "class", "images", title=f"{report['files']} files in {data}")
    for split, counts in report["splits"].items():
        for class_id, count in counts.items():
            table.add_row(split, class_id, str(count))
    shown.print(table)
    for name in ("sizes", "modes", "formats"):
        most = ", ".join(f"{key} ({count})" for key, count in list(report[name].items())[:5])
        shown.print(f"{name}: {most}", highlight=False)
    for one in report["unreadable"][:20]:
        shown.print(f"unreadable: {one['file']} ({one['reason']})", highlight=False)
    for problem in report["problems"]:
        shown.print(f"- {problem}", highlight=False)
