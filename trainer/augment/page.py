"""`trainer show-policy`: what each policy does, on ten images, as a page that stands by itself."""

import base64
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diagnosis import WARNING
from diagnosis.catalogue import Augmentation, Disease
from diagnosis.errors import ImageRefused
from trainer.augment.changes import Augmenter
from trainer.augment.policies import POLICIES, Policy, allowed_policies
from trainer.augment.writing import changed, eight_bit
from trainer.data import Example, read_dataset
from trainer.refusals import DataRefused

IMAGES = 10
_SIDE = 160


def policy_page(
    data: Path,
    disease: Disease,
    policy: Policy | None = None,
    *,
    manifest: Path | None = None,
    seed: int = 0,
    cache: Path,
    workers: int = 2,
) -> str:
    """The page, HTML: each policy on ten images, the technique's name under each.

    Args:
        data: DATA; training images where it declares a training split.
        disease: what it may be changed for.
        policy: this one alone; else all that the disease allows.
        manifest: as for training.
        seed: of the draws.
        cache: where a `.npz` file is unpacked to.
        workers: threads that read the files.

    Raises:
        PolicyRefused: the catalogue does not allow the policy for the disease.
        DataRefused: DATA holds no readable image.
    """
    chosen = [policy] if policy else [POLICIES[name] for name in allowed_policies(disease)]
    techniques = {one.name: one.for_disease(disease) for one in chosen}
    found = read_dataset(data, disease, manifest=manifest, workers=workers, cache=cache)
    images = _ten(found.of("train").examples or found.examples, disease)
    if not images:
        raise DataRefused(f"{data} holds no readable image.")
    policies = [
        {
            "name": one.name,
            "purpose": one.purpose,
            "strength": f"{one.strength:g}",
            "techniques": techniques[one.name],
            "images": list(_shown(images, disease, one, techniques[one.name], seed)),
        }
        for one in chosen
    ]
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("trainer", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("policies.html.j2").render(
        warning=WARNING, disease=disease, policies=policies, count=len(images)
    )


def _ten(examples: Sequence[Example], disease: Disease) -> list[tuple[Example, NDArray[np.uint8]]]:
    """Ten readable images, the classes by turns, each the next by digest."""
    queues = [
        sorted((one for one in examples if one.class_id == name), key=lambda one: one.digest)
        for name in disease.class_ids
    ]
    images: list[tuple[Example, NDArray[np.uint8]]] = []
    while any(queues) and len(images) < IMAGES:
        for queue in queues:
            if not queue or len(images) == IMAGES:
                continue
            one = queue.pop(0)
            try:
                images.append((one, _small(eight_bit(one.path))))
            except ImageRefused:
                continue
    return images


def _shown(
    images: Sequence[tuple[Example, NDArray[np.uint8]]],
    disease: Disease,
    policy: Policy,
    techniques: Sequence[Augmentation],
    seed: int,
) -> Iterator[dict[str, Any]]:
    """One technique an image, by turns, as `trainer augment` writes them."""
    names = {one.id: one.name for one in disease.classes}
    # Every technique is seen: where there are more than images, the first images come again.
    for place in range(max(len(images), len(techniques))):
        example, pixels = images[place % len(images)]
        technique = techniques[place % len(techniques)] if techniques else None
        result, says = pixels, "as it is"
        if technique is not None:
            augmenter = Augmenter(disease, [technique], strength=policy.strength)
            after = changed(pixels, augmenter, (seed, place))
            result = pixels if after is None else after
            says = technique.replace("_", " ") + (
                " (changes nothing here)" if after is None else ""
            )
        yield {"source": _inlined(result), "technique": says, "class": names[example.class_id]}


def _small(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    image = Image.fromarray(pixels)
    image.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    return np.asarray(image)


def _inlined(pixels: NDArray[np.uint8]) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
