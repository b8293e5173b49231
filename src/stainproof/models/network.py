"""Settings to a network: our own stages and dense layers, or a backbone of timm."""

import torch
from torch import Tensor, nn

from stainproof.config import Config, InputContract, NetworkConfig
from stainproof.errors import ConfigError
from stainproof.models.backbones import build_backbone, freeze, try_out
from stainproof.models.blocks import ConvUnit, CustomBlock, InceptionUnit, SiblingConvs, StemUnit
from stainproof.models.pretrained import load_pretrained

UNITS: dict[str, type[nn.Module]] = {"inception": InceptionUnit, "conv": ConvUnit}
BACKBONE_HALVINGS = 5
STEP_PX = 8
"""Steps in which images that start small grow."""
"""Most networks of timm have a thirty-second of the image's height and width at their end."""


class Network(nn.Sequential):
    """Standardised images (b, 3, h, w) to logits (b, classes), by layers of our own."""

    def __init__(self, settings: NetworkConfig, num_classes: int):
        layers: list[nn.Module] = []
        channels = 3
        for filters in settings.stem:
            layers.append(StemUnit(channels, filters, settings.norm))
            channels = filters
        for filters in settings.stages:
            for _ in range(settings.blocks):
                unit, norm = UNITS[settings.unit], settings.norm
                layers.append(
                    CustomBlock(channels, filters, unit, settings.units, settings.skip, norm)
                )
                channels = filters
            layers.append(nn.MaxPool2d(2))
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        if settings.hidden:
            layers += [nn.Linear(channels, settings.hidden), nn.ReLU()]
            channels = settings.hidden
        layers += [nn.Dropout(settings.dropout), nn.Linear(channels, num_classes)]
        super().__init__(*layers)


def build_network(config: Config, num_classes: int) -> nn.Module:
    """Build the network of a run, its weights drawn from the run's seed.

    Raises:
        ConfigError: Our own layers do not fit, or the backbone cannot be built.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        if config.network.backbone:
            network = build_backbone(config.network, num_classes)
        else:
            _check_layers(config.network, config.input)
            network = Network(config.network, num_classes)
            _begin_like_keras(network)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def check_network(config: Config) -> None:
    """Say before long work whether the network of a run can be built and begun.

    Raises:
        ConfigError: Our own layers do not fit: no stage, filters that cannot be shared out among
            inception branches, or more halvings than the image allows. Or the backbone cannot be
            built, does not take images of this size, or has not the blocks that are to learn.
        CheckpointError: What the backbone is to begin with cannot be read or does not fit.
    """
    if not config.network.backbone:
        _check_layers(config.network, config.input)
        return
    network = build_backbone(config.network, num_classes=2)
    load_pretrained(network, config.network)
    freeze(network, config.training)
    full_px = config.input.size_px
    for px in (*range(start_px(config), full_px, STEP_PX), full_px):
        try_out(network, config.network.backbone, px)


def start_px(config: Config) -> int:
    """Return the height and width of training images at the start of a run.

    They are scaled as `training.start_scale` says, but never smaller than the network can halve.
    """
    settings, full_px = config.network, config.input.size_px
    halvings = BACKBONE_HALVINGS if settings.backbone else len(settings.stem + settings.stages)
    return min(max(round(config.training.start_scale * full_px), 1 << halvings), full_px)


def _begin_like_keras(network: nn.Module) -> None:
    """Draw convolutions and dense layers Glorot-uniform, with zero bias."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            widths = module.widths if isinstance(module, SiblingConvs) else [len(module.weight)]
            for weight in torch.split(module.weight.detach(), list(widths)):
                nn.init.xavier_uniform_(weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _check_layers(settings: NetworkConfig, contract: InputContract) -> None:
    widths = (*settings.stem, *settings.stages)
    if not widths or min(widths) < 1:
        raise ConfigError(
            f"network.stem and network.stages: need one stage of at least 1 filter, got {widths}"
        )
    if settings.unit == "inception":
        for filters in settings.stages:
            if filters < 12 or filters % 4:
                raise ConfigError(
                    f"network.stages: an inception stage takes a multiple of 4 from 12 up, "
                    f"got {filters}"
                )
    if contract.size_px >> len(widths) < 1:
        raise ConfigError(
            f"network: {len(widths)} stages halve {contract.size_px} px to nothing; "
            "use fewer stages or larger images"
        )


def num_parameters(network: nn.Module, *, trainable_only: bool = False) -> int:
    """Count weights as Keras does: running means and variances too, unless `trainable_only`."""
    total = sum(weight.numel() for weight in network.parameters())
    if not trainable_only:
        total += sum(b.numel() for b in network.buffers() if b.is_floating_point())
    return total


def to_input(images: Tensor, contract: InputContract) -> Tensor:
    """Standardise images as the contract says.

    Args:
        images: uint8 (b, h, w, 3), RGB, 0 to 255.
        contract: Gives mean and standard deviation of the values scaled to [0, 1].

    Returns:
        float32 (b, 3, h, w) in channels-last memory order.
    """
    x_bchw = images.permute(0, 3, 1, 2).float().div_(255)
    if contract.mean == (0, 0, 0) and contract.std == (1, 1, 1):
        return x_bchw
    mean = torch.tensor(contract.mean, device=images.device).view(1, 3, 1, 1)
    std = torch.tensor(contract.std, device=images.device).view(1, 3, 1, 1)
    return x_bchw.sub_(mean).div_(std)
