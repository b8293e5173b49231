"""Preprocessing on tensors: uint8 images to normalised float32 tensors."""

import torch
from torch import Tensor

from stainproof.config.schema import Preprocessing


def to_tensor(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Normalise images.

    Args:
        images: uint8 (b, h, w, 3), RGB, 0 to 255.
        preprocessing: Defines mean and standard deviation of the values scaled to [0, 1].

    Returns:
        float32 (b, 3, h, w) in channels-last memory order.
    """
    x_bchw = images.permute(0, 3, 1, 2).float().div_(255)
    if preprocessing.mean == (0, 0, 0) and preprocessing.std == (1, 1, 1):
        return x_bchw
    mean = torch.tensor(preprocessing.mean, device=images.device).view(1, 3, 1, 1)
    std = torch.tensor(preprocessing.std, device=images.device).view(1, 3, 1, 1)
    return x_bchw.sub_(mean).div_(std)
