"""Commands about a folder of labelled images."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from diagnosis import WARNING
from diagnosis.catalogue import disease as disease_of
from diagnosis.durable import replace_file
from trainer import relabel as relabelling
from trainer import signoff
from trainer.commands import (
    AsJson,
    Manifest,
    SignOffFile,
    print_json,
    read_settings,
    refusing,
    shown,
    told,
)
from trainer.data import digest_of, find_files, folder_of, listing_of
from trainer.progress import Bars
from trainer.refusals import DataRefused, TrainerRefused

DataArgument = Annotated[
    Path, typer.Argument(metavar="DATA", help="Folder of class folders, or an .npz file.")
]
DiseaseOption = Annotated[str | None, typer.Option(help="Compare with its classes.")]


@refusing
def audit(
    data: DataArgument,
    disease: DiseaseOption = None,
    manifest: Manifest = None,
    sign_off: SignOffFile = None,
    as_json: AsJson = False,
    sheet: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write an HTML contact sheet here.")
    ] = None,
    per_class: Annotated[
        int, typer.Option(min=1, max=200, help="Images of each class in the sheet's sample.")
    ] = 12,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Of the sheet's sample.")] = 0,
) -> None:
    """Read every file of DATA and list what has to be mended before training."""
    from trainer import audit as auditing
    from trainer.audit import sheet as contact

    if sheet is not None and (sheet.is_dir() or not sheet.parent.is_dir()):
        raise TrainerRefused(f"{sheet} cannot be written: name a file in a folder that exists.")
    settings = read_settings()
    asked = auditing.Request(
        data=data,
        disease=disease_of(disease) if disease else None,
        manifest=manifest,
        sign_off=sign_off,
        seed=seed,
    )
    bars = Bars(told)
    with bars.shown():
        found = auditing.audit(
            asked, cache=settings.cache_dir, workers=settings.workers, progress=bars.files
        )
    if sheet is not None:
        replace_file(sheet, contact.page(found, seed=seed, per_class=per_class).encode())
    if as_json:
        print_json(found.report | {"warning": WARNING})
        return
    _summary(found.report)
    if sheet is not None:
        told.print(
            f"Look at {sheet}, then: trainer sign-off {data} --sheet {sheet}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


@refusing
def sign_off(
    data: DataArgument,
    by: Annotated[str, typer.Option(help="The role of who looked, for example radiologist.")],
    note: Annotated[str, typer.Option(help="What was looked at and found; names nobody.")],
    sheet: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The contact sheet that was looked at.")
    ] = None,
    disease: DiseaseOption = None,
    manifest: Manifest = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Keep it here, where DATA cannot be written."),
    ] = None,
) -> None:
    """Record beside DATA that somebody has looked at it and stands by it as it is."""
    settings = read_settings()
    chosen = disease_of(disease) if disease else None
    root = folder_of(data, chosen, settings.cache_dir)
    found, _, _ = find_files(root, manifest, chosen)
    if not found:
        raise DataRefused(f"{root} holds no files in class folders.")
    place = signoff.place_of(data, out)
    one = signoff.sign(
        place,
        by=by,
        note=note,
        listing=listing_of(root, found, [digest_of(each.path) for each in found]),
        files=len(found),
        sheet=sheet,
    )
    typer.echo(f"{place}")
    told.print(
        f"{one.files} files signed off by {one.by}. {WARNING}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def _summary(report: dict[str, Any]) -> None:
    table = Table("split", "class", "images", title=f"{report['files']} files in {report['data']}")
    for split, counts in report["splits"].items():
        for class_id, count in counts.items():
            table.add_row(split, escape(class_id), str(count))
    shown.print(table)
    for name in ("sizes", "modes", "formats"):
        most = ", ".join(f"{key} ({count})" for key, count in list(report[name].items())[:5])
        _say(f"{name}: {most}")
    for name in ("borders", "marks"):
        _say(f"{name}: " + ", ".join(f"{key} {share:.0%}" for key, share in report[name].items()))
    for one in report["small_sets"]:
        _say(
            f"{one['split']} {one['class']}: {one['units']} "
            f"{'groups' if report['has_groups'] else 'images'}; a sensitivity of 0.90 is known to "
            f"{one['half_width']:.2f} either way"
        )
    for one in report["unreadable"][:20]:
        _say(f"unreadable: {one['file']} ({one['reason']})")
    for one in report["near_duplicates_across_splits"]["pairs"][:10]:
        _say(f"near duplicates: {' and '.join(one['files'])} ({one['bits']} bits)")
    suspects = report["suspect_labels"] if report["labels"].get("reliable") else []
    for one in suspects[:10]:
        _say(f"suspect label: {one['file']} is {one['label']}, looks like {one['suggested']}")
    if not report["labels"]["checked"]:
        _say(report["labels"]["why"])
    state = report["sign_off"]
    by = signoff.SignOff.model_validate(state["by"]) if state["by"] else None
    _say(signoff.sentence(state["state"], by))
    for problem in report["problems"]:
        _say(f"- {problem}")


def _say(line: str) -> None:
    shown.print(line, highlight=False, markup=False, soft_wrap=True)


@refusing
def relabel(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Folder of labelled images.")],
    disease: Annotated[str, typer.Option(help="Whose classes the new labels are.")],
    pattern: Annotated[
        list[str],
        typer.Option(help="CLASS=REGEX, searched for in the path below DATA; once a class."),
    ],
    out: Annotated[Path, typer.Option(help="The manifest to write; must not exist.")],
    group: Annotated[
        str | None, typer.Option(help="REGEX in the same path that names the group (patient).")
    ] = None,
    manifest: Manifest = None,
) -> None:
    """Write a manifest that labels DATA for another disease, by the names of its files."""
    counts = relabelling.relabel(
        data, disease_of(disease), pattern, out, group=group, manifest=manifest
    )
    for (split, class_id), count in sorted(counts.items()):
        _say(f"{split or 'no split'}: {class_id} {count}")
    typer.echo(f"{out}")
    told.print(f"Use it: trainer train {disease} --data {data} --manifest {out}", highlight=False)
