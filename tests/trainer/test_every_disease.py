"""Every disease of the catalogue is trained, on folders named as its data sets name them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diagnosis.catalogue import catalogue
from tests.trainer.conftest import train_eagerly
from trainer.batches import Images
from trainer.fitting import predict
from trainer.run import Request
from trainer.settings import Settings
from trainer.train import fit_all, prepare
from trainer.workplace import workplace

# TensorFlow's variables and NumPy 2 disagree on a keyword; nothing of ours.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
TRAINED = [one.id for one in catalogue().values() if one.classes]


@pytest.mark.parametrize("disease_id", TRAINED)
def test_every_disease_is_trained_on_folders_of_its_classes(
    disease_id: str, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the cheapest recipe that any of them can take; few images, one epoch, no graphs."""
    train_eagerly(monkeypatch)
    disease = catalogue()[disease_id]
    random = np.random.default_rng(disease.order)
    for split, count in (("train", 3), ("val", 2)):
        for one in disease.classes:
            folder = tmp_path / "data" / split / (one.aliases[0] if one.aliases else one.id)
            folder.mkdir(parents=True)
            for number in range(count):
                small = random.integers(0, 256, (6, 6, 3), np.uint8)
                Image.fromarray(small).resize((40, 40)).save(folder / f"{number}.png")
    request = Request(
        disease=disease_id,
        data=tmp_path / "data",
        recipe="small_residual",
        out=tmp_path / "run",
        licence="Made images.",
        epochs=1,
        laptop=True,
    )
    run = prepare(request, settings)
    assert run.data.per_class() == dict.fromkeys(disease.class_ids, 5)
    with workplace(request.out, run.digest) as place:
        fitted = fit_all(run, place)
    assert [one["epoch"] for one in fitted.history] == [1]
    examples = run.data.of("val").examples
    logits = predict(fitted.built.model, Images(run.store, examples), len(examples))
    assert logits.shape == (2 * len(disease.classes), len(disease.classes))
    assert np.isfinite(logits).all()
    assert np.ptp(logits, axis=0).max() > 0, "it answers to the image"
