"""Optimisers and learning-rate schedules."""

import math
from collections import defaultdict
from typing import Any

from torch import nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from stainproof.config import Config, TrainingConfig
from stainproof.models.backbones import weight_depths
from stainproof.models.network import STEP_PX, start_px

WARM_UP = 0.15
"""Share of a one-cycle run in which the rate rises."""
START = 0.04
"""Rate at the start of a one-cycle run, as a share of the peak."""
GROWN = 2 / 3
"""Share of a run in which images grow, and by how many pixels at once."""


def make_optimizer(network: nn.Module, settings: TrainingConfig) -> Optimizer:
    """Build the optimiser of the settings; biases and normalisation weights never decay.

    Adam (Kingma & Ba 2015), AdamW (Loshchilov & Hutter 2019), SGD with Nesterov's momentum, Lion
    (Chen et al. 2023), or Muon (Jordan et al. 2024) for all that is a matrix, its steps as large
    as AdamW's (Liu et al. 2025, section 2.2), and AdamW for the rest.

    Where `layer_decay` is below 1, the rate of a backbone's weights falls with their depth below
    the head (Bao et al. 2022, "BEiT", section 3.1). The first group has the rate of the head.
    """
    depths = weight_depths(network) if settings.layer_decay < 1 else {}
    kinds: defaultdict[tuple[int, bool], list[nn.Parameter]] = defaultdict(list)
    for name, weight in network.named_parameters():
        if weight.requires_grad:
            kinds[depths.get(name, 0), weight.ndim <= 1].append(weight)
    groups: list[dict[str, Any]] = [
        {
            "params": kinds[depth, is_vector],
            "weight_decay": 0.0 if is_vector else settings.weight_decay,
            "lr": settings.learning_rate * settings.layer_decay**depth,
        }
        for depth, is_vector in sorted(kinds)
    ]
    rate = settings.learning_rate
    if settings.optimizer in ("adam", "adamw"):
        return AdamW(groups, lr=rate)
    if settings.optimizer == "sgd":
        return SGD(groups, lr=rate, momentum=0.9, nesterov=True)
    from pytorch_optimizer import Lion, Muon

    if settings.optimizer == "lion":
        return Lion(groups, lr=rate)
    for group, (_, is_vector) in zip(groups, sorted(kinds), strict=True):
        group["use_muon"] = not is_vector
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
    2021, "EfficientNetV2", section 4).

    Args:
        progress: 0 at the start of training, 1 at its end.
        config: Gives the size at the end, the scale at the start and the number of halvings.
    """
    full_px, first_px = config.input.size_px, start_px(config)
    grown = min(progress / GROWN, 1.0)
    if grown == 1:
        return full_px
    return first_px + int(grown * (full_px - first_px) / STEP_PX) * STEP_PX


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
