"""Building blocks; axes in names: b batch, c channels, h height, w width."""

import torch
from torch import Tensor, nn


class ConvUnit(nn.Sequential):
    """Convolution with bias, batch normalisation, ReLU; the size stays."""

    def __init__(self, in_channels: int, out_channels: int, kernel_px: int = 3):
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel_px, padding=kernel_px // 2),
            nn.BatchNorm2d(out_channels, eps=1e-3),
            nn.ReLU(inplace=True),
        )


class InceptionUnit(nn.Module):
    """Four branches of a quarter of the filters each, side by side (report, section 2).

    1x1 | 1x1 (f/8) then 3x3 | 1x1 (f/12) then 5x5 | 3x3 max-pool then 1x1; after Szegedy et al.
    2015, "Going deeper with convolutions", figure 2b.
    """

    def __init__(self, in_channels: int, filters: int):
        super().__init__()
        quarter = filters // 4
        self.point = ConvUnit(in_channels, quarter, 1)
        self.small = nn.Sequential(
            ConvUnit(in_channels, filters // 8, 1), ConvUnit(filters // 8, quarter, 3)
        )
        self.large = nn.Sequential(
            ConvUnit(in_channels, filters // 12, 1), ConvUnit(filters // 12, quarter, 5)
        )
        self.pooled = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1), ConvUnit(in_channels, quarter, 1)
        )

    def forward(self, x_bchw: Tensor) -> Tensor:
        """Map (b, in, h, w) to (b, filters, h, w)."""
        branches = (self.point, self.small, self.large, self.pooled)
        return torch.cat([branch(x_bchw) for branch in branches], dim=1)


class CustomBlock(nn.Module):
    """Units in a row, plus a skip from the block's input; add; ReLU (report, section 2).

    Where the channels differ the skip is a 1x1 convolution with batch normalisation. Without a
    skip the units stand alone.
    """

    def __init__(
        self, in_channels: int, filters: int, unit: type[nn.Module], units: int, skip: bool
    ):
        super().__init__()
        self.units = nn.Sequential(
            *(unit(in_channels if i == 0 else filters, filters) for i in range(units))
        )
        self.skip: nn.Module | None = None
        if skip and in_channels == filters:
            self.skip = nn.Identity()
        elif skip:
            self.skip = nn.Sequential(
                nn.Conv2d(in_channels, filters, 1), nn.BatchNorm2d(filters, eps=1e-3)
            )

    def forward(self, x_bchw: Tensor) -> Tensor:
        """Map (b, in, h, w) to (b, filters, h, w)."""
        y_bchw: Tensor = self.units(x_bchw)
        if self.skip is None:
            return y_bchw
        return torch.relu(y_bchw + self.skip(x_bchw))
