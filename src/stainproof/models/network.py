"""The network: build our own layers or a backbone from the settings, initialise and check it."""

from collections.abc import Sequence

import torch
from torch import nn

from stainproof.config.schema import Config, NetworkConfig, Preprocessing
from stainproof.errors import ConfigError, shortened
from stainproof.models.backbones import build_backbone, check_input_size, freeze
from stainproof.models.blocks import (
    ConvUnit,
    CustomBlock,
    InceptionUnit,
    SiblingConvs,
    StemUnit,
    make_pool,
)
from stainproof.models.pretrained import load_pretrained

MAX_FILTERS = 65_536
MAX_PARAMETERS = 500_000_000
"""Parameters of our own networks; a larger one is a mistake or a hostile card."""
UNITS: dict[str, type[nn.Module]] = {"inception": InceptionUnit, "conv": ConvUnit}


class Network(nn.Sequential):
    """Our own network: normalised images (b, 3, h, w) to logits (b, classes)."""

    def __init__(self, settings: NetworkConfig, num_classes: int):
        layers: list[nn.Module] = []
        channels = 3
        for filters in settings.stem:
            layers.append(StemUnit(channels, filters, settings.norm, settings.pool))
            channels = filters
        for filters in settings.stages:
            for _ in range(settings.blocks):
                unit = UNITS[settings.unit]
                norm = "batch" if settings.norm == "ibn" else settings.norm
                layers.append(
                    CustomBlock(
                        channels, filters, unit, settings.units, settings.skip, norm,
                        settings.squeeze,
                    )
                )  # fmt: skip
                channels = filters
            layers.append(make_pool(settings.pool))
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        if settings.hidden:
            layers += [nn.Linear(channels, settings.hidden), nn.ReLU()]
            channels = settings.hidden
        layers += [nn.Dropout(settings.dropout), nn.Linear(channels, num_classes)]
        super().__init__(*layers)


def build_network(config: Config, num_classes: int) -> nn.Module:
    """Build the network of a run with initial weights from the run's seed.

    Raises:
        ConfigError: Our own layers do not fit, or the backbone cannot be built.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        if config.network.backbone:
            network = build_backbone(config.network, num_classes)
        else:
            _check_layers(config.network, config.preprocessing, num_classes)
            network = Network(config.network, num_classes)
            _init_like_keras(network)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def check_network(config: Config, sizes_px: Sequence[int]) -> None:
    """Check before long work that the network of a run can be built and initialised.

    Args:
        config: All settings of the run.
        sizes_px: Heights and widths of the images that training passes through the network.

    Raises:
        ConfigError: Our own layers do not fit: no stage, filters that cannot be divided among the
            inception branches, or more halvings than the image allows. Or the backbone cannot be
            built, does not take images of one of the sizes, or has fewer blocks than are to be
            trained.
        CheckpointError: The pretrained weights cannot be read or do not fit.
    """
    if not config.network.backbone:
        _check_layers(config.network, config.preprocessing)
    if not config.network.backbone and not config.training.start_from:
        return
    network = build_network(config, num_classes=2)
    load_pretrained(network, config.network)
    freeze(network, config.training)
    for px in sizes_px if config.network.backbone else ():
        check_input_size(network, config.network.backbone, px)


def _init_like_keras(network: nn.Module) -> None:
    """Initialise convolutions and dense layers Glorot-uniformly, biases with zero."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            widths = module.widths if isinstance(module, SiblingConvs) else [len(module.weight)]
            for weight in torch.split(module.weight.detach(), list(widths)):
                nn.init.xavier_uniform_(weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _check_layers(
    settings: NetworkConfig, preprocessing: Preprocessing, num_classes: int = 2
) -> None:
    widths = (*settings.stem, *settings.stages)
    if not widths or min(widths) < 1 or max(widths) > MAX_FILTERS:
        raise ConfigError(
            "network.stem and network.stages: need one stage of at least 1 filter and at most "
            f"{MAX_FILTERS}, got {shortened(str(widths))}"
        )
    if settings.unit == "inception":
        for filters in settings.stages:
            if filters < 12 or filters % 4:
                raise ConfigError(
                    f"network.stages: an inception stage takes a multiple of 4 from 12 up, "
                    f"got {filters}"
                )
    if preprocessing.size_px >> len(widths) < 1:
        raise ConfigError(
            f"network: {len(widths)} stages reduce {preprocessing.size_px} px to less than 1 px; "
            "use fewer stages or larger images"
        )
    with torch.device("meta"):  # counts without memory
        total = num_parameters(Network(settings, num_classes))
    if total > MAX_PARAMETERS:
        raise ConfigError(
            f"network: at most {MAX_PARAMETERS:,} parameters, got {total:,}; use fewer filters"
        )


def num_parameters(network: nn.Module, *, trainable_only: bool = False) -> int:
    """Count parameters and, unless `trainable_only`, running statistics, as Keras does."""
    total = sum(weight.numel() for weight in network.parameters())
    if not trainable_only:
        total += sum(b.numel() for b in network.buffers() if b.is_floating_point())
    return total
