"""Batch-normalisation folding: the network as inference computes it, images to probabilities."""

import copy
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from stainproof.config.schema import Preprocessing
from stainproof.models.blocks import (
    ConvUnit,
    CustomBlock,
    InceptionUnit,
    InstanceBatchNorm,
    SqueezeExcitation,
    StemUnit,
)
from stainproof.models.network import Network
from stainproof.models.preprocessing import to_tensor


class FoldedNetwork(nn.Module):
    """Images uint8 (b, h, w, 3) to probabilities float32 (b, classes).

    Every batch normalisation of our own layers is folded into the convolution before it (Jacob et
    al. 2018, "Quantization and Training of Neural Networks", section 3.2); the output stays the
    same. Group normalisation depends on the image and stays. Backbones stay as they are, because
    ONNX Runtime and OpenVINO fold them.
    """

    def __init__(self, network: nn.Module, preprocessing: Preprocessing):
        """Copy the weights of a network, which is not modified."""
        super().__init__()
        self.preprocessing = preprocessing
        with torch.no_grad():
            if isinstance(network, Network) and not _has_group_norm(network):
                self.layers: nn.Module = nn.Sequential(*(_folded(layer) for layer in network))
            else:
                self.layers = copy.deepcopy(network)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Return the probability of every class."""
        return torch.softmax(self.layers(to_tensor(images, self.preprocessing)), dim=1)


class FoldedConvolution(nn.Conv2d):
    """A convolution whose output is the one before it, scaled and shifted per channel."""

    def __init__(self, before: nn.Conv2d, scale: Tensor, shift: Tensor):
        super().__init__(
            before.in_channels,
            before.out_channels,
            cast(tuple[int, int], before.kernel_size),
            padding=cast(tuple[int, int], before.padding),
        )
        self.factors = before.weight.detach(), scale.detach().view(-1, 1, 1, 1)
        """Whose product is the weight: the weight before folding, and the scale of its channels."""
        self.weight.copy_(self.factors[0] * self.factors[1])
        self.bias.copy_(cast(Tensor, before.bias) * scale + shift)  # type: ignore[union-attr]


class FoldedInception(nn.Module):
    """The four branches of an `InceptionUnit`, each convolution followed by its ReLU."""

    def __init__(self, unit: InceptionUnit):
        super().__init__()
        self.widths = list(unit.point.widths)
        narrow_scale, narrow_shift = _scale_and_shift(unit.narrow_norm)
        scale, shift = _scale_and_shift(unit.norm)
        branches = range(0, 5 * self.widths[0], self.widths[0])
        point, small, large, pooled = (slice(*ends) for ends in pairwise(branches))
        self.point = FoldedConvolution(
            unit.point,
            torch.cat([scale[point], narrow_scale]),
            torch.cat([shift[point], narrow_shift]),
        )
        self.small = FoldedConvolution(unit.small, scale[small], shift[small])
        self.large = FoldedConvolution(unit.large, scale[large], shift[large])
        pool, convolution = unit.pooled
        self.pooled = nn.Sequential(
            pool, FoldedConvolution(cast(nn.Conv2d, convolution), scale[pooled], shift[pooled])
        )

    def forward(self, x_bchw: Tensor) -> Tensor:
        """Map (b, in, h, w) to (b, filters, h, w)."""
        point, small, large = torch.split(self.point(x_bchw).relu(), self.widths, dim=1)
        rest = (self.small(small), self.large(large), self.pooled(x_bchw))
        return torch.cat([point, *(branch.relu() for branch in rest)], dim=1)


class FoldedBlock(nn.Module):
    """A `CustomBlock` of folded units."""

    def __init__(self, block: CustomBlock):
        super().__init__()
        self.units = nn.Sequential(*(_folded(unit) for unit in block.units))
        self.skip = block.skip
        if isinstance(block.skip, nn.Sequential):
            self.skip = _folded_pair(*block.skip)

    def forward(self, x_bchw: Tensor) -> Tensor:
        """Map (b, in, h, w) to (b, filters, h, w)."""
        y_bchw: Tensor = self.units(x_bchw)
        return y_bchw if self.skip is None else torch.relu(y_bchw + self.skip(x_bchw))


def _has_group_norm(network: nn.Module) -> bool:
    kinds = nn.GroupNorm | InstanceBatchNorm | SqueezeExcitation
    return any(isinstance(module, kinds) for module in network.modules())


def _folded(layer: nn.Module) -> nn.Module:
    if isinstance(layer, InceptionUnit):
        return FoldedInception(layer)
    if isinstance(layer, CustomBlock):
        return FoldedBlock(layer)
    if isinstance(layer, StemUnit):
        convolution, norm, pool, _ = layer
        return nn.Sequential(_folded_pair(convolution, norm), pool, nn.ReLU())
    if isinstance(layer, ConvUnit):
        convolution, norm, _ = layer
        return nn.Sequential(_folded_pair(convolution, norm), nn.ReLU())
    return layer


def _folded_pair(convolution: nn.Module, norm: nn.Module) -> nn.Conv2d:
    scale, shift = _scale_and_shift(norm)
    return FoldedConvolution(cast(nn.Conv2d, convolution), scale, shift)


def _scale_and_shift(trained: nn.Module) -> tuple[Tensor, Tensor]:
    """Return scale and shift of every channel of a trained batch normalisation."""
    norm = cast(nn.BatchNorm2d, trained)
    mean, variance = cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)
    scale = norm.weight / torch.sqrt(variance + norm.eps)
    return scale, norm.bias - mean * scale
