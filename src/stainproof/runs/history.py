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
    """On the validation images."""
    val_augmented_accuracy: float | None
    """On the augmented validation set; None if there is none."""
    val_augmented_loss: float | None = None
    learning_rate: float
    """At the end of the epoch."""
    images_per_s: float
    elapsed_s: float
    """Since the start of training, without interruptions."""
    augmenting_s: float | None = None
    """Processor seconds of augmentation in this epoch."""

    def is_finite(self) -> bool:
        """Return whether all losses are finite."""
        losses = (self.loss, self.val_loss, self.val_augmented_loss or 0.0)
        return all(map(math.isfinite, losses))
