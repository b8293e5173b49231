import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from stainproof.config.schema import TrainingConfig
from stainproof.errors import CheckpointError
from stainproof.runs.folder import RunFolder
from stainproof.runs.history import EpochRecord
from stainproof.training import checkpoint
from stainproof.training.checkpoint import (
    PLATEAU_PROGRESS,
    Position,
    read_position,
    restore_state,
    save_state,
)
from stainproof.training.compute import Compute
from stainproof.training.ema import MovingAverage
from stainproof.training.optimizers import make_optimizer
from stainproof.training.schedule import Schedule


def save(folder: Path) -> Path:
    network, settings = nn.Linear(2, 2), TrainingConfig()
    optimizer = make_optimizer(network, settings)
    run = RunFolder(folder)
    save_state(run, Position(epoch=3), network, optimizer, Schedule(optimizer, settings), None)
    return run.state


def test_the_position_in_a_training_is_read_back(tmp_path: Path) -> None:
    assert read_position(save(tmp_path)) == Position(epoch=3)


def test_a_state_of_another_version_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "STATE_VERSION", 1)
    state = save(tmp_path)
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="another version of stainproof"):
        read_position(state)


def full_position() -> Position:
    """A position with every field set to another value than its default."""
    record = EpochRecord(
        epoch=2, loss=0.5, accuracy=0.75, val_loss=0.25, val_accuracy=0.8125,
        val_augmented_accuracy=0.625, val_augmented_loss=0.75, learning_rate=1e-3,
        images_per_s=100.0, elapsed_s=12.5, augmenting_s=1.5,
    )  # fmt: skip
    return Position(
        epoch=3,
        step=17,
        elapsed_s=13.25,
        best=record,
        pretrained_sha256="ab",
        teacher_sha256="cd",
        compute=Compute(1, "bfloat16"),
        settings={"training": {"epochs": 5}},
        scaler={"scale": 2.0},
    )


class Trained:
    """A small network after one step, with its optimizer, schedule and moving average."""

    def __init__(self, seed: int, hidden: int = 3, ema: bool = True, optimizer: str = "adamw"):
        torch.manual_seed(seed)
        settings = TrainingConfig(optimizer=optimizer, schedule="plateau")
        self.network = nn.Sequential(nn.Linear(4, hidden), nn.Linear(hidden, 2))
        self.optimizer = make_optimizer(self.network, settings)
        self.schedule = Schedule(self.optimizer, settings)
        self.average = MovingAverage(self.network, 0.9) if ema else None
        self.step(torch.ones(5, 4))

    def step(self, inputs: torch.Tensor) -> None:
        self.network(inputs).square().sum().backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.average is not None:
            self.average.update(self.network)
        self.schedule.after_epoch(0.5)

    def parts(self) -> tuple[Any, ...]:
        return self.network, self.optimizer, self.schedule, self.average


