import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from stainproof.config.schema import TrainingConfig
from stainproof.data.download import cache_folder
from stainproof.errors import ConfigError
from stainproof.training import compute
from stainproof.training.compute import Compute, Precision, choose_compute, choose_device
from stainproof.training.compute_memory import MEMORY_FILE

X_BCHW = torch.zeros(4, 3, 8, 8)


@pytest.fixture(autouse=True)
def _nothing_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAINPROOF_CACHE", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def choose(
    monkeypatch: pytest.MonkeyPatch,
    seconds: dict[Compute, float],
    earlier: Compute | None = None,
    **settings: int | str,
) -> Compute:
    """Choose on a machine of four cores where a step takes so many seconds."""
    now = [0.0]

    class Network(nn.Conv2d):
        def forward(self, x_bchw: torch.Tensor) -> torch.Tensor:
            precision: Precision = "bfloat16" if torch.is_autocast_enabled("cpu") else "float32"
            now[0] += seconds[Compute(torch.get_num_threads(), precision)]
            return super().forward(x_bchw)

    monkeypatch.setattr(compute, "num_cores", lambda: 4)
    with monkeypatch.context() as clock:
        clock.setattr(time, "perf_counter", lambda: now[0])
        return choose_compute(Network(3, 3, 1), X_BCHW, TrainingConfig(**settings), earlier)


ONE, ALL = Compute(1, "float32"), Compute(4, "float32")
ONE_MIXED, ALL_MIXED = Compute(1, "bfloat16"), Compute(4, "bfloat16")


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [
        ({ONE: 4, ALL: 1, ALL_MIXED: 0.5}, ALL_MIXED),
        ({ONE: 4, ALL: 1, ALL_MIXED: 0.95}, ALL),
        ({ONE: 1, ALL: 1.4, ALL_MIXED: 3}, ALL),
        ({ONE: 1, ALL: 2, ONE_MIXED: 0.5}, ONE_MIXED),
        ({ONE: 1, ALL: 2, ONE_MIXED: 2}, ONE),
    ],
)
def test_the_clearly_fastest_choice_is_taken(
    monkeypatch: pytest.MonkeyPatch, seconds: dict[Compute, float], chosen: Compute
) -> None:
    assert choose(monkeypatch, seconds) == chosen
    assert torch.get_num_threads() == chosen.threads


def test_settings_that_are_given_are_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose(monkeypatch, {}, threads=2, precision="bfloat16") == Compute(2, "bfloat16")


def test_a_resumed_run_keeps_what_it_began_with(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose(monkeypatch, {}, earlier=ONE_MIXED) == ONE_MIXED
    assert choose(monkeypatch, {}, earlier=ONE_MIXED, precision="float32") == ONE


def test_a_choice_is_measured_once_so_that_a_busy_machine_does_not_change_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert choose(monkeypatch, {ONE: 4, ALL: 1, ALL_MIXED: 0.5}) == ALL_MIXED
    busy: dict[Compute, float] = {ONE: 1, ALL: 9, ONE_MIXED: 9}
    assert choose(monkeypatch, busy) == ALL_MIXED
    assert torch.get_num_threads() == 4
    assert choose(monkeypatch, busy, precision="float32") == ONE
    (cache_folder() / MEMORY_FILE).write_text("{")
    assert choose(monkeypatch, busy) == ONE


def test_a_cache_that_cannot_be_written_only_costs_the_measurement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("STAINPROOF_CACHE", str(tmp_path / "file"))
    assert choose(monkeypatch, {ONE: 4, ALL: 1, ALL_MIXED: 0.5}) == ALL_MIXED


def test_measuring_changes_neither_the_network_nor_the_random_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    choose_compute(network, X_BCHW, TrainingConfig())
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert all(weight.grad is None for weight in network.parameters())


def test_float16_without_a_gpu_is_refused() -> None:
    with pytest.raises(ConfigError, match="float16 needs a GPU, got cpu; here: auto, float32"):
        choose_compute(nn.Conv2d(3, 3, 1), X_BCHW, TrainingConfig(precision="float16"))


def test_gradients_are_scaled_in_float16_alone_and_the_steps_stay_the_same() -> None:
    device, losses = torch.device("cpu"), {}
    for precision in ("float32", "bfloat16", "float16"):
        torch.manual_seed(0)
        network, x, y = nn.Linear(4, 3), torch.randn(8, 4), torch.arange(8) % 3
        compute = Compute(1, precision)
        scaler, optimizer = compute.scaler(device), torch.optim.SGD(network.parameters(), 0.5)
        assert (scaler.get_scale() > 1) == (precision == "float16")
        for _ in range(5):
            with compute.autocast(device):
                loss = nn.functional.cross_entropy(network(x).float(), y)
            optimizer.zero_grad()
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        losses[precision] = loss.item()
    assert losses["float16"] == pytest.approx(losses["float32"], rel=0.01)
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.05)


def test_a_device_that_is_not_there_is_refused() -> None:
    if torch.cuda.is_available():
        assert choose_device("cuda").type == "cuda"
    else:
        with pytest.raises(ConfigError, match="'cuda' is not available; available: cpu"):
            choose_device("cuda")
