"""Explanation of predictions: maps of the pixels that support a class (class activation).

Layer-CAM (Jiang et al. 2021, "LayerCAM: Exploring Hierarchical Class Activation Maps", equations 5
to 7) at the last feature map before global pooling: positive gradients of the class's logit weight
the activations position by position. `benchmarks/evaluation/explanations.py` compares it with
Grad-CAM (Selvaraju et al. 2017) and with random maps.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stainproof.config.schema import InferenceConfig, Preprocessing
from stainproof.data.images import Images, to_square
from stainproof.errors import ConfigError
from stainproof.inference.frequency_filters import apply_filter
from stainproof.inference.member import Member
from stainproof.models.backbones import is_own
from stainproof.models.preprocessing import to_tensor
from stainproof.models.weights import load_network
from stainproof.runs.card import Card
from stainproof.runs.folder import RunFolder

Maps = NDArray[np.float32]
NUM_AT_ONCE = 64
"""Images in a batch."""


class ActivationMapper:
    """A network, split at its last feature map."""

    def __init__(self, network: nn.Module, preprocessing: Preprocessing):
        """Split a network; its weights are not modified.

        Raises:
            ConfigError: The network has no feature map, as a transformer of timm.
        """
        self.preprocessing = preprocessing
        self.network = network.eval()
        if is_own(network):
            layers = list(network)
            pooling = next(
                rank for rank, one in enumerate(layers) if isinstance(one, nn.AdaptiveAvgPool2d)
            )
            self.features: nn.Module = nn.Sequential(*layers[:pooling])
            self.head: nn.Module = nn.Sequential(*layers[pooling:])
        else:
            self.features, self.head = _Features(network), _Head(network)

    def __call__(self, squares: Images, targets: Sequence[int]) -> Maps:
        """Return the map of a class for each image.

        Args:
            squares: uint8 (b, size, size, 3), RGB.
            targets: Position of a class in the network's output for each image.

        Returns:
            float32 (b, h, w) of the resolution of the feature map, 0 or more, not normalised.

        Raises:
            ConfigError: The network has no feature map.
        """
        x_bchw = to_tensor(torch.from_numpy(squares), self.preprocessing)
        with torch.no_grad():
            features_bchw: Tensor = self.features(x_bchw)
        if features_bchw.ndim != 4:
            raise ConfigError(
                "explain: needs a convolutional network, got one without feature maps"
            )
        features_bchw = features_bchw.detach().requires_grad_(True)
        with torch.enable_grad():
            logits = self.head(features_bchw)
            chosen = logits[torch.arange(len(targets)), torch.tensor(targets)].sum()
            (gradients,) = torch.autograd.grad(chosen, features_bchw)
        maps: Maps = (gradients.relu() * features_bchw.detach().relu()).sum(1).numpy()
        return maps


class _Features(nn.Module):
    """The part of a timm network that makes the feature map."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x_bchw: Tensor) -> Tensor:
        """Map (b, 3, h, w) to (b, c, h, w)."""
        return self.network.forward_features(x_bchw)  # type: ignore[no-any-return,operator]


class _Head(_Features):
    """The part of a timm network behind the feature map."""

    def forward(self, x_bchw: Tensor) -> Tensor:
        """Map (b, c, h, w) to (b, classes)."""
        return self.network.forward_head(x_bchw)  # type: ignore[no-any-return,operator]


def on_image(coarse: Maps, rgb: Images, preprocessing: Preprocessing) -> Maps:
    """Bring the map of a feature map back to the image that the network saw a part of.

    Args:
        coarse: float32 (h, w) over the square that `to_square` makes of the image.
        rgb: uint8 (height, width, 3), the image.
        preprocessing: Of the network.

    Returns:
        float32 (height, width), 0 to 1; the largest value is 1 unless all are 0. Pixels outside of
        the crop, which the network does not see, are 0.
    """
    height, width = rgb.shape[:2]
    whole = np.zeros((height, width), dtype=np.float32)
    if preprocessing.fit == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        whole[top : top + side, left : left + side] = _enlarge(coarse, side, side)
    elif preprocessing.fit == "pad":
        side = max(height, width)
        top, left = (side - height) // 2, (side - width) // 2
        whole[:] = _enlarge(coarse, side, side)[top : top + height, left : left + width]
    else:
        whole[:] = _enlarge(coarse, height, width)
    return _normalised(whole)


def _normalised(heat: Maps) -> Maps:
    """Return a map whose largest value is 1, unless all are 0."""
    largest = heat.max()
    return heat / largest if largest > 0 else heat


def _enlarge(coarse: Maps, height: int, width: int) -> Maps:
    enlarged = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(enlarged, dtype=np.float32)


def open_mapper(run: RunFolder, card: Card) -> ActivationMapper:
    """Load the network of a run in PyTorch and split it.

    Raises:
        CheckpointError: The weights are missing or were altered.
        ConfigError: As `ActivationMapper`.
    """
    return ActivationMapper(load_network(run, card), card.preprocessing)


def mean_maps(
    members: Sequence[Member],
    mappers: Sequence[ActivationMapper],
    inference: InferenceConfig,
    batch: Sequence[Images],
    targets: Sequence[str],
) -> list[Maps]:
    """Return the mean of the networks' maps for every image.

    Args:
        members: The networks.
        mappers: Their mappers, in the same order.
        inference: Its filter is applied to the images; test-time augmentation is not.
        batch: N standardised images, each uint8 (height, width, 3).
        targets: N class names.

    Returns:
        N maps float32 (height, width), 0 to 1; the largest value is 1 unless all are 0.
    """
    maps = [np.zeros(rgb.shape[:2], dtype=np.float32) for rgb in batch]
    for member, mapper in zip(members, mappers, strict=True):
        preprocessing = member.card.preprocessing
        chosen = [member.card.classes.index(name) for name in targets]
        for start in range(0, len(batch), NUM_AT_ONCE):
            some = slice(start, start + NUM_AT_ONCE)
            squares = np.stack([to_square(rgb, preprocessing) for rgb in batch[some]])
            squares = apply_filter(squares, inference.filter, inference.cutoff)
            for index, coarse in enumerate(mapper(squares, chosen[some]), start):
                maps[index] += on_image(coarse, batch[index], preprocessing)
    return [_normalised(heat) for heat in maps]
