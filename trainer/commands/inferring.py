"""The command that reads many images."""

import time
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from diagnosis import WARNING
from diagnosis.contracts import OperatingPointName
from trainer.commands import AsJson, print_json, read_settings, refusing, shown, told

#: Seconds between two lines where there is no terminal to draw a bar on.
_QUIET = 30.0


@refusing
def infer(
    disease: Annotated[
        str, typer.Option("--disease", help="A disease (its live artifact), or DISEASE@VERSION.")
    ],
    source: Annotated[
        str, typer.Option("--input", help="A folder of images, or s3://BUCKET/PREFIX.")
    ],
    batch: Annotated[
        str,
        typer.Option("--batch", help="What the batch is called; the same name goes on with it."),
    ],
    engine: Annotated[
        Literal["auto", "openvino", "keras", "ray"],
        typer.Option(
            help="What runs the model; auto: Keras where it sees a GPU, else OpenVINO;"
            " ray: as auto, on a cluster."
        ),
    ] = "auto",
    precision: Annotated[
        Literal["f32", "bf16"],
        typer.Option(help="Of the arithmetic (OpenVINO); bf16 where the card allows it."),
    ] = "f32",
    operating_point: Annotated[
        OperatingPointName | None, typer.Option(help="The threshold that readings state.")
    ] = None,
    unit: Annotated[str, typer.Option(help="Who may see the readings.")] = "default",
    images: Annotated[
        Path | None,
        typer.Option(
            file_okay=False, help="The folder that checked images are kept in, as the service's."
        ),
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Also try the files again that failed.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Read every image of a folder or bucket and post each reading into Redis as it comes."""
    from trainer.infer import summary
    from trainer.infer.running import Asked, infer

    asked = Asked(
        disease,
        source,
        batch,
        "auto" if engine == "ray" else engine,
        operating_point,
        unit,
        images,
        retry_failed=retry_failed,
        precision=precision,
        ray=engine == "ray",
    )
    with Bar(told) as bar:
        ran = infer(asked, read_settings(), bar, bar.log)
    failures = summary.write_failures(ran)
    found = summary.evaluation(ran)
    result = summary.summarise(ran) | {"evaluation": None if found is None else found.as_json()}
    if as_json:
        print_json(result)
        return
    _show(result, failures)


def _show(result: dict[str, Any], failures: Path | None) -> None:
    from trainer.commands.tables import show_evaluation

    rate, computed = result["files_a_second"], f"{result['engine']} {result['precision']}"
    lines = [
        f"{result['name']}: {result['readings']} readings of {result['files']} files.",
        f"{result['disease']} version {result['version']}, {computed}.",
        f"This run: {result['files_of_this_run']} files, {rate or 0} a second.",
        *(
            f"{title}: {', '.join(f'{name} {count}' for name, count in result[key].items())}."
            for key, title in (
                ("bands", "By band"),
                ("not_judged", "Not judged"),
                ("failed", "Failed"),
            )
            if result[key]
        ),
    ]
    if failures is not None:
        lines.append(f"Which files failed, and why: {failures}")
    shown.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)
    if result["evaluation"] is not None:
        left_out = result["files"] - result["evaluation"]["n"]
        shown.print(
            f"\nThe folders name the classes. Figures of the images that were judged; {left_out} "
            "others are not in them.",
            highlight=False,
        )
        show_evaluation(result["evaluation"], shown)
    shown.print(WARNING, highlight=False)


class Bar:
    """How far a batch is, with images a second and the time left; lines without a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("Reading images"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("", rate="")
        self._before = self._done = self._total = 0
        self._began = self._told = time.monotonic()

    def __enter__(self) -> "Bar":
        """Show the bar."""
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take it away."""
        self._progress.stop()

    def log(self, text: str) -> None:
        """A line that stays."""
        self._console.print(text, highlight=False, markup=False)

    def begin(self, done: int, total: int) -> None:
        """So many of all files were done by earlier runs."""
        self._before = self._done = done
        self._total = total
        self._began = self._told = time.monotonic()
        self._progress.update(self._task, completed=done, total=total)
        if done:
            self.log(f"{done} of {total} files were done before; going on with the others.")

    def advance(self, files: int) -> None:
        """So many more are done."""
        self._done += files
        now = time.monotonic()
        rate = (self._done - self._before) / max(now - self._began, 1e-9)
        self._progress.update(self._task, completed=self._done, rate=f"{rate:.1f} a second")
        if not self._console.is_terminal and now - self._told > _QUIET:
            self._told = now
            left = (self._total - self._done) / rate
            self.log(
                f"{self._done} of {self._total} files, {rate:.1f} a second, {left:.0f} s left."
            )
