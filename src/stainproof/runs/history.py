"""The training history of a run: one record an epoch."""

import math

from stainproof.runs.artefact import Artefact


class EpochRecord(Artefact):
    """One line of `history.jsonl`."""

    epoch: int
    """Counted from 1."""
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    """On the validation split as it is."""
    val_augmented_accuracy: float | None
    """On the validation split as `augment.validation` changes it; absent where it does not."""
    val_augmented_loss: float | None = None
    learning_rate: float
    """At the end of the epoch."""
    images_per_s: float
    elapsed_s: float
    """Since training began, interruptions not counted."""
    augmenting_s: float | None = None
    """Processor seconds that changing the epoch's images took, beside the training itself."""

    def is_finite(self) -> bool:
        """Say whether all its losses are numbers."""
        losses = (self.loss, self.val_loss, self.val_augmented_loss or 0.0)
        return all(map(math.isfinite, losses))
