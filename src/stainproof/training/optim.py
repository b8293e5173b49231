"""Optimisers and learning-rate schedules."""

import math
from typing import Any

from torch import nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from stainproof.config import Config, TrainingConfig

WARM_UP = 0.15
"""Share of a one-cycle run in which the rate rises."""
START = 0.04
"""Rate at the start of a one-cycle run, as a share of the peak."""
GROWN, STEP_PX = 2 / 3, 8
"""Share of a run in which images grow, and by how many pixels at once."""


def make_optimizer(network: nn.Module, settings: TrainingConfig) -> Optimizer:
    """Build the optimiser of the settings; biases and normalisation weights never decay.

    Adam (Kingma & Ba 2015), AdamW (Loshchilov & Hutter 2019), SGD with Nesterov's momentum, Lion
    (Chen et al. 2023), or Muon (Jordan et al. 2024) for all that is a matrix, its steps as large
    as AdamW's (Liu et al. 2025, section 2.2), and AdamW for the rest.
    """
    weights = [p for p in network.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in weights if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in weights if p.ndim <= 1], "weight_decay": 0.0},
    ]
    rate = settings.learning_rate
    if settings.optimizer in ("adam", "adamw"):
        return AdamW(groups, lr=rate)
    if settings.optimizer == "sgd":
        return SGD(groups, lr=rate, momentum=0.9, nesterov=True)
    from pytorch_optimizer import Lion, Muon

    if settings.optimizer == "lion":
        return Lion(groups, lr=rate)
    for group, is_matrix in zip(groups, (True, False), strict=True):
        group |= {"use_muon": is_matrix, "lr": rate}
    return Muon(groups, use_adjusted_lr=True, adamw_betas=(0.9, 0.999))


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


def size_px(progress: float, config: Config) -> int:
    """Return the height and width of training images at this share of the run.

    They grow in steps of 8 and are full from two thirds on (progressive resizing, as in Tan & Le
    2021, "EfficientNetV2", section 4); never smaller than the network can halve.

    Args:
        progress: 0 at the start of training, 1 at its end.
        config: Gives the size at the end, the scale at the start and the number of halvings.
    """
    full_px = config.input.size_px
    smallest_px = 1 << len(config.network.stem + config.network.stages)
    start_px = min(max(round(config.training.start_scale * full_px), smallest_px), full_px)
    grown = min(progress / GROWN, 1.0)
    if grown == 1:
        return full_px
    return start_px + int(grown * (full_px - start_px) / STEP_PX) * STEP_PX


class Schedule:
    """Sets the learning rate: by the share of the run that is over, or by validation loss."""

    def __init__(self, optimizer: Optimizer, settings: TrainingConfig):
        self.optimizer = optimizer
        self.settings = settings
        self.plateau = ReduceLROnPlateau(
            optimizer, factor=settings.plateau_factor, patience=settings.plateau_patience
        )

    def before_step(self, progress: float) -> None:
        """Set the rate for the next step of a one-cycle run."""
        if self.settings.schedule == "one-cycle":
            for group in self.optimizer.param_groups:
                group["lr"] = self.settings.learning_rate * one_cycle(progress)

    def after_epoch(self, val_loss: float) -> None:
        """Lower the rate of a plateau run where validation loss has stalled."""
        if self.settings.schedule == "plateau":
            self.plateau.step(val_loss)

    @property
    def rate(self) -> float:
        """Return the present learning rate."""
        return float(self.optimizer.param_groups[0]["lr"])
