from typing import Any

import pytest
import torch
from torch.nn import functional as F

from stainproof.config.presets import make_config
from stainproof.models.blocks import CustomBlock, InceptionUnit, SiblingConvs, StemUnit, make_norm
from stainproof.models.network import build_network


def test_an_inception_unit_shares_its_filters_out_evenly() -> None:
    unit = InceptionUnit(6, 24)
    assert unit(torch.rand(2, 6, 9, 7)).shape == (2, 24, 9, 7)
    assert unit.point.widths[0] == 6
    for branch in (unit.small, unit.large, unit.pooled[1]):
        assert branch.out_channels == 6


def test_groups_are_of_eight_channels_or_a_few_more_and_cross_no_branch() -> None:
    groups = {(144, 36): 9, (240, 60): 10, (30, 6): 6, (60, 0): 10, (96, 0): 8, (7, 0): 7}
    for (channels, branch), size in groups.items():
        norm = make_norm("group", channels, branch)
        assert isinstance(norm, torch.nn.GroupNorm)
        assert channels // norm.num_groups == size


@pytest.mark.parametrize("training", [True, False])
def test_an_inception_unit_computes_its_four_branches(training: bool) -> None:
    """Beside the branches one after another, each convolution with its own norm and ReLU."""
    torch.manual_seed(0)
    unit = InceptionUnit(6, 24).train(training)
    for weight in (*unit.parameters(), *unit.buffers()):
        if weight.is_floating_point():
            torch.nn.init.uniform_(weight, 0.2, 1.0)
    x_bchw = torch.randn(3, 6, 9, 7)

    def convolved(x: Any, conv: Any, channels: Any, norm: Any, norm_channels: Any) -> Any:
        outs, at = slice(*channels), slice(*norm_channels)
        x = F.conv2d(x, conv.weight[outs], conv.bias[outs], padding=conv.kernel_size[0] // 2)
        mean, var = norm.running_mean[at].clone(), norm.running_var[at].clone()
        weight, bias = norm.weight[at], norm.bias[at]
        return F.batch_norm(x, mean, var, weight, bias, training, eps=1e-3).relu()

    small = convolved(x_bchw, unit.point, (6, 9), unit.narrow_norm, (0, 3))
    large = convolved(x_bchw, unit.point, (9, 11), unit.narrow_norm, (3, 5))
    pooled = F.max_pool2d(x_bchw, 3, stride=1, padding=1)
    branches = [
        convolved(x_bchw, unit.point, (0, 6), unit.norm, (0, 6)),
        convolved(small, unit.small, (0, 6), unit.norm, (6, 12)),
        convolved(large, unit.large, (0, 6), unit.norm, (12, 18)),
        convolved(pooled, unit.pooled[1], (0, 6), unit.norm, (18, 24)),
    ]
    torch.testing.assert_close(unit(x_bchw), torch.cat(branches, dim=1))


def test_sibling_convolutions_start_as_they_would_alone() -> None:
    """Glorot's range is of each convolution's own outputs, not of all siblings together."""
    network = build_network(make_config("an2dl"), 8)
    siblings = next(m for m in network.modules() if isinstance(m, SiblingConvs))
    for weight in siblings.weight.split(siblings.widths):
        limit = (6 / (weight.shape[0] + weight.shape[1])) ** 0.5
        assert 0.98 * limit < weight.abs().max() <= limit


def test_a_stem_units_pool_before_the_relu_changes_neither_values_nor_gradients() -> None:
    unit = StemUnit(3, 4).train()
    x_bchw = torch.randn(2, 3, 12, 12)
    expected_x, x = (x_bchw.clone().requires_grad_() for _ in range(2))
    conv, norm = unit[0], unit[1]
    expected = F.max_pool2d(norm(conv(expected_x)).relu(), 2)
    found = unit(x)
    assert torch.equal(found, expected)
    found.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(x.grad, expected_x.grad)


def test_a_custom_block_with_equal_channels_adds_its_input_unchanged() -> None:
    block = CustomBlock(12, 12, InceptionUnit, units=1, skip=True).eval()
    for weight in block.units.parameters():
        torch.nn.init.zeros_(weight)
    x_bchw = torch.randn(2, 12, 8, 8)
    assert torch.equal(block(x_bchw), torch.relu(x_bchw))


def test_a_custom_block_projects_its_skip_only_where_channels_differ() -> None:
    equal, wider = (CustomBlock(num, 12, InceptionUnit, 2, True).skip for num in (12, 8))
    assert equal and not list(equal.parameters())
    assert wider and len(list(wider.parameters())) == 4
    assert CustomBlock(8, 12, InceptionUnit, 2, False).skip is None
