"""From a fitted network to a candidate: calibrated, thresholded, measured, with its card."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diagnosis.artifacts.card import Card, DemoImage, Evaluation
from diagnosis.images import read_image
from diagnosis.judgement import softmax
from diagnosis.preprocess import Preprocessing
from trainer import calibration, candidate, demo, mistakes, plots, report
from trainer.batches import Images, Source
from trainer.candidate import Parts, RunRecord, evaluation_record
from trainer.data import DataSet, Example
from trainer.evaluate import group_numbers
from trainer.fitting import predict
from trainer.frozen import frozen_outputs
from trainer.gate import Limits, gate_of
from trainer.int8 import CALIBRATION_IMAGES, every_nth
from trainer.measures import measure
from trainer.metrics import Floats, Scores
from trainer.pixels import PixelStore
from trainer.recipes import Built
from trainer.refusals import DataRefused
from trainer.run import Run
from trainer.transfer import Held, pooled

#: Demo images that travel with an artifact.
MOST_DEMOS = 3


@dataclass(frozen=True)
class Fitted:
    """What fitting gave."""

    built: Built
    history: tuple[dict[str, Any], ...]
    """One record an epoch."""
    left_out: tuple[Held, ...]
    """Scores of left-out acquisition families by models that never saw them."""


def assess(run: Run, fitted: Fitted, folder: Path) -> None:
    """Write the whole candidate into an empty folder.

    Writes model.keras, card.json, the gate, demo/, report.json, report.html,
    report-with-images.html (which shows patients and is never published), history.json, scores.csv
    and run.json.
    """
    built, left_out = fitted.built, fitted.left_out
    class_ids = run.disease.class_ids
    train, val, test = run.data.of("train"), run.data.of("val"), run.data.of("test")
    val_logits = logits_of(run, built, val.examples)
    described = f"{len(val.examples)} held-out images of {run.about.dataset}"
    fitted_temperature, conformal = calibration.calibrate(
        val_logits, _labels(val), class_ids, f"{described}."
    )
    temperature = fitted_temperature.temperature
    val_scores = _scores(run, val, val_logits, temperature)
    points = (
        calibration.operating_points(
            val_scores, _selection(run, val, val_scores, left_out, temperature)
        )
        if run.disease.finding
        else ()
    )
    threshold = next((p.threshold for p in points if p.name == "balanced"), None)
    measured, name = (test, "test") if test.examples else (val, "validation")
    logits = logits_of(run, built, test.examples) if test.examples else val_logits
    scores = _scores(run, measured, logits, temperature, threshold)
    found = measure(
        scores,
        measured.examples,
        {point.name: point.threshold for point in points},
        conformal.quantiles,
    )
    keras_file = candidate.save_model(built.model, folder)
    parts = Parts(
        keras_file=keras_file,
        calibration=fitted_temperature,
        conformal=conformal,
        operating_points=points,
        evaluation=found.record(measured.examples, f"{run.about.dataset}, {name} split"),
        transfer=tuple(_transfer(run, one, temperature, threshold) for one in left_out),
        demos=_demos(run, built, train, temperature, folder),
        data_record=run.data_record,
    )
    recipe = run.recipe if built.pretrained else replace(run.recipe, backbone="")
    card = candidate.draft_card(run.disease, recipe, run.about, train, run.request.seed, parts)
    card = _with_gate(run, card, folder)
    (folder / "card.json").write_bytes(card.to_json())
    rows = [("val", val.examples, val_logits)]
    rows += [("test", test.examples, logits)] if test.examples else []
    rows += [(f"left out: {one.name}", one.examples, one.logits) for one in left_out]
    candidate.write_scores(folder, rows, class_ids, run.data.root)
    (folder / "history.json").write_text(json.dumps(fitted.history, indent=1) + "\n")
    facts = report.facts(card, found, run.data, parts.evaluation.dataset, fitted.history)
    drawn = plots.draw(plots.Curves(found, list(fitted.history)))
    report.write(folder, facts, drawn, mistakes.sheet(scores, measured.examples))
    RunRecord(
        data=str(run.request.data.absolute()),
        manifest=str(run.request.manifest.absolute()) if run.request.manifest else None,
        recipe=run.recipe.name,
        seed=run.request.seed,
        val=tuple(str(one.path.absolute()) for one in val.examples),
        train=tuple(
            str(one.path.absolute()) for one in every_nth(train.examples, CALIBRATION_IMAGES)
        ),
    ).write(folder)


def logits_of(
    run: Run, built: Built, examples: Sequence[Example], source: Source | None = None
) -> NDArray[np.float64]:
    """Logits (N, classes) of examples as they are, or of a source of inputs in their order."""
    source = source or Images(run.store, examples)
    return np.concatenate(list(frozen_outputs(built.model, source, len(examples)))).astype(
        np.float64
    )


def _scores(
    run: Run, data: DataSet, logits: Floats, temperature: float, threshold: float | None = None
) -> Scores:
    return Scores(
        class_ids=run.disease.class_ids,
        labels=_labels(data),
        probabilities=softmax(logits, temperature),
        groups=group_numbers(data),
        finding=run.disease.finding,
        threshold=threshold if len(run.disease.class_ids) == 2 else None,
        uncalibrated=softmax(logits),
    )


def _selection(
    run: Run, val: DataSet, scores: Scores, left_out: Sequence[Held], temperature: float
) -> calibration.Selection:
    """What thresholds are chosen on: left-out families where there are, else validation."""
    finding = run.disease.finding or ""
    if left_out:
        return pooled(left_out, run.disease.class_ids, finding, temperature, run.families.of)
    found = run.disease.class_ids.index(finding)
    return calibration.Selection(
        scores.probabilities[:, found],
        scores.labels == found,
        np.ones(len(scores.labels)),
        f"{len(val.examples)} validation images",
    )


def _transfer(run: Run, held: Held, temperature: float, threshold: float | None) -> Evaluation:
    data = run.data.keep(held.examples)
    return evaluation_record(
        _scores(run, data, held.logits, temperature, threshold),
        held.examples,
        f"{run.about.dataset}: {held.name}, left out of training",
    )


def _demos(
    run: Run, built: Built, train: DataSet, temperature: float, folder: Path
) -> tuple[DemoImage, ...]:
    """Sample demo images; the model sees them as the service would."""
    plain = Preprocessing.model_validate(
        {
            "name": "demo",
            "steps": [
                {"op": "greyscale" if run.recipe.input.channels == 1 else "rgb"},
                {"op": "resize", "width": demo.SIDE, "height": demo.SIDE},
            ],
        }
    )
    store = PixelStore(run.settings.cache_dir, plain, workers=run.settings.workers)
    images = {}
    for class_id in run.disease.class_ids:
        own = [one for one in train.examples if one.class_id == class_id]
        chosen = [own[place] for place in demo.pick(len(own), run.request.seed)]
        store.prepare(train.keep(chosen))
        images[class_id] = store.inputs(chosen)

    spec = run.recipe.preprocessing

    def probability_of(files: list[bytes], class_id: str) -> NDArray[np.float64]:
        inputs = np.stack(
            [
                spec.apply(read_image(one, decode_at_least=spec.decode_at_least).pixels)
                for one in files
            ]
        )
        outputs = predict(built.model, lambda chosen, _epoch: inputs[chosen], len(inputs))
        return np.asarray(softmax(outputs, temperature)[:, run.disease.class_ids.index(class_id)])

    each = 1 if len(images) > 2 else 2
    samples = demo.sample_demos(images, probability_of, seed=run.request.seed, each=each)
    if len({one.class_id for one in samples}) < len(images):
        run.watch.log("Some classes got no demo image: none was read as its class.")
    # The finding first: it is what a newcomer wants to see found.
    samples.sort(key=lambda one: one.class_id != run.disease.finding)
    return candidate.save_demos(samples[:MOST_DEMOS], folder)


def _with_gate(run: Run, card: Card, folder: Path) -> Card:
    """The card with a gate, whose file is written; as it was where there are too few images."""
    demos = [(folder / "demo" / one.file).read_bytes() for one in card.demo_images]
    try:
        made = gate_of(
            run.data,
            run.about.dataset,
            run.request.others,
            limits=Limits.laptop() if run.request.laptop else None,
            demos=demos,
            workers=run.settings.workers,
            seed=run.request.seed,
            log=run.watch.log,
        )
    except DataRefused as error:
        if run.request.others:
            raise
        run.watch.log(f"It gets no gate: {error}")
        return card
    (folder / made.record().name).write_bytes(made.content)
    return made.on(card)


def _labels(data: DataSet) -> NDArray[np.int64]:
    return np.array([data.disease.class_ids.index(one.class_id) for one in data.examples], np.int64)
