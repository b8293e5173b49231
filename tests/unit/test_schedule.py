import pytest
import torch

from stainproof.config.schema import TrainingConfig
from stainproof.training.optimizers import make_optimizer
from stainproof.training.schedule import Schedule, one_cycle


def test_one_cycle_rises_to_the_peak_then_falls_to_zero() -> None:
    rates = [one_cycle(step / 100) for step in range(101)]
    peak = rates.index(max(rates))
    assert rates[peak] == pytest.approx(1.0)
    assert rates[:peak] == sorted(rates[:peak])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[-1] == pytest.approx(0.0)
    assert one_cycle(7.0) == pytest.approx(0.0)


def test_a_plateau_run_lowers_its_rate_by_the_factor_after_the_patience() -> None:
    network = torch.nn.Linear(2, 2)
    settings = TrainingConfig(
        schedule="plateau", learning_rate=1e-3, plateau_patience=2, plateau_factor=0.2
    )
    schedule = Schedule(make_optimizer(network, settings), settings)
    rates = []
    for _ in range(5):
        schedule.before_step(0.9)
        schedule.after_epoch(1.0)
        rates.append(schedule.rate)
    assert rates == pytest.approx([1e-3, 1e-3, 1e-3, 2e-4, 2e-4])
