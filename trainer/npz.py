"""MedMNIST-style `.npz` files as data sets: unpacked once into class folders.

Such a file (Yang et al. 2023) holds `train_images`, `train_labels` and the same for `val` and
`test`: uint8 of shape (N, H, W) or (N, H, W, 3), and one number an image, in the order of the
catalogue's classes.
"""

import hashlib
import shutil
import zipfile
from pathlib import Path
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from diagnosis.catalogue import Disease
from diagnosis.durable import INCOMING
from diagnosis.images.pixels import encode_png
from trainer.refusals import DataRefused

_SPLITS = ("train", "val", "test")


def unpacked(file: Path, disease: Disease | None, cache: Path) -> Path:
    """The folder that a `.npz` file was unpacked to, made where it is not there yet.

    Args:
        file: the `.npz` file.
        disease: names the classes; without one their numbers do.
        cache: holds the folder, under the digest of the file.

    Raises:
        DataRefused: not such a file, or labels that are no classes of the disease.
        OSError: the cache cannot be written; nothing half-written is left.
    """
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    home = cache / "npz" / digest[:32]
    folder = home / (disease.id if disease else "numbers")
    if folder.is_dir():
        return folder
    home.mkdir(parents=True, exist_ok=True)
    draft = home / f"{INCOMING}{uuid4().hex}"
    try:
        with np.load(file, allow_pickle=False) as arrays:
            present = [one for one in _SPLITS if f"{one}_images" in arrays.files]
            if not present:
                raise DataRefused(
                    f"{file} has no train_images, val_images or test_images: a MedMNIST-style file "
                    "is expected."
                )
            for split in present:
                images, labels = _part(file, arrays, split)
                names = _names(file, split, labels, disease)
                for number, (image, name) in enumerate(zip(images, names, strict=True)):
                    place = draft / split / name
                    place.mkdir(parents=True, exist_ok=True)
                    (place / f"{number:06}.png").write_bytes(encode_png(image))
        try:
            draft.rename(folder)
        except OSError:
            if not folder.is_dir():  # Else another process was faster.
                raise
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise DataRefused(
            f"{file} cannot be read as a MedMNIST-style .npz file ({type(error).__name__})."
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder


def _part(
    file: Path, arrays: np.lib.npyio.NpzFile, split: str
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    images = arrays[f"{split}_images"]
    if images.ndim == 4 and images.shape[-1] == 1:
        images = images[..., 0]
    flat = images.ndim == 3 or (images.ndim == 4 and images.shape[-1] == 3)
    if images.dtype != np.uint8 or not flat:
        raise DataRefused(
            f"{split}_images of {file} is {images.dtype} of shape {images.shape}; expected uint8 "
            "of shape (N, H, W) or (N, H, W, 3)."
        )
    if f"{split}_labels" not in arrays.files:
        raise DataRefused(f"{file} has {split}_images and no {split}_labels.")
    labels = arrays[f"{split}_labels"]
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.shape != (len(images),) or labels.dtype.kind not in "iu":
        raise DataRefused(
            f"{split}_labels of {file} has shape {labels.shape}; expected one whole number for "
            f"each of {len(images)} images."
        )
    return images, labels.astype(np.int64)


def _names(file: Path, split: str, labels: NDArray[np.int64], disease: Disease | None) -> list[str]:
    if disease is None:
        return [str(label) for label in labels]
    wrong = sorted(set(labels.tolist()) - set(range(len(disease.class_ids))))
    if wrong:
        raise DataRefused(
            f"{split}_labels of {file} holds {wrong[0]}; {disease.id} has the classes 0 to "
            f"{len(disease.class_ids) - 1}: {', '.join(disease.class_ids)}."
        )
    return [disease.class_ids[label] for label in labels]