def test_every_field_of_a_position_is_read_back(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    save_state(run, full_position(), *Trained(0).parts())
    assert read_position(run.state) == full_position()


def test_a_restored_training_takes_the_same_next_step(tmp_path: Path) -> None:
    run, first, second = RunFolder(tmp_path), Trained(0), Trained(1)
    for _ in range(2):
        first.step(torch.full((5, 4), 0.5))
    save_state(run, full_position(), *first.parts())
    restore_state(run.state, *second.parts())
    assert first.average is not None and second.average is not None
    assert second.average.steps == first.average.steps == 3
    for key in PLATEAU_PROGRESS:
        assert getattr(second.schedule.plateau, key) == getattr(first.schedule.plateau, key)
    for one in (first, second):
        one.step(torch.linspace(-1, 1, 20).reshape(5, 4))
    for key, value in first.network.state_dict().items():
        assert torch.equal(second.network.state_dict()[key], value)
        assert torch.equal(second.average.state[key], first.average.state[key])


def test_settings_of_the_optimizer_are_the_current_ones_and_its_progress_the_saved_one(
    tmp_path: Path,
) -> None:
    run, first, second = RunFolder(tmp_path), Trained(0), Trained(1)
    for group in first.optimizer.param_groups:
        group["lr"], group["weight_decay"] = 0.125, 0.5
    for group in second.optimizer.param_groups:
        group["weight_decay"] = 0.25
    save_state(run, Position(), *first.parts())
    restore_state(run.state, *second.parts())
    assert {group["lr"] for group in second.optimizer.param_groups} == {0.125}
    assert {group["weight_decay"] for group in second.optimizer.param_groups} == {0.25}


def test_a_plateau_run_after_a_one_cycle_run_starts_with_its_own_learning_rate(
    tmp_path: Path,
) -> None:
    run, first, second = RunFolder(tmp_path), Trained(0), Trained(1)
    for group in first.optimizer.param_groups:
        group["lr"] = 1e-9  # as at the end of a cycle
    wanted = [group["lr"] for group in second.optimizer.param_groups]
    settings = {"training": {"schedule": "one-cycle"}}
    save_state(run, Position(settings=settings), *first.parts())
    restore_state(run.state, *second.parts())
    assert [group["lr"] for group in second.optimizer.param_groups] == wanted


@pytest.mark.parametrize(
    ("saved", "wanted", "message"),
    [
        ({"ema": False}, {}, "holds no moving average; leave training.ema_decay as the run has it"),
        ({}, {"ema": False}, "holds a moving average; leave training.ema_decay as the run has it"),
        ({"hidden": 5}, {}, "made for another network or optimizer"),
        ({"optimizer": "sgd"}, {}, "made for another network or optimizer"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_in_one_line(
    tmp_path: Path, saved: dict[str, Any], wanted: dict[str, Any], message: str
) -> None:
    run = RunFolder(tmp_path)
    save_state(run, Position(), *Trained(0, **saved).parts())
    with pytest.raises(CheckpointError) as raised:
        restore_state(run.state, *Trained(0, **wanted).parts())
    assert str(raised.value) == f"{run.state}: {message}"


def rewrite(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the notes in a training state and leave its tensors as they are."""
    with safe_open(path, framework="pt") as file:
        notes = json.loads(file.metadata()["state"])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    change(notes)
    save_file(tensors, path, {"state": json.dumps(notes)})


@pytest.mark.parametrize(
    "name", ["epoch", "step", "elapsed_s", "best", "compute", "pretrained_sha256", "scaler"]
)
def test_a_position_without_a_field_is_damaged(tmp_path: Path, name: str) -> None:
    state = save(tmp_path)
    rewrite(state, lambda notes: notes.pop(name))
    with pytest.raises(CheckpointError) as raised:
        read_position(state)
    assert str(raised.value) == f"{state}: damaged; no position of a training in it"


@pytest.mark.parametrize("name", ["teacher_sha256", "settings"])
def test_fields_that_earlier_versions_did_not_write_are_empty(tmp_path: Path, name: str) -> None:
    run = RunFolder(tmp_path)
    save_state(run, full_position(), *Trained(0).parts())
    rewrite(run.state, lambda notes: notes.pop(name))
    assert getattr(read_position(run.state), name) == getattr(Position(), name)


@pytest.mark.parametrize("name", ["groups", "plateau", "average_steps"])
def test_a_state_without_a_part_is_damaged(tmp_path: Path, name: str) -> None:
    run = RunFolder(tmp_path)
    save_state(run, Position(), *Trained(0).parts())
    rewrite(run.state, lambda notes: notes.pop(name))
    with pytest.raises(CheckpointError) as raised:
        restore_state(run.state, *Trained(1).parts())
    assert str(raised.value) == f"{run.state}: damaged; parts of the state are missing"


def test_no_state_and_no_readable_state_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as raised:
        read_position(tmp_path / "state")
    assert str(raised.value) == f"{tmp_path / 'state'}: missing; there is nothing to resume"
    (tmp_path / "state").write_bytes(b"hello")
    with pytest.raises(CheckpointError, match="state: not a readable training state \\("):
        read_position(tmp_path / "state")
    save_file({"a": torch.zeros(1)}, tmp_path / "state")
    with pytest.raises(CheckpointError, match="state: not a readable training state \\("):
        read_position(tmp_path / "state")


def test_the_optimizer_state_has_the_memory_format_of_the_weights(tmp_path: Path) -> None:
    """Otherwise sums over the state run in another order, and a resumed run differs by rounding."""

    def trained() -> tuple[nn.Module, Any, Schedule]:
        network = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimizer = make_optimizer(network, TrainingConfig(optimizer="adamw"))
        network(torch.ones(1, 3, 5, 5)).square().sum().backward()
        optimizer.step()
        return network, optimizer, Schedule(optimizer, TrainingConfig())

    run, first, second = RunFolder(tmp_path), trained(), trained()
    save_state(run, Position(), *first, None)
    restore_state(run.state, *second, None)
    for weight, saved in zip(second[0].parameters(), first[0].parameters(), strict=True):
        own, other = second[1].state[weight], first[1].state[saved]
        assert own.keys() == other.keys() == {"step", "exp_avg", "exp_avg_sq"}
        for slot, value in own.items():
            assert torch.equal(value, other[slot])
            assert value.stride() == other[slot].stride()


def test_a_position_is_that_of_the_first_epoch_unless_told() -> None:
    assert Position() == Position(
        epoch=0, step=0, elapsed_s=0.0, best=None, pretrained_sha256="", teacher_sha256="",
        compute=None, settings={}, scaler={},
    )  # fmt: skip


def test_a_position_without_a_best_epoch_or_a_choice_of_compute(tmp_path: Path) -> None:
    position = read_position(save(tmp_path))
    assert (position.best, position.compute) == (None, None)


def test_a_run_without_a_moving_average_is_restored(tmp_path: Path) -> None:
    run, first, second = RunFolder(tmp_path), Trained(0, ema=False), Trained(1, ema=False)
    save_state(run, Position(), *first.parts())
    restore_state(run.state, *second.parts())
    for key, value in first.network.state_dict().items():
        assert torch.equal(second.network.state_dict()[key], value)


@pytest.mark.parametrize("content", [[1, 2], "text", None])
def test_notes_that_are_not_those_of_a_training_are_refused(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "state"
    save_file({"a": torch.zeros(1)}, path, {"state": json.dumps(content)})
    with pytest.raises(CheckpointError) as raised:
        read_position(path)
    assert str(raised.value).startswith(f"{path}: not a readable training state (")


@pytest.mark.parametrize("change", [lambda groups: groups.pop(), lambda groups: groups.append({})])
def test_a_state_with_another_number_of_groups_is_refused(
    tmp_path: Path, change: Callable[[list[Any]], Any]
) -> None:
    run = RunFolder(tmp_path)
    save_state(run, Position(), *Trained(0).parts())
    rewrite(run.state, lambda notes: change(notes["groups"]))
    with pytest.raises(CheckpointError, match="made for another network or optimizer"):
        restore_state(run.state, *Trained(1).parts())
