"""Near duplicates: copies are found whatever was done to them, look-alikes are not."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from scipy.ndimage import gaussian_filter

from diagnosis.catalogue import disease
from tests.trainer.conftest import MakeImages, made_film
from trainer.data import DataSet, Example, read_dataset
from trainer.leakage import find_leakage, refuse_leakage, without_copies
from trainer.perceptual import near_duplicates, pairs_of, thumbnail
from trainer.refusals import LeakageRefused
from trainer.splits import linked_groups, with_splits

PNEUMONIA = disease("chest_xray_pneumonia")


def texture(seed: int, side: int = 96) -> Image.Image:
    """A picture with coarse and fine detail, as tissue has."""
    random = np.random.default_rng(seed)
    layers = [
        gaussian_filter(random.normal(0, 1, (side, side)), s) * s * w
        for s, w in ((12, 60), (4, 25), (1, 12))
    ]
    return Image.fromarray(np.clip(128 + sum(layers), 0, 255).astype(np.uint8))


def as_jpeg(image: Image.Image, quality: int) -> Image.Image:
    target = BytesIO()
    image.save(target, "JPEG", quality=quality)
    return Image.open(target)


def found(*images: Image.Image) -> list[tuple[int, int]]:
    pairs = near_duplicates([thumbnail(np.asarray(one)) for one in images])
    return [(one.first, one.second) for one in pairs]


@pytest.mark.parametrize(
    "change",
    [
        lambda one: as_jpeg(one, 40),
        lambda one: one.resize((70, 70)),
        lambda one: ImageEnhance.Contrast(one).enhance(1.3),
        lambda one: one.point([min(255, v + 25) for v in range(256)]),
        lambda one: one.convert("RGB"),
    ],
    ids=["jpeg", "smaller", "contrast", "brighter", "colour"],
)
def test_a_changed_copy_is_found_among_others(
    change: Callable[[Image.Image], Image.Image],
) -> None:
    images = [texture(seed) for seed in range(9)]
    assert found(*images, change(images[7])) == [(7, 9)]


def test_look_alikes_that_share_only_what_is_coarse_are_none() -> None:
    """The films of the tests are one scene with other noise: their hashes are close."""
    assert found(*(made_film(seed, ill=False) for seed in range(40))) == []


def test_blank_and_tiny_images_are_not_judged() -> None:
    blank = [Image.new("L", (80, 80), level) for level in (0, 0, 128)]
    tiny = texture(1).resize((40, 40))
    assert found(*blank, tiny, tiny) == []


def test_deep_pixels_are_read_as_eight_bit_ones_are() -> None:
    pixels = np.asarray(texture(3))
    assert (thumbnail(pixels.astype(np.uint16) * 257) == thumbnail(pixels)).all()


@pytest.fixture
def leaking(tmp_path: Path, make_images: MakeImages) -> DataSet:
    """Splits with an identical file and a near duplicate on two sides."""
    make_images(tmp_path, {f"{s}/{c}": 2 for s in ("train", "val") for c in ("normal", "ill")})
    for split in ("train", "val"):
        (tmp_path / split / "ill").rename(tmp_path / split / "pneumonia")
    texture(5).save(tmp_path / "train/normal/t.png")
    as_jpeg(texture(5), 60).save(tmp_path / "val/normal/near.png")
    copy = (tmp_path / "train/pneumonia/000.png").read_bytes()
    (tmp_path / "val/pneumonia/copy.png").write_bytes(copy)
    return read_dataset(tmp_path, PNEUMONIA)


def test_near_duplicates_across_splits_are_refused_or_left_out(
    leaking: DataSet, tmp_path: Path
) -> None:
    alike = pairs_of(leaking.examples, tmp_path / "cache")
    assert [{path.name for path in pair} for pair in alike] == [{"t.png", "near.png"}]
    assert pairs_of(leaking.examples, tmp_path / "cache") == alike
    leak = find_leakage(leaking.examples, alike)
    assert (len(leak.copies), len(leak.groups), len(leak.near)) == (1, 1, 1)
    with pytest.raises(LeakageRefused, match=r"near duplicates.*--allow-leakage REASON"):
        refuse_leakage(leaking.examples, alike)
    kept = without_copies(leaking, alike)
    gone = {one.path.name for one in leaking.examples} - {one.path.name for one in kept.examples}
    assert gone == {"t.png"}  # The other `000.png` shares its name with files that stay.
    assert len(kept.examples) == len(leaking.examples) - 2
    assert not find_leakage(kept.examples, alike)
    assert with_splits(leaking, alike=alike, allow_leakage=True) == leaking


def test_near_duplicates_are_dealt_to_one_side() -> None:
    examples = [Example(Path(f"/{i}"), "normal", f"{i:064x}", f"g{i}") for i in range(3)]
    first, second, third = linked_groups(examples, [(Path("/0"), Path("/2"))])
    assert first == third != second
    many = [
        Example(Path(f"/{i}"), PNEUMONIA.class_ids[i % 2], f"{i:064x}", f"g{i}") for i in range(60)
    ]
    alike = [(Path(f"/{i}"), Path(f"/{i + 30}")) for i in range(30)]
    data = with_splits(DataSet(Path("/"), PNEUMONIA, tuple(many)), alike=alike)
    assert len(data.splits) == 3
    assert not find_leakage(data.examples, alike)
