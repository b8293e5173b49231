"""The result of an evaluation on corrupted images."""

import numpy as np
from pydantic import Field

from stainproof.provenance import Provenance
from stainproof.runs.artefact import SCHEMA_VERSION, Described, Estimate

CORRUPTIONS_FILE = "corruptions.json"


class CorruptionEvaluation(Described):
    """The evaluation of a model on corrupted copies of one source."""

    schema_version: int = Field(SCHEMA_VERSION, ge=SCHEMA_VERSION, le=SCHEMA_VERSION)
    source: str
    num_images: int
    weights_sha256: str
    seed: int
    clean: Estimate
    """Balanced accuracy on the images as they are, resized to 224 px and back."""
    mean: Estimate
    """Mean balanced accuracy over all corruptions and severities."""
    balanced_error: Estimate
    """BE: the mean over corruptions of the balanced error divided by that of AlexNet (Di Salvo et
    al. 2024, equation 2); below 1 is better than AlexNet.
    """
    balanced_accuracy: dict[str, tuple[float, ...]]
    """Corruption -> balanced accuracy at each severity."""
    calibration_error: dict[str, tuple[float, ...]]
    """Corruption -> expected calibration error at each severity."""
    provenance: Provenance

    def describe(self) -> dict[str, str]:
        """Return source and metrics as text."""
        error = self.balanced_error
        return {
            "source": f"{self.source}, {self.num_images:,} images, 11 corruptions, 5 severities",
            "balanced accuracy": f"{self.mean.percent()}; not corrupted {self.clean.percent()}",
            "BE": f"{error.value:.3f} ({error.low:.3f} to {error.high:.3f}); AlexNet 1",
            "mean calibration error": f"{100 * self.mean_calibration_error:.1f} %",
        }

    @property
    def mean_calibration_error(self) -> float:
        """Mean expected calibration error over all corruptions and severities."""
        return float(np.mean(list(self.calibration_error.values())))
