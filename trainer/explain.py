"""How heatmaps are made of a trained network, and for which classes they are good enough.

`publish` asks this once, when the converted graph is there; `explain_run` does the same for an
artifact that is published already. All of it runs on the images that calibrated the network.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from diagnosis.artifacts import Card, VerifiedArtifact
from diagnosis.artifacts.card import Explanation, HeatmapCheck, HeatmapLimits
from diagnosis.contracts import Interval
from diagnosis.heatmap import Floats, evidence, hirescam
from diagnosis.judgement import as_logits, probabilities
from trainer import explain_checks as checks
from trainer.data import Example
from trainer.engine import Network, compile_ir, load_keras
from trainer.maps import (
    Cut,
    by_gradients,
    cut_graph,
    cut_keras,
    find_layers,
    find_node,
    layers_of_head,
)
from trainer.pixels import PixelStore
from trainer.precision import Validation
from trainer.refusals import ArtifactMissing, TrainerRefused
from trainer.runtime import keras

Log = Callable[[str], None]

#: Images of a class: for deletion, for repeatability, and for randomised weights.
MOST_IMAGES, REPEATED_IMAGES, RANDOMISED_IMAGES = 40, 20, 10
#: All classes together get no more than about these, so that seven take little longer than two.
MOST_IN_ALL, REPEATED_IN_ALL, RANDOMISED_IN_ALL = 160, 60, 40
#: Networks of more classes get no heatmaps: their report card would never be read.
MOST_CLASSES = 20
#: Random weights of each stage; one draw alone may be like or unlike by luck, above all of the few
#: layers behind the maps.
RANDOM_DRAWS = (12, 6, 6)
#: Attributions (images, rows, columns, classes) for each draw of the random weights.
Stage = list[Floats]
LIMITS = HeatmapLimits(
    fewest_images=10, largest_randomised=0.5, smallest_repeated=0.7, smallest_deletion=0.0
)


@dataclass(frozen=True)
class _Network:
    """A network, cut, with what makes its inputs."""

    card: Card
    cut: Cut
    whole: Network
    store: PixelStore

    def attributions(self, inputs: Floats) -> Floats:
        """(rows, columns, classes) of one input, in logits."""
        return attributions(self.cut, self.card, self.cut.trunk(inputs[np.newaxis])[0])

    def probabilities(self, inputs: Floats, place: int) -> checks.Values:
        """Of one class, for inputs (N, H, W, C)."""
        return np.asarray(probabilities(self.whole(inputs), self.card)[:, place])


def attributions(cut: Cut, card: Card, maps: Floats) -> Floats:
    """(rows, columns, classes) of the maps of one image, in logits."""
    return hirescam(lambda batch: as_logits(cut.head(batch), card), maps)


def explain_run(
    artifact: VerifiedArtifact,
    validation: Validation | None,
    log: Log = lambda _: None,
    limits: HeatmapLimits = LIMITS,
) -> Explanation | None:
    """The explanation record of an artifact that has its converted graph.

    Args:
        artifact: verified bytes.
        validation: the images that calibrated it, and what prepares them, as
            `trainer.precision.validation_of` finds them; None where they are not there.
        log: gets a line for each step.
        limits: what the heatmaps of a class have to reach.

    Raises:
        ArtifactMissing: the artifact has no converted graph.
        TrainerRefused: Keras does not run on TensorFlow, whose gradients are needed.
    """
    if keras().backend.backend() != "tensorflow":
        raise TrainerRefused("Heatmaps are measured with TensorFlow: unset KERAS_BACKEND.")
    if artifact.ir_xml is None or artifact.ir_bin is None:
        raise ArtifactMissing("Heatmaps are measured on the converted graph: publish it first.")
    reference = load_keras(artifact.keras)
    return explain(
        artifact.card, reference, artifact.ir_xml, artifact.ir_bin, validation, log, limits
    )


def explain(
    card: Card,
    reference: Any,
    xml: bytes,
    weights: bytes,
    validation: Validation | None,
    log: Log = lambda _: None,
    limits: HeatmapLimits = LIMITS,
) -> Explanation | None:
    """Find where the network is cut, and measure its heatmaps class by class.

    Args:
        card: of the candidate.
        reference: its Keras model.
        xml: `model.xml`.
        weights: `model.bin`.
        validation: see `explain_run`.
        log: gets a line for each step.
        limits: what the heatmaps of a class have to reach.

    Returns:
        None where there are no images to measure on or the network has no place to cut; the log
        says which.
    """
    if validation is None:
        log("The run's validation images are not there: there will be no heatmaps.")
        return None
    if len(card.classes) > MOST_CLASSES:
        log(f"More than {MOST_CLASSES} classes: there will be no heatmaps.")
        return None
    found = locate(card, reference, xml, weights, limits)
    if found is None:
        log("No layer of the network can be cut out as its last maps: there will be no heatmaps.")
        return None
    store, examples = validation.store, validation.examples
    network = _Network(card, cut_graph(xml, weights, found), compile_ir(xml, weights, "f32"), store)
    log(f"Heatmaps are made at {found.layer}, {found.width} x {found.height} locations.")
    most = min(MOST_IMAGES, max(limits.fewest_images, MOST_IN_ALL // len(card.classes)))
    own = {
        one.id: _spread([e for e in examples if e.class_id == one.id], most) for one in card.classes
    }
    original = {
        name: [network.attributions(inputs) for inputs in store.inputs(chosen)]
        for name, chosen in own.items()
        if chosen
    }
    stages = _randomised(network, reference, found.layer, own)
    classes = {}
    for place, one in enumerate(card.classes):
        log(f"Checking the heatmaps of {one.id} on {len(own[one.id])} images.")
        classes[one.id] = _check(
            network, place, own[one.id], original.get(one.id, []), stages.get(one.id, []), limits
        )
        if not classes[one.id].passed:
            log(f"The heatmaps of {one.id} did not pass: {why(classes[one.id], limits)}")
    images = sum(map(len, own.values()))
    return found.model_copy(
        update={"measured_on": f"{images} validation images of the run.", "classes": classes}
    )


def locate(
    card: Card, reference: Any, xml: bytes, weights: bytes, limits: HeatmapLimits = LIMITS
) -> Explanation | None:
    """Where the maps are, in Keras and in the converted graph; nothing is measured yet."""
    random = np.random.default_rng(0)
    shape = (card.input.height, card.input.width, card.input.channels)
    noise = random.integers(0, 256, (2, *shape)).astype(np.uint8)
    inputs = np.stack(
        [card.preprocessing.apply(one[..., 0] if shape[2] == 1 else one) for one in noise]
    )
    for layer in find_layers(reference):
        maps = cut_keras(reference, layer).trunk(inputs)
        node = find_node(xml, weights, inputs, maps)
        if node is not None:
            return Explanation(
                layer=layer,
                node=node.name,
                channels_first=node.channels_first,
                height=maps.shape[1],
                width=maps.shape[2],
                measured_on="Nothing yet.",
                limits=limits,
                classes={one.id: HeatmapCheck(images=0, passed=False) for one in card.classes},
            )
    return None


def why(check: HeatmapCheck, limits: HeatmapLimits) -> str:
    """A sentence on the first limit that a class's heatmaps missed."""
    if check.images < limits.fewest_images:
        return f"only {check.images} images have one, at least {limits.fewest_images} are needed."
    if check.randomised is None or check.repeated is None or check.deletion is None:
        return "one of the figures could not be measured."
    if check.randomised.value > limits.largest_randomised:
        return (
            f"with random weights they correlate by {check.randomised.value:.2f} with those shown,"
            f" at most {limits.largest_randomised} is allowed."
        )
    if check.repeated.value < limits.smallest_repeated:
        return (
            f"slightly altered copies correlate by {check.repeated.value:.2f} only,"
            f" at least {limits.smallest_repeated} is needed."
        )
    return (
        "deleting what they point at is not clearly worse than deleting at random"
        f" ({check.deletion.value:.3f}, {check.deletion.low:.3f} to {check.deletion.high:.3f})."
    )


