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
    """Return the share of the peak rate at this share of the run.

    Linear up from 4 % during the first 15 %, then a half cosine down to zero (Smith & Topin 2018,
    "Super-Convergence", with the cosine of Loshchilov & Hutter 2017).

    Args:
        progress: 0 at the start of training, 1 at its end.
    """
    progress = min(max(progress, 0.0), 1.0)
    if progress < WARM_UP:
        return START + (1 - START) * progress / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP)))


class Schedule:
    """Sets the learning rate: by the share of the run that is over, or by validation loss."""

    def __init__(self, optimizer: Optimizer, settings: TrainingConfig):
        self.optimizer = optimizer
        self.settings = settings
        self.peaks = [group["lr"] for group in optimizer.param_groups]
        self.plateau = ReduceLROnPlateau(
            optimizer, factor=settings.plateau_factor, patience=settings.plateau_patience
        )

    def before_step(self, progress: float) -> None:
        """Set the rate for the next step of a one-cycle run."""
        if self.settings.schedule == "one-cycle":
            for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
                group["lr"] = peak * one_cycle(progress)

    def after_epoch(self, val_loss: float) -> None:
        """Lower the rate of a plateau run where validation loss has stalled."""
        if self.settings.schedule == "plateau":
            self.plateau.step(val_loss)

    @property
    def rate(self) -> float:
        """Return the present learning rate, that of the head."""
        return float(self.optimizer.param_groups[0]["lr"])
