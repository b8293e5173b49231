"""Weights that are stored in float16 and computed with in float32.

The weights of a trained network are rounded to float16 once, with `round_weights`. The ONNX model
stores the rounded weights; ONNX Runtime and OpenVINO convert them, and fold the scale of batch
normalisation into them, when they open the model. So all engines compute with the same numbers, and
files are half as large.
"""

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stainproof.errors import CheckpointError
from stainproof.inference.folding import FoldedConvolution


def round_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights with matrices and kernels in float16; vectors, such as biases, stay.

    Raises:
        CheckpointError: A weight is beyond the range of float16.
    """
    rounded = {
        name: value.half() if value.is_floating_point() and value.ndim > 1 else value
        for name, value in weights.items()
    }
    for name, value in rounded.items():
        if not value.isfinite().all():
            raise CheckpointError(f"weight {name!r}: beyond the range of float16, 65,504")
    return rounded


def with_half_weights(network: nn.Module) -> nn.Module:
    """Replace convolutions and dense layers by ones that store float16; return the network.

    Args:
        network: Its weights must be rounded; the network is modified.
    """
    for name, layer in network.named_children():
        if isinstance(layer, nn.Conv2d):
            setattr(network, name, HalfConvolution(layer))
        elif isinstance(layer, nn.Linear):
            setattr(network, name, HalfLinear(layer))
        else:
            with_half_weights(layer)
    return network


class HalfConvolution(nn.Module):
    """A convolution that stores its weight, before folding, in float16."""

    stored: Tensor
    scale: Tensor

    def __init__(self, layer: nn.Conv2d):
        super().__init__()
        weight, scale = layer.weight.detach(), torch.ones(1)
        if isinstance(layer, FoldedConvolution):
            weight, scale = layer.factors
        self.register_buffer("stored", weight.half())
        self.register_buffer("scale", scale)
        self.bias = layer.bias
        self.stride, self.dilation, self.groups = layer.stride, layer.dilation, layer.groups
        self.padding = layer.padding

    def forward(self, x_bchw: Tensor) -> Tensor:
        """Map (b, in, h, w) to (b, out, h, w), as the layer does."""
        return F.conv2d(
            x_bchw,
            self.stored.float() * self.scale,
            self.bias,
            cast(tuple[int, int], self.stride),
            cast(tuple[int, int], self.padding),
            cast(tuple[int, int], self.dilation),
            self.groups,
        )


class HalfLinear(nn.Module):
    """A dense layer that stores its weight in float16."""

    stored: Tensor

    def __init__(self, layer: nn.Linear):
        super().__init__()
        self.register_buffer("stored", layer.weight.detach().half())
        self.bias = layer.bias

    def forward(self, x_bc: Tensor) -> Tensor:
        """Map (b, in) to (b, out), as the layer does."""
        return F.linear(x_bc, self.stored.float(), self.bias)
