"""Changes to training images that leave the label true: in training, on a page, and as files."""

from trainer.augment.changes import Augmenter, Pixels, usable

__all__ = ["Augmenter", "Pixels", "usable"]
