"""Optimizers: Adam, AdamW, SGD, Lion and Muon, with their parameter groups."""

from collections import defaultdict
from typing import Any

from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from stainproof.config.schema import TrainingConfig
from stainproof.models.backbones import weight_depths


def make_optimizer(network: nn.Module, settings: TrainingConfig) -> Optimizer:
    """Build the optimizer. Weight decay is not applied to biases and normalisation weights.

    Adam (Kingma & Ba 2015) is AdamW without weight decay; AdamW (Loshchilov & Hutter 2019); SGD
    with Nesterov momentum 0.9; Lion (Chen et al. 2023); Muon (Jordan et al. 2024) for weights with
    two or more dimensions, with update sizes matched to AdamW (Liu et al. 2025, section 2.2), and
    AdamW for all others.

    If `layer_decay` is below 1, the learning rate of a backbone's weights decreases with their
    depth below the head (Bao et al. 2022, "BEiT", section 3.1). The first parameter group has the
    head's rate.
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
