"""Which cells the review page calls uncertain."""

from dataclasses import dataclass
from pathlib import Path

from stainproof.calibration.abstention import SIGNIFICANCE
from stainproof.config.parsing import parse_share
from stainproof.inference.abstaining import threshold_of
from stainproof.inference.classifier import Classifier

UNCERTAIN_BELOW = 0.7
"""Probability of the predicted class below which a cell is uncertain if no error is asked for."""


@dataclass(frozen=True)
class Uncertainty:
    """The rule by which cells are called uncertain."""

    below: float = UNCERTAIN_BELOW
    """Probability of the predicted class below which a cell is uncertain, 0 to 1."""
    rule: str = (
        f"A cell is uncertain if its predicted class has a probability below "
        f"{100 * UNCERTAIN_BELOW:.0f} %: a fixed value, because no error was asked for with "
        "--error."
    )
    """The rule and where it comes from, as sentences."""


def uncertainty_of(
    run: str | Path, classifier: Classifier, error: str | float | None
) -> Uncertainty:
    """Return the rule of `predict --error`, or the fixed one if no error is asked for.

    Args:
        run: The folder that the classifier was loaded from.
        classifier: The classifier.
        error: Largest error among the cells that are not uncertain, such as `"2%"` or 0.02, on
            cells like those that the run was calibrated on.

    Raises:
        ConfigError: The error cannot be guaranteed, or the run has no calibration.
        CheckpointError: The calibration is damaged or was altered.
    """
    if error is None:
        return Uncertainty()
    found, source = threshold_of(run, classifier, parse_share(error, "error"))
    which = (
        f"A cell is uncertain if its predicted class has a probability below "
        f"{100 * found.confidence:.2f} %, as in predict --error"
        if found.confidence
        else "No cell is uncertain, as in predict --error"
    )
    return Uncertainty(
        found.confidence,
        f"{which} {100 * found.max_error:g}%. Of the other cells at most {100 * found.max_error:g} "
        f"% are wrong if they are like those of {source} ({found.num_images:,} labelled cells, "
        f"confidence level {100 * (1 - SIGNIFICANCE):.0f} %); in another laboratory more can be.",
    )
