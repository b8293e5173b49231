"""Load a run or an ensemble as the teacher of a distillation."""

from stainproof.errors import CheckpointError, ConfigError
from stainproof.inference.classifier import Classifier
from stainproof.shift.lab import Lab


def load_teacher(folder: str, threads: int | None = None) -> Classifier:
    """Load the classifier that `training.teacher` names.

    It gets the training images, so a laboratory profile in an ensemble is not applied.

    Raises:
        ConfigError: The folder contains no usable classifier.
    """
    try:
        return Classifier.load(folder, threads=threads, lab=Lab(), calibrated=False)
    except CheckpointError as error:
        raise ConfigError(f"training.teacher: {error}") from error
