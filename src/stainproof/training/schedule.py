"""Learning-rate schedules: one-cycle, and reduction on a plateau of the validation loss."""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from stainproof.config.schema import TrainingConfig

WARM_UP = 0.15
"""Fraction of a one-cycle run during which the learning rate rises."""
START = 0.04
"""Learning rate at the start of a one-cycle run, as a fraction of the peak."""


def one_cycle(progress: float) -> float:
    """Return the learning rate at a point of the run, as a fraction of the peak.

    A linear warm-up from 4 % during the first 15 %, then a half cosine to zero (Smith & Topin 2018,
    "Super-Convergence", with the cosine of Loshchilov & Hutter 2017).

    Args:
        progress: 0 at the start of training, 1 at its end.
    """
    progress = min(max(progress, 0.0), 1.0)
    if progress < WARM_UP:
        return START + (1 - START) * progress / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP)))


class Schedule:
    """Sets the learning rate: by the progress of the run, or by the validation loss."""

    def __init__(self, optimizer: Optimizer, settings: TrainingConfig):
        self.optimizer = optimizer
        self.settings = settings
        self.peaks = [group["lr"] for group in optimizer.param_groups]
        self.plateau = ReduceLROnPlateau(
            optimizer, factor=settings.plateau_factor, patience=settings.plateau_patience
        )

    def before_step(self, progress: float) -> None:
        """Set the learning rate of the next step of a one-cycle run."""
        if self.settings.schedule == "one-cycle":
            for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
                group["lr"] = peak * one_cycle(progress)

    def after_epoch(self, val_loss: float) -> None:
        """Reduce the learning rate of a plateau run when the validation loss stops improving."""
        if self.settings.schedule == "plateau":
            self.plateau.step(val_loss)

    @property
    def rate(self) -> float:
        """The current learning rate (of the head)."""
        return float(self.optimizer.param_groups[0]["lr"])
