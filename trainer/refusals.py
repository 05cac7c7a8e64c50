"""What the trainer refuses, each with a sentence that says what to do. A command exits with 2."""


class TrainerRefused(Exception):
    """The command cannot do what was asked; the text is a sentence for the person who asked."""


class DataRefused(TrainerRefused):
    """The folder of images cannot be used as it is."""


class LeakageRefused(DataRefused):
    """A patient or an identical image stands on two sides of a split."""


class RecipeRefused(TrainerRefused):
    """The recipe does not exist or lacks something it needs."""


class CheckpointRefused(TrainerRefused):
    """A checkpoint of a run cannot be written or read."""


class ArtifactMissing(TrainerRefused):
    """There is no artifact where one was named."""


class ParityRefused(TrainerRefused):
    """The converted model does not answer as the Keras model does."""


class PrecisionRefused(TrainerRefused):
    """Storing the weights in half precision changes the answers, or it cannot be measured."""


class PrecisionMissing(TrainerRefused):
    """This machine's processor does not compute at the precision that was asked for."""


class LegacyRefused(TrainerRefused):
    """A legacy `.h5` file holds what is not imported."""


class PolicyRefused(TrainerRefused):
    """There is no such augmentation policy, or the disease does not allow what it does."""
