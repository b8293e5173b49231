"""The confidence from which predictions of a run are accepted, for an error that is asked for."""

from pathlib import Path

from stainproof.calibration.abstention import UNCERTAIN, Threshold, find_threshold
from stainproof.calibration.record import read_calibration
from stainproof.errors import ConfigError
from stainproof.inference.classifier import Classifier
from stainproof.inference.engines import INT8
from stainproof.runs.folder import RunFolder
from stainproof.runs.shipped import find_run


def threshold_of(run: str | Path, classifier: Classifier, error: float) -> tuple[Threshold, str]:
    """Return the threshold that guarantees an error, and the name of the images it was found on.

    Args:
        run: The folder that the classifier was loaded from, or the name of a shipped model.
        classifier: The classifier.
        error: Largest error among accepted images, above 0 and below 1.

    Raises:
        ConfigError: The run has no calibration, the error cannot be guaranteed with it, or the
            classifier does not give the probabilities that were calibrated.
        CheckpointError: The calibration is damaged or was altered.
    """
    in_8_bits = any(member.engine_name == INT8 for member in classifier.members)
    changes = classifier.inference.describe() or ("engine int8" if in_8_bits else "")
    if changes:
        raise ConfigError(f"error: cannot be guaranteed with {changes}; leave it out")
    if UNCERTAIN in classifier.classes:
        raise ConfigError(f"error: the model has a class of the name {UNCERTAIN!r}")
    calibration = read_calibration(RunFolder(find_run(run)))
    if calibration is None:
        raise ConfigError(
            f"error: {run} is not calibrated; calibrate it with stainproof calibrate {run} DATA"
        )
    return find_threshold(calibration, error), calibration.source
