"""What a training step and an answer may cost, counted and not timed."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from stainproof.config.presets import make_config
from stainproof.config.schema import NetworkConfig, Preprocessing
from stainproof.inference.folding import FoldedNetwork
from stainproof.models.network import build_network
from stainproof.models.preprocessing import to_tensor

STEM = {"light": 3, "an2dl": 2}
BLOCKS = {"light": 2, "an2dl": 4}
PROJECTED = {"light": 1, "an2dl": 2}
"""Blocks whose skip is a convolution."""


def parts(name: str) -> tuple[nn.Module, Tensor, Preprocessing]:
    config = make_config(network=name)
    images = torch.randint(0, 256, (2, 96, 96, 3), dtype=torch.uint8)
    return build_network(config, 8).train(), images, config.preprocessing


def operations(function: Callable[..., Any]) -> Counter[str]:
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        function()
    return Counter({event.key: event.count for event in seen.key_averages()})


@pytest.mark.parametrize("name", ["light", "an2dl"])
def test_a_step_computes_four_convolutions_and_two_normalisations_an_inception_unit(
    name: str,
) -> None:
    """The paper's unit, branch by branch, would make six of each."""
    network, images, preprocessing = parts(name)
    found = operations(lambda: network(to_tensor(images, preprocessing)).sum().backward())
    alone, units = STEM[name] + PROJECTED[name], 2 * BLOCKS[name]
    assert found["aten::convolution"] == alone + 4 * units
    assert found["aten::native_batch_norm"] == alone + 2 * units
    assert found["aten::convolution_backward"] == found["aten::convolution"]


@pytest.mark.parametrize("name", ["light", "an2dl"])
def test_no_convolution_is_computed_in_another_memory_order(name: str) -> None:
    """A copy from or to channels-last at every layer would cost a third of the step."""
    network, images, preprocessing = parts(name)
    dense = []

    def note(module: Any, given: Any, answer: Any) -> None:
        dense.append(given[0].is_contiguous(memory_format=torch.channels_last))
        dense.append(answer.is_contiguous(memory_format=torch.channels_last))

    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.BatchNorm2d):
            module.register_forward_hook(note)
    network(to_tensor(images, preprocessing))
    assert dense
    assert all(dense)


def products(settings: NetworkConfig, size_px: Any = 96, num_classes: Any = 8) -> int:
    """Count the MACs of an image from the paper's description of the layers."""
    total, channels, pixels = 0, 3, size_px**2
    for filters in settings.stem:
        total += 9 * channels * filters * pixels
        channels, pixels = filters, pixels // 4
    for filters in settings.stages:
        quarter, for_small, for_large = filters // 4, filters // 8, filters // 12
        for _ in range(settings.blocks):
            total += pixels * channels * filters if channels != filters else 0
            for _ in range(settings.units):
                ones = channels * (2 * quarter + for_small + for_large)
                rest = 9 * for_small * quarter + 25 * for_large * quarter
                total, channels = total + pixels * (ones + rest), filters
        pixels //= 4
    return total + channels * settings.hidden + settings.hidden * num_classes


@pytest.mark.parametrize("name", ["light", "an2dl"])
def test_inference_takes_the_macs_of_the_layers_and_no_more(name: str) -> None:
    network, images, preprocessing = parts(name)
    folded = FoldedNetwork(network.eval(), preprocessing)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        folded(images[:1])
    assert counter.get_total_flops() == 2 * products(make_config(network=name).network)
    found = operations(lambda: folded(images))
    assert not found["aten::native_batch_norm"] + found["aten::batch_norm"]
