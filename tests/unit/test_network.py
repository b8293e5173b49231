import pytest
import torch

from stainproof.config import NETWORKS, InputContract, make_config, with_assignments
from stainproof.errors import ConfigError
from stainproof.models.blocks import CustomBlock, InceptionUnit
from stainproof.models.network import build_network, num_parameters, to_input


def test_the_reference_network_has_the_reports_parameters():
    network = build_network(make_config("reference"), num_classes=8)
    assert num_parameters(network) == 1_932_920
    assert num_parameters(network, trainable_only=True) == 1_924_160


def test_the_light_network_has_under_a_tenth_of_the_references_parameters():
    assert num_parameters(build_network(make_config("light"), 8)) < 193_292


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size_px", [32, 96, 100])
def test_every_network_maps_images_to_finite_logits_and_learns_in_every_weight(name, size_px):
    config = with_assignments(make_config(network=name), (f"input.size_px={size_px}",))
    network = build_network(config, num_classes=5).train()
    images = torch.randint(0, 256, (4, size_px, size_px, 3), dtype=torch.uint8)
    logits = network(to_input(images, config.input))
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
    for branch in (unit.point, unit.small, unit.large, unit.pooled):
        assert branch(torch.rand(2, 6, 9, 7)).shape[1] == 6


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
        ("input.size_px=16", "halve 16 px"),
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
    contract = InputContract(mean=(0.5, 0.5, 0.5), std=(0.25, 0.5, 1.0))
    x_bchw = to_input(images, contract)
    assert x_bchw.shape == (1, 3, 2, 3)
    assert x_bchw[0, :, 0, 0].tolist() == [2.0, -1.0, 0.5]
    assert to_input(images, InputContract())[0, :, 1, 2].tolist() == [1.0, 0.0, 1.0]
    assert images[0, 0, 0].tolist() == [255, 0, 255]
