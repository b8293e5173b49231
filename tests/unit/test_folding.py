import pytest
import torch

from stainproof.config.presets import NETWORKS, make_config, with_assignments
from stainproof.inference.folding import FoldedNetwork
from stainproof.models.network import build_network
from stainproof.models.preprocessing import to_tensor


@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_folded_network_gives_the_same_probabilities_without_batch_norm(
    name: str, norm: str
) -> None:
    config = with_assignments(
        make_config(network=name),
        ("preprocessing.size_px=32", "preprocessing.mean=[0.5,0.4,0.3]", f"network.norm={norm}"),
    )
    network = build_network(config, num_classes=5).eval()
    generator = torch.Generator().manual_seed(0)
    for key, value in network.state_dict().items():
        if key.endswith(("running_mean", "bias")):
            value.copy_(0.3 * torch.randn(value.shape, generator=generator))
        elif key.endswith("running_var"):
            value.copy_(0.3 + torch.rand(value.shape, generator=generator))
        elif value.ndim == 1 and value.is_floating_point():
            value.copy_(torch.randn(value.shape, generator=generator))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    folded = FoldedNetwork(network, config.preprocessing)
    images = torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8, generator=generator)
    with torch.no_grad():
        expected = torch.softmax(network(to_tensor(images, config.preprocessing)), dim=1)
        torch.testing.assert_close(folded(images), expected, rtol=1e-4, atol=1e-6)
    assert expected.std() > 0.01
    assert not [m for m in folded.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
