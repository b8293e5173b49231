"""Building blocks of our network. Axes in names: b batch, c channels, h height, w width."""

from math import gcd

import torch
from torch import Tensor, nn

NORM_EPSILON = 1e-3
"""Keras's default, which the AN2DL paper used."""


MIN_GROUP = 8
"""Minimum channels per group of GroupNorm: the smallest divisor from 8 up, else one group."""


def make_norm(kind: str, channels: int, branch: int = 0) -> nn.Module:
    """Build a normalisation layer with the epsilon of the AN2DL paper.

    Args:
        kind: `batch`, or `group` (Wu & He 2018), which normalises a few channels of one image and
            is therefore independent of other images.
        channels: Number of channels.
        branch: Number of channels that groups must not cross; 0: all of them.
    """
    if kind == "batch":
        return nn.BatchNorm2d(channels, eps=NORM_EPSILON)
    if kind == "ibn":
        return InstanceBatchNorm(channels)
    branch = branch or channels
    sizes = [size for size in range(MIN_GROUP, branch) if branch % size == 0]
    size = sizes[0] if sizes else branch
    return nn.GroupNorm(channels // size, channels, eps=NORM_EPSILON)


class InstanceBatchNorm(nn.Module):
    """Instance normalisation of the first half of the channels, batch normalisation of the rest.

    IBN-a of Pan et al. 2018, "Two at once: enhancing learning and generalization capacities via
    IBN-Net", section 3.2.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.instance = nn.InstanceNorm2d(channels // 2, eps=NORM_EPSILON, affine=True)
        self.batch = nn.BatchNorm2d(channels - channels // 2, eps=NORM_EPSILON)

    def forward(self, x_bchw: Tensor) -> Tensor:
        """Normalise (b, c, h, w)."""
        half = self.instance.num_features
        variance, mean = torch.var_mean(x_bchw[:, :half], (2, 3), correction=0, keepdim=True)
        scale = self.instance.weight.view(1, -1, 1, 1) * torch.rsqrt(variance + NORM_EPSILON)
        shift = self.instance.bias.view(1, -1, 1, 1) - mean * scale
        return torch.cat([x_bchw[:, :half] * scale + shift, self.batch(x_bchw[:, half:])], dim=1)


class BlurPool(nn.Module):
    """Antialiased 2x2 max pooling: a maximum with stride 1, then a blurred subsampling.

    Zhang 2019, "Making convolutional networks shift-invariant again", section 3.2, with a box of
    3x3 as the filter.
    """

    def forward(self, x_bchw: Tensor) -> Tensor:
        """Map (b, c, h, w) to (b, c, h / 2, w / 2); h and w are even."""
        high = nn.functional.max_pool2d(x_bchw, 2, stride=1, padding=1)
        return nn.functional.avg_pool2d(high[:, :, 1:, 1:], 3, stride=2, padding=1)


class SqueezeExcitation(nn.Module):
    """Weights of the channels from their means (Hu et al. 2018, section 3; reduction 8)."""

    def __init__(self, channels: int):
        super().__init__()
        self.weights = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, channels // 8, 1),
            nn.ReLU(),
            nn.Conv2d(channels // 8, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x_bchw: Tensor) -> Tensor:
        """Weight (b, c, h, w)."""
        weighted: Tensor = x_bchw * self.weights(x_bchw)
        return weighted


class ConvUnit(nn.Sequential):
    """Convolution with bias, normalisation, ReLU; the size stays the same."""

    def __init__(self, in_channels: int, out_channels: int, norm: str = "batch"):
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3, padding=1),
            make_norm(norm, out_channels),
            nn.ReLU(inplace=True),
        )


class StemUnit(nn.Sequential):
    """Convolution, normalisation, 2x2 max pooling, ReLU; height and width are halved.

    Pooling before the ReLU gives the same values and gradients and a quarter of the work for the
    ReLU.
    """

    def __init__(
        self, in_channels: int, out_channels: int, norm: str = "batch", pool: str = "max"
    ):
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3, padding=1),
            make_norm(norm, out_channels),
            make_pool(pool),
            nn.ReLU(inplace=True),
        )


def make_pool(kind: str) -> nn.Module:
    """Build 2x2 pooling: `max`, or `blur`, antialiased."""
    return nn.MaxPool2d(2) if kind == "max" else BlurPool()


class SiblingConvs(nn.Conv2d):
    """Several 1x1 convolutions of the same input, computed as one."""

    def __init__(self, in_channels: int, widths: tuple[int, ...]):
        super().__init__(in_channels, sum(widths), 1)
        self.widths = widths


class InceptionUnit(nn.Module):
    """Four parallel branches of a quarter of the filters each (section 2 of the AN2DL paper).

    1x1 | 1x1 (f/8) then 3x3 | 1x1 (f/12) then 5x5 | 3x3 max pooling then 1x1, every convolution
    with normalisation and ReLU; after Szegedy et al. 2015, "Going deeper with convolutions", figure
    2b. Common work is computed once: the three 1x1 convolutions of the input, and the last
    normalisation and ReLU of all four branches.
    """

    def __init__(self, in_channels: int, filters: int, norm: str = "batch"):
        super().__init__()
        quarter, for_small, for_large = filters // 4, filters // 8, filters // 12
        self.point = SiblingConvs(in_channels, (quarter, for_small, for_large))
        self.narrow_norm = make_norm(norm, for_small + for_large, gcd(for_small, for_large))
        self.small = nn.Conv2d(for_small, quarter, 3, padding=1)
        self.large = nn.Conv2d(for_large, quarter, 5, padding=2)
        self.pooled = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1), nn.Conv2d(in_channels, quarter, 1)
        )
        self.norm = make_norm(norm, filters, quarter)

    def forward(self, x_bchw: Tensor) -> Tensor:
        """Map (b, in, h, w) to (b, filters, h, w)."""
        quarter, for_small, for_large = self.point.widths
        point, narrow = self.point(x_bchw).split((quarter, for_small + for_large), dim=1)
        narrow = torch.relu_(self.narrow_norm(_dense(narrow)))
        small, large = map(_dense, torch.split(narrow, [for_small, for_large], dim=1))
        branches = (point, self.small(small), self.large(large), self.pooled(x_bchw))
        return torch.relu_(self.norm(torch.cat(branches, dim=1)))


def _dense(part_bchw: Tensor) -> Tensor:
    """Copy a range of channels to contiguous memory; layers are several times slower on a view."""
    return part_bchw.contiguous(memory_format=torch.channels_last)


class CustomBlock(nn.Module):
    """A sequence of units with a skip connection, then ReLU (section 2 of the AN2DL paper).

    If the number of channels differs, the skip is a 1x1 convolution with normalisation. Without a
    skip connection there is only the sequence of units.
    """

    def __init__(
        self,
        in_channels: int,
        filters: int,
        unit: type[nn.Module],
        units: int,
        skip: bool,
        norm: str = "batch",
        squeeze: bool = False,
    ):
        super().__init__()
        self.units = nn.Sequential(
            *(unit(in_channels if i == 0 else filters, filters, norm) for i in range(units))
        )
        if squeeze:
            self.units.append(SqueezeExcitation(filters))
        self.skip: nn.Module | None = None
        if skip and in_channels == filters:
            self.skip = nn.Identity()
        elif skip:
            self.skip = nn.Sequential(nn.Conv2d(in_channels, filters, 1), make_norm(norm, filters))

    def forward(self, x_bchw: Tensor) -> Tensor:
        """Map (b, in, h, w) to (b, filters, h, w)."""
        y_bchw: Tensor = self.units(x_bchw)
        if self.skip is None:
            return y_bchw
        return torch.relu(y_bchw + self.skip(x_bchw))
