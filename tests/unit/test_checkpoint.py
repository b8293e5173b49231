from pathlib import Path

import pytest
from torch import nn

from stainproof.config.schema import TrainingConfig
from stainproof.errors import CheckpointError
from stainproof.runs.folder import RunFolder
from stainproof.training import checkpoint
from stainproof.training.checkpoint import Position, read_position, save_state
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
