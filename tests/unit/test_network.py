import pytest
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from stainproof.config.presets import NETWORKS, make_config, with_assignments
from stainproof.config.schema import Preprocessing
from stainproof.errors import ConfigError
from stainproof.models.blocks import CustomBlock, InceptionUnit, SiblingConvs, StemUnit, make_norm
from stainproof.models.network import build_network, num_parameters
from stainproof.models.preprocessing import to_tensor


def test_the_reference_network_has_the_reports_parameters():
    network = build_network(make_config("an2dl"), num_classes=8)
    assert num_parameters(network) == 1_932_920
    assert num_parameters(network, trainable_only=True) == 1_924_160


def test_building_a_network_leaves_the_callers_random_numbers_alone():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    build_network(make_config("tiny"), 8)
    assert torch.equal(torch.rand(3), expected)


def test_the_light_network_has_under_a_tenth_of_the_references_parameters():
    assert num_parameters(build_network(make_config("light"), 8)) < 193_292


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size_px", [32, 96, 100])
def test_every_network_maps_images_to_finite_logits_and_learns_in_every_weight(name, size_px):
    config = with_assignments(make_config(network=name), (f"preprocessing.size_px={size_px}",))
    network = build_network(config, num_classes=5).train()
    images = torch.randint(0, 256, (4, size_px, size_px, 3), dtype=torch.uint8)
    logits = network(to_tensor(images, config.preprocessing))
    assert logits.shape == (4, 5)
    assert logits.isfinite().all()
    logits.square().sum().backward()
    without_gradient = [key for key, w in network.named_parameters() if w.grad is None]
    assert not without_gradient


def test_the_same_seed_gives_the_same_weights_and_another_seed_others():
    first, again, other = (
        build_network(make_config("light", seed=seed), 8).state_dict() for seed in (3, 3, 4)
    )
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


def test_an_inception_unit_shares_its_filters_out_evenly():
    unit = InceptionUnit(6, 24)
    assert unit(torch.rand(2, 6, 9, 7)).shape == (2, 24, 9, 7)
    assert unit.point.widths[0] == 6
    for branch in (unit.small, unit.large, unit.pooled[1]):
        assert branch.out_channels == 6


@pytest.mark.parametrize("name", NETWORKS)
def test_with_group_norm_an_answer_depends_on_no_other_image(name):
    sizes = ("preprocessing.size_px=32", "network.norm=group", "network.dropout=0")
    network = build_network(with_assignments(make_config(network=name), sizes), 5).train()
    x_bchw = torch.rand(4, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(network(x_bchw)[:1], network(x_bchw[:1]), rtol=1e-4, atol=1e-4)


def test_groups_are_of_eight_channels_or_a_few_more_and_cross_no_branch():
    groups = {(144, 36): 9, (240, 60): 10, (30, 6): 6, (60, 0): 10, (96, 0): 8, (7, 0): 7}
    for (channels, branch), size in groups.items():
        norm = make_norm("group", channels, branch)
        assert channels // norm.num_groups == size


@pytest.mark.parametrize("training", [True, False])
def test_an_inception_unit_computes_its_four_branches(training):
    """Beside the branches one after another, each convolution with its own norm and ReLU."""
    torch.manual_seed(0)
    unit = InceptionUnit(6, 24).train(training)
    for weight in (*unit.parameters(), *unit.buffers()):
        if weight.is_floating_point():
            torch.nn.init.uniform_(weight, 0.2, 1.0)
    x_bchw = torch.randn(3, 6, 9, 7)

    def convolved(x, conv, channels, norm, norm_channels):
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


def test_sibling_convolutions_start_as_they_would_alone():
    """Glorot's range is of each convolution's own outputs, not of all siblings together."""
    network = build_network(make_config("an2dl"), 8)
    siblings = next(m for m in network.modules() if isinstance(m, SiblingConvs))
    for weight in siblings.weight.split(siblings.widths):
        limit = (6 / (weight.shape[0] + weight.shape[1])) ** 0.5
        assert 0.98 * limit < weight.abs().max() <= limit


def test_a_stem_units_pool_before_the_relu_changes_neither_values_nor_gradients():
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


def test_a_custom_block_with_equal_channels_adds_its_input_unchanged():
    block = CustomBlock(12, 12, InceptionUnit, units=1, skip=True).eval()
    for weight in block.units.parameters():
        torch.nn.init.zeros_(weight)
    x_bchw = torch.randn(2, 12, 8, 8)
    assert torch.equal(block(x_bchw), torch.relu(x_bchw))


def test_a_custom_block_projects_its_skip_only_where_channels_differ():
    assert not list(CustomBlock(12, 12, InceptionUnit, 2, True).skip.parameters())
    assert len(list(CustomBlock(8, 12, InceptionUnit, 2, True).skip.parameters())) == 4
    assert CustomBlock(8, 12, InceptionUnit, 2, False).skip is None


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("network.stages=[10]", "multiple of 4"),
        ("network.stages=[8]", "from 12 up"),
        ("preprocessing.size_px=16", "halve 16 px"),
    ],
)
def test_layers_that_cannot_be_built_are_refused_with_what_is_allowed(setting, message):
    config = with_assignments(
        make_config(assignments=("network.stem=[8,8,8,8]", "network.stages=[12]")), (setting,)
    )
    if setting.startswith("network"):
        config = with_assignments(config, ("network.stem=[8]",))
    with pytest.raises(ConfigError, match=message):
        build_network(config, 8)


def test_a_network_without_any_stage_is_refused():
    with pytest.raises(ConfigError, match="one stage"):
        build_network(make_config(assignments=("network.stem=[]", "network.stages=[]")), 8)


def test_input_is_scaled_and_standardised_by_the_contract():
    images = torch.full((1, 2, 3, 3), 255, dtype=torch.uint8)
    images[..., 1] = 0
    preprocessing = Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.25, 0.5, 1.0))
    x_bchw = to_tensor(images, preprocessing)
    assert x_bchw.shape == (1, 3, 2, 3)
    assert x_bchw[0, :, 0, 0].tolist() == [2.0, -1.0, 0.5]
    assert to_tensor(images, Preprocessing())[0, :, 1, 2].tolist() == [1.0, 0.0, 1.0]
    assert images[0, 0, 0].tolist() == [255, 0, 255]


def test_networks_for_cpus_grow_in_parameters_and_stay_cheaper_than_the_reference():
    images = torch.rand(1, 3, 96, 96)
    costs = []
    for name in ("tiny", "small", "light", "large", "an2dl"):
        network = build_network(make_config(network=name), 8).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(images)
        costs.append((num_parameters(network), counter.get_total_flops()))
    assert costs == sorted(costs)
    assert 3 * costs[-2][1] < costs[-1][1]
