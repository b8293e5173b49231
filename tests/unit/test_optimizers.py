from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import nn

from stainproof.config.presets import make_config
from stainproof.config.schema import TrainingConfig
from stainproof.errors import ConfigError
from stainproof.runs.folder import RunFolder
from stainproof.training.checkpoint import Position, restore_state, save_state
from stainproof.training.optimizers import make_optimizer
from stainproof.training.schedule import Schedule


def test_adam_takes_the_steps_of_torch() -> None:
    torch.manual_seed(0)
    ours, theirs = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    theirs.load_state_dict(ours.state_dict())
    settings = TrainingConfig(optimizer="adam", learning_rate=1e-3, weight_decay=0)
    optimizers = make_optimizer(ours, settings), torch.optim.Adam(theirs.parameters(), 1e-3)
    for step in range(5):
        for network, optimizer in zip((ours, theirs), optimizers, strict=True):
            optimizer.zero_grad()
            network(torch.full((4, 3), step + 1.0)).square().sum().backward()
            optimizer.step()
    assert torch.allclose(ours.weight, theirs.weight)
    assert torch.allclose(ours.bias, theirs.bias)


OPTIMIZERS = get_args(TrainingConfig.model_fields["optimizer"].annotation)

RATES = {"sgd": 0.02, "lion": 1e-3}


def small_network() -> nn.Module:
    torch.manual_seed(0)
    layers = (torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU())
    head = (torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(8, 3))
    network: nn.Module = torch.nn.Sequential(*layers, *head)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def take_steps(network: nn.Module, optimizer: Any, numbers: Any) -> list[float]:
    losses = []
    for number in numbers:
        torch.manual_seed(number)
        x_bchw, y_b = torch.randn(16, 3, 8, 8), torch.randint(3, (16,))
        x_bchw += y_b.view(-1, 1, 1, 1)
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(x_bchw), y_b)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def settings_for(name: str) -> TrainingConfig:
    return TrainingConfig(optimizer=name, learning_rate=RATES.get(name, 1e-2), weight_decay=0)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_lowers_the_loss(name: str) -> None:
    network = small_network()
    losses = take_steps(network, make_optimizer(network, settings_for(name)), range(60))
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_resumes_from_a_saved_state_with_the_same_steps(
    name: str, tmp_path: Path
) -> None:
    networks = []
    for stop in (False, True):
        network = small_network()
        settings = settings_for(name)
        optimizer = make_optimizer(network, settings)
        take_steps(network, optimizer, range(3))
        if stop:
            schedule = Schedule(optimizer, settings)
            run = RunFolder(tmp_path)
            save_state(run, Position(), network, optimizer, schedule, None)
            network = small_network()
            optimizer = make_optimizer(network, settings)
            restore_state(run.state, network, optimizer, Schedule(optimizer, settings), None)
        take_steps(network, optimizer, range(3, 6))
        networks.append(network.state_dict())
    whole, parted = networks
    assert all(torch.equal(whole[key], parted[key]) for key in whole)


@pytest.mark.parametrize("name", sorted(set(OPTIMIZERS) - {"adam"}))
def test_weights_decay_and_biases_do_not(name: str) -> None:
    network = torch.nn.Linear(3, 2)
    torch.nn.init.ones_(network.bias)
    before = network.weight.detach().clone()
    settings = TrainingConfig(optimizer=name, learning_rate=0.1, weight_decay=0.5)
    optimizer = make_optimizer(network, settings)
    (0 * network(torch.ones(1, 3))).sum().backward()
    optimizer.step()
    kept = 1 - 0.1 * 0.5 * (1.9 if name == "sgd" else 1)  # Nesterov's look ahead: 1 + 0.9
    assert torch.allclose(network.weight, kept * before)
    assert torch.equal(network.bias, torch.ones(2))


def test_adam_refuses_a_decay_that_it_would_not_apply() -> None:
    with pytest.raises(ConfigError, match=r"weight_decay .*adam"):
        make_config("an2dl", assignments=("training.weight_decay=0.1",))
