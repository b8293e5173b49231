from typing import get_args

import numpy as np
import pytest
import torch

from stainproof.config.presets import make_config
from stainproof.config.schema import TrainingConfig
from stainproof.errors import CheckpointError, ConfigError
from stainproof.runs.folder import RunFolder
from stainproof.training import checkpoint
from stainproof.training.checkpoint import Position, read_position, restore_state, save_state
from stainproof.training.ema import MovingAverage
from stainproof.training.optimizers import make_optimizer
from stainproof.training.progressive_resizing import size_px
from stainproof.training.schedule import Schedule, one_cycle


def test_one_cycle_rises_to_the_peak_then_falls_to_zero():
    rates = [one_cycle(step / 100) for step in range(101)]
    peak = rates.index(max(rates))
    assert rates[peak] == pytest.approx(1.0)
    assert rates[:peak] == sorted(rates[:peak])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[-1] == pytest.approx(0.0)
    assert one_cycle(7.0) == pytest.approx(0.0)


def test_images_grow_in_steps_to_their_full_size_by_two_thirds_of_the_run():
    config = make_config(assignments=("training.start_scale=0.625",))
    sizes = [size_px(share / 99, config) for share in range(100)]
    assert sizes == sorted(sizes)
    assert sorted(set(sizes)) == [60, 68, 76, 84, 92, 96]
    assert sizes[66] == 96 > sizes[65]
    full = make_config(assignments=("training.start_scale=1",))
    assert {size_px(share / 99, full) for share in range(100)} == {96}


@pytest.mark.parametrize(("full_px", "start_px"), [(16, 16), (28, 16), (224, 22)])
def test_images_never_start_smaller_than_the_network_can_halve(full_px, start_px):
    sizes = ("training.start_scale=0.1", f"preprocessing.size_px={full_px}")
    assert size_px(0.0, make_config(assignments=sizes)) == start_px


def test_a_plateau_run_lowers_its_rate_by_the_factor_after_the_patience():
    network = torch.nn.Linear(2, 2)
    settings = TrainingConfig(plateau_patience=2, plateau_factor=0.2)
    schedule = Schedule(make_optimizer(network, settings), settings)
    rates = []
    for _ in range(5):
        schedule.before_step(0.9)
        schedule.after_epoch(1.0)
        rates.append(schedule.rate)
    assert rates == pytest.approx([1e-3, 1e-3, 1e-3, 2e-4, 2e-4])


def test_without_decay_the_optimiser_takes_adams_steps():
    torch.manual_seed(0)
    ours, theirs = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    theirs.load_state_dict(ours.state_dict())
    optimizers = make_optimizer(ours, TrainingConfig()), torch.optim.Adam(theirs.parameters(), 1e-3)
    for step in range(5):
        for network, optimizer in zip((ours, theirs), optimizers, strict=True):
            optimizer.zero_grad()
            network(torch.full((4, 3), step + 1.0)).square().sum().backward()
            optimizer.step()
    assert torch.allclose(ours.weight, theirs.weight)
    assert torch.allclose(ours.bias, theirs.bias)


def test_the_moving_average_of_constant_weights_is_those_weights_and_lags_behind_moving_ones():
    network = torch.nn.BatchNorm1d(2)
    average = MovingAverage(network, 0.9)
    for _ in range(3):
        average.update(network)
    assert torch.equal(average.state["weight"], network.weight)
    with torch.no_grad():
        network.weight.fill_(2.0)
    average.update(network)
    assert (average.state["weight"] > 1.0).all()
    assert (average.state["weight"] < 2.0).all()
    assert not average.state["weight"].requires_grad


OPTIMIZERS = get_args(TrainingConfig.model_fields["optimizer"].annotation)
RATES = {"sgd": 0.02, "lion": 1e-3}


def small_network():
    torch.manual_seed(0)
    layers = (torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU())
    head = (torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(8, 3))
    return torch.nn.Sequential(*layers, *head).to(memory_format=torch.channels_last)


def take_steps(network, optimizer, numbers):
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


def settings_for(name):
    return TrainingConfig(optimizer=name, learning_rate=RATES.get(name, 1e-2))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimiser_learns(name):
    network = small_network()
    losses = take_steps(network, make_optimizer(network, settings_for(name)), range(60))
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimiser_goes_on_from_a_saved_state_as_if_nothing_had_happened(name, tmp_path):
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
def test_weights_decay_and_biases_do_not(name):
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


def test_adam_refuses_a_decay_that_it_would_not_apply():
    with pytest.raises(ConfigError, match="weight_decay needs another optimizer than adam"):
        make_config("an2dl", assignments=("training.weight_decay=0.1",))


def test_a_state_of_another_version_is_refused_in_one_line(tmp_path, monkeypatch):
    network, settings = small_network(), settings_for("adam")
    optimizer = make_optimizer(network, settings)
    path = tmp_path / "state.safetensors"
    with monkeypatch.context() as other:
        other.setattr(checkpoint, "STATE_VERSION", 1)
        save_state(RunFolder(tmp_path), Position(), network, optimizer, Schedule(optimizer, settings), None)
    with pytest.raises(CheckpointError, match="written by another version of stainproof"):
        read_position(path)
