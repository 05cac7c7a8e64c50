"""Named augmentation policies, as data: which changes, and how strong.

A policy is for training images only. What the catalogue does not allow for a disease is refused,
never dropped in silence: whoever asks for colour on a grey film has mistaken the film.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from diagnosis.catalogue import Augmentation, Disease
from trainer.refusals import PolicyRefused

PolicyName = Literal["none", "light", "strong", "devices", "colour", "mirrors", "allowed"]

_MOVED: tuple[Augmentation, ...] = ("rotate", "translate", "zoom")
_LIT: tuple[Augmentation, ...] = ("brightness", "contrast", "gamma")
_TAKEN: tuple[Augmentation, ...] = ("noise", "blur", "jpeg")


@dataclass(frozen=True)
class Policy:
    """Changes and their strength, which multiplies the size of each."""

    name: PolicyName
    purpose: str
    techniques: tuple[Augmentation, ...] | None
    """None takes all that the catalogue allows for the disease."""
    strength: float = 1.0

    def for_disease(self, disease: Disease) -> tuple[Augmentation, ...]:
        """The changes for a disease.

        Raises:
            PolicyRefused: the catalogue does not allow one of them.
        """
        if self.techniques is None:
            return disease.augmentations
        forbidden = [one for one in self.techniques if one not in disease.augmentations]
        if forbidden:
            raise PolicyRefused(
                f"The policy {self.name} does {', '.join(forbidden)}, which {disease.id} does not "
                f"allow: the label would not stay true. Policies for it: "
                f"{', '.join(allowed_policies(disease))}."
            )
        return self.techniques


POLICIES: Mapping[PolicyName, Policy] = MappingProxyType(
    {
        one.name: one
        for one in (
            Policy("none", "Images as they are: the comparison for every other policy.", ()),
            Policy(
                "light",
                "Small moves and light, for a network that starts from good features.",
                (*_MOVED, "brightness", "contrast"),
                0.5,
            ),
            Policy(
                "strong",
                "Large moves, light and noise, for a network that starts from nothing.",
                (*_MOVED, *_LIT, *_TAKEN),
                1.5,
            ),
            Policy(
                "devices",
                "What another device or archive would do: tone, sharpness, noise, compression.",
                (*_LIT, *_TAKEN),
            ),
            Policy(
                "colour",
                "Another stain, lamp or camera: hue, saturation, brightness and contrast.",
                ("hue", "saturation", "brightness", "contrast"),
            ),
            Policy(
                "mirrors",
                "Every way to lay down what has no up and no left, such as a cell.",
                ("flip_horizontal", "flip_vertical", "rotate_right_angles"),
            ),
            Policy("allowed", "Everything that the catalogue allows for the disease.", None),
        )
    }
)


def policy_of(name: str) -> Policy:
    """A policy by its name.

    Raises:
        PolicyRefused: there is none of this name.
    """
    for one in POLICIES.values():
        if one.name == name:
            return one
    raise PolicyRefused(f"There is no policy {name!r}. There are: {', '.join(POLICIES)}.")


def allowed_policies(disease: Disease) -> tuple[PolicyName, ...]:
    """The policies whose every change the catalogue allows for a disease."""
    return tuple(
        one.name
        for one in POLICIES.values()
        if not set(one.techniques or ()) - set(disease.augmentations)
    )
