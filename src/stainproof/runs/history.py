"""The training history of a run: one record an epoch."""

import json
from pathlib import Path

from stainproof.errors import CheckpointError
from stainproof.runs.artefact import Artefact
from stainproof.runs.upgrade import upgrade_record

MAX_FIGURE = 1e30
"""Largest number in a history, beyond which figures cannot be drawn."""


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
        """Return whether all losses are numbers that a history may have, not NaN or infinite."""
        losses = (self.loss, self.val_loss, self.val_augmented_loss or 0.0)
        return all(abs(loss) <= MAX_FIGURE for loss in losses)


def parse_history(content: bytes, path: Path) -> list[EpochRecord]:
    """Return the epochs in the content of a history file.

    Args:
        content: The file's bytes.
        path: The file, for messages.

    Raises:
        CheckpointError: The content is not one epoch a line.
    """
    try:
        lines = content.decode("utf-8").splitlines()
        records = [EpochRecord.model_validate(upgrade_record(json.loads(line))) for line in lines]
    except (ValueError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path}: damaged; not one epoch a line") from error
    for record in records:
        if any(abs(value or 0) > MAX_FIGURE for _, value in record):
            raise CheckpointError(f"{path}: damaged; a number beyond {MAX_FIGURE:g}")
    return records
