import pytest
import torch

from stainproof.config import TrainingConfig, make_config
from stainproof.training.averaging import MovingAverage
from stainproof.training.optim import Schedule, make_optimizer, one_cycle, size_px


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
    sizes = ("training.start_scale=0.1", f"input.size_px={full_px}")
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
