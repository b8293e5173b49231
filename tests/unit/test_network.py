import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from stainproof.config.presets import NETWORKS, make_config, with_assignments
from stainproof.errors import ConfigError
from stainproof.models.network import build_network, num_parameters
from stainproof.models.preprocessing import to_tensor


def test_the_an2dl_network_has_the_papers_number_of_parameters() -> None:
    network = build_network(make_config("an2dl"), num_classes=8)
    assert num_parameters(network) == 1_932_920
    assert num_parameters(network, trainable_only=True) == 1_924_160


def test_building_a_network_does_not_change_the_random_state() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    build_network(make_config("tiny"), 8)
    assert torch.equal(torch.rand(3), expected)


def test_the_light_network_has_under_a_tenth_of_the_papers_parameters() -> None:
    assert num_parameters(build_network(make_config("light"), 8)) < 193_292


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size_px", [32, 96, 100])
def test_every_network_gives_finite_logits_and_a_gradient_for_every_weight(
    name: str, size_px: int
) -> None:
    config = with_assignments(make_config(network=name), (f"preprocessing.size_px={size_px}",))
    network = build_network(config, num_classes=5).train()
    images = torch.randint(0, 256, (4, size_px, size_px, 3), dtype=torch.uint8)
    logits = network(to_tensor(images, config.preprocessing))
    assert logits.shape == (4, 5)
    assert logits.isfinite().all()
    logits.square().sum().backward()
    without_gradient = [key for key, w in network.named_parameters() if w.grad is None]
    assert not without_gradient


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    first, again, other = (
        build_network(make_config("light", seed=seed), 8).state_dict() for seed in (3, 3, 4)
    )
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("name", NETWORKS)
def test_with_group_norm_logits_depend_on_no_other_image(name: str) -> None:
    sizes = ("preprocessing.size_px=32", "network.norm=group", "network.dropout=0")
    network = build_network(with_assignments(make_config(network=name), sizes), 5).train()
    x_bchw = torch.rand(4, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(network(x_bchw)[:1], network(x_bchw[:1]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("network.stages=[10]", "multiple of 4"),
        ("network.stages=[8]", "from 12 up"),
        ("preprocessing.size_px=16", "reduce 16 px"),
    ],
)
def test_layers_that_cannot_be_built_are_refused_with_what_is_allowed(
    setting: str, message: str
) -> None:
    config = with_assignments(
        make_config(assignments=("network.stem=[8,8,8,8]", "network.stages=[12]")), (setting,)
    )
    if setting.startswith("network"):
        config = with_assignments(config, ("network.stem=[8]",))
    with pytest.raises(ConfigError, match=message):
        build_network(config, 8)


def test_a_network_without_any_stage_is_refused() -> None:
    with pytest.raises(ConfigError, match="one stage"):
        build_network(make_config(assignments=("network.stem=[]", "network.stages=[]")), 8)


def test_our_networks_are_ordered_by_size_and_cheaper_than_the_papers() -> None:
    images = torch.rand(1, 3, 96, 96)
    costs = []
    for name in ("tiny", "small", "light", "large", "an2dl"):
        network = build_network(make_config(network=name), 8).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(images)
        costs.append((num_parameters(network), counter.get_total_flops()))
    assert costs == sorted(costs)
    assert 3 * costs[-2][1] < costs[-1][1]
