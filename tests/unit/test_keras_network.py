"""A network in Keras is the network: the same logits, whatever its layers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from stainproof.config.presets import NETWORKS, make_config
from stainproof.config.schema import Config, Preprocessing
from stainproof.contest.keras_network import import_keras, save_keras, to_keras
from stainproof.errors import ConfigError
from stainproof.models.network import build_network, num_parameters
from stainproof.models.preprocessing import to_tensor

NUM_CLASSES = 8
SMALL = (
    "preprocessing.size_px=40",
    "network.stem=[8,16]",
    "network.stages=[24]",
    "network.hidden=16",
)


def trained_looking(config: Config) -> nn.Module:
    """Return a network whose every weight and statistic is its own, unlike a fresh one's."""
    network = build_network(config, NUM_CLASSES)
    generator = torch.Generator().manual_seed(0)
    for key, value in network.state_dict().items():
        if key.endswith(("running_mean", "bias")):
            value.copy_(0.3 * torch.randn(value.shape, generator=generator))
        elif key.endswith("running_var") or (key.endswith("weight") and value.ndim == 1):
            value.copy_(0.5 + torch.rand(value.shape, generator=generator))
    return network.eval()


def noise(number: int, size_px: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(0)
    return rng.integers(256, size=(number, size_px, size_px, 3), dtype=np.uint8)


def predict(model: Any, images: Any) -> Any:
    return import_keras().ops.convert_to_numpy(model(images, training=False))


def logits_apart(config: Config) -> float:
    """Return the largest difference of logits between our network and Keras's."""
    import_keras()
    network, images = trained_looking(config), noise(2, config.preprocessing.size_px)
    standardised = to_tensor(torch.from_numpy(images), config.preprocessing)
    with torch.no_grad():
        expected = network(standardised).numpy()
    model = to_keras(network, config.preprocessing.size_px)
    assert model.count_params() == num_parameters(network)
    assert expected.std() > 0.01
    return np.abs(predict(model, standardised.permute(0, 2, 3, 1).numpy()) - expected).max()


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_of_the_paper_gives_the_same_logits(name: str) -> None:
    assert logits_apart(make_config(network=name)) < 1e-4


@pytest.mark.parametrize(
    "more",
    [
        ("network.norm=group",),
        ("network.norm=group", "network.stages=[36,48]", "network.skip=false"),
        ("network.unit=conv", "network.norm=group"),
        ("network.stages=[24,36]", "network.blocks=1", "network.units=3"),
        ("network.stages=[]", "network.hidden=0"),
        ("preprocessing.size_px=33",),
    ],
    ids=" ".join,
)
def test_every_setting_of_the_layers_gives_the_same_logits(more: tuple[Any, ...]) -> None:
    assert logits_apart(make_config(assignments=(*SMALL, *more))) < 1e-4


def test_the_file_takes_images_as_they_are_and_gives_probabilities(tmp_path: Path) -> None:
    preprocessing = Preprocessing(size_px=40, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.25))
    config = make_config(assignments=SMALL).model_copy(update={"preprocessing": preprocessing})
    network, images = trained_looking(config), noise(5, 40)
    save_keras(network, preprocessing, tmp_path / "network.keras")
    model = import_keras().saving.load_model(tmp_path / "network.keras", compile=False)
    found = predict(model, images)
    with torch.no_grad():
        expected = torch.softmax(
            network(to_tensor(torch.from_numpy(images), preprocessing)), 1
        ).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


def test_a_network_of_other_layers_is_refused_with_what_to_do(tmp_path: Path) -> None:
    other = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 40 * 40, NUM_CLASSES))
    with pytest.raises(ConfigError, match="not Sequential; use --runtime onnx"):
        save_keras(other, Preprocessing(size_px=40), tmp_path / "network.keras")
    assert not list(tmp_path.iterdir())