def _check(
    network: _Network,
    place: int,
    examples: Sequence[Example],
    original: Sequence[Floats],
    stages: Sequence[Stage],
    limits: HeatmapLimits,
) -> HeatmapCheck:
    """The report card of the class at a place; images whose heatmap is empty say nothing."""
    shown = [number for number, one in enumerate(original) if evidence(one[..., place])[1] > 0]
    groups = [one.group for one in examples]
    inputs = network.store.inputs(examples) if examples else np.empty(0)
    lost = [
        checks.deletion(
            lambda batch: network.probabilities(batch, place),
            inputs[number],
            _shown(original[number], place),
            seed=number,
        )
        for number in shown
    ]
    repeated = []
    again = shown[: min(REPEATED_IMAGES, max(10, REPEATED_IN_ALL // len(network.card.classes)))]
    for number in again:
        stored = network.store.stored(examples[number])
        repeated.append(
            float(
                np.mean(
                    [
                        checks.alike(
                            _shown(original[number], place),
                            _shown(network.attributions(network.store.finish(copy)), place),
                        )
                        for copy in checks.altered(stored, seed=number)
                    ]
                )
            )
        )
    measured = [
        _randomised_figure([one[..., place] for one in original], stage, place, shown, groups)
        for stage in stages
    ]
    check = HeatmapCheck(
        images=len(shown),
        randomised=max((one for one in measured if one), key=lambda one: one.value, default=None),
        repeated=checks.mean_interval(repeated, [groups[one] for one in again]),
        deletion=checks.mean_interval(lost, [groups[one] for one in shown]),
        passed=False,
    )
    return check.model_copy(update={"passed": limits.met(check)})


def _shown(attribution: Floats, place: int) -> Floats:
    """The heatmap of a class as it is painted: what speaks for it."""
    return evidence(attribution[..., place])[0]


def _randomised_figure(
    original: Sequence[Floats],
    stage: Stage,
    place: int,
    shown: Sequence[int],
    groups: Sequence[str],
) -> Interval | None:
    """Mean over images, and over the draws of a stage, of how alike its attributions are.

    What speaks against the class counts too: random weights that turn the sign change all that
    is shown, and would else count as half alike by chance.
    Networks whose random weights overflow say nothing and are left out.
    """
    values, of_groups = [], []
    for number in shown:
        drawn = [
            checks.alike(original[number], draw[number][..., place])
            for draw in stage
            if number < len(draw) and np.isfinite(draw[number]).all()
        ]
        if drawn:
            values.append(float(np.mean(drawn)))
            of_groups.append(groups[number])
    return checks.mean_interval(values, of_groups)


def _randomised(
    network: _Network, reference: Any, layer: str, own: dict[str, list[Example]]
) -> dict[str, list[Stage]]:
    """Attributions by networks whose weights were randomised from the top down.

    The stages: the layers behind the maps; they and the later half of those before; all. Each
    stage is drawn anew a few times.

    Returns:
        By class: the stages, each with the attributions of the class's first images by draw.
    """
    k = keras()
    model = k.models.clone_model(reference)
    behind = layers_of_head(reference, layer)
    weighted = [one for one in model.layers if one.get_weights()]
    head = [one for one in weighted if one.name in behind]
    trunk = [one for one in weighted if one.name not in behind]
    whole = {one.name: reference.get_layer(one.name).get_weights() for one in weighted}
    most = min(RANDOMISED_IMAGES, max(4, RANDOMISED_IN_ALL // len(own)))
    inputs = {name: network.store.inputs(some[:most]) for name, some in own.items() if some}
    found: dict[str, list[Stage]] = {name: [] for name in inputs}
    stages = (head, head + trunk[len(trunk) // 2 :], weighted)
    for number, (stage, draws) in enumerate(zip(stages, RANDOM_DRAWS, strict=True)):
        drawn: dict[str, Stage] = {name: [] for name in inputs}
        for draw in range(draws):
            random = np.random.default_rng([number, draw])
            for one in weighted:
                one.set_weights(
                    checks.randomise(whole[one.name], random) if one in stage else whole[one.name]
                )
            for name, batch in inputs.items():
                drawn[name].append(by_gradients(model, layer, network.card, batch))
        for name, stage_of_class in drawn.items():
            found[name].append(stage_of_class)
    return found


def _spread(examples: Sequence[Example], most: int) -> list[Example]:
    """At most so many, from all over the list."""
    return list(examples[:: max(1, -(-len(examples) // most))])
