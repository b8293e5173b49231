"""Checkpoints: the complete training state in one safetensors file, without pickles."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.optim import Optimizer

from stainproof import files
from stainproof.errors import CheckpointError
from stainproof.models.weights import load_weights
from stainproof.runs.folder import RunFolder
from stainproof.runs.history import EpochRecord
from stainproof.training.compute import Compute
from stainproof.training.ema import MovingAverage
from stainproof.training.schedule import Schedule

STATE_VERSION = 3
"""Version of the training state; a state of another version cannot be resumed."""
GROUP_PROGRESS = {"lr", "step"}
"""Keys of an optimizer's parameter groups that are progress; all others are settings. The learning
rate is so in a plateau run only; the schedule one-cycle sets it before every step.
"""
PLATEAU_PROGRESS = ("best", "num_bad_epochs", "cooldown_counter", "last_epoch", "_last_lr")
"""Keys of the plateau schedule that are progress."""


@dataclass
class Position:
    """Progress of a training."""

    epoch: int = 0
    """Number of completed epochs."""
    step: int = 0
    elapsed_s: float = 0.0
    best: EpochRecord | None = None
    pretrained_sha256: str = ""
    """Hash of the pretrained weights; empty if the initial weights were random."""
    teacher_sha256: str = ""
    """Hash of the teacher's weights; empty without a teacher."""
    compute: Compute | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    """All settings that the last epoch was trained with; empty in states of earlier versions."""
    scaler: dict[str, float] = field(default_factory=dict)
    """State of the gradient scaler for float16; empty with other precisions."""


def save_state(
    run: RunFolder,
    position: Position,
    network: nn.Module,
    optimizer: Optimizer,
    schedule: Schedule,
    average: MovingAverage | None,
) -> None:
    """Write everything that resuming needs."""
    optimizer_state = optimizer.state_dict()
    tensors = {f"network.{key}": value for key, value in network.state_dict().items()}
    if average is not None:
        tensors |= {f"average.{key}": value for key, value in average.state.items()}
    for index, slots in optimizer_state["state"].items():
        tensors |= {f"optimizer.{index}.{slot}": value for slot, value in slots.items()}
    notes = {
        "version": STATE_VERSION,
        "epoch": position.epoch,
        "step": position.step,
        "elapsed_s": position.elapsed_s,
        "best": position.best.model_dump() if position.best else None,
        "compute": asdict(position.compute) if position.compute else None,
        "pretrained_sha256": position.pretrained_sha256,
        "teacher_sha256": position.teacher_sha256,
        "settings": position.settings,
        "scaler": position.scaler,
        "groups": optimizer_state["param_groups"],
        "plateau": schedule.plateau.state_dict(),
        "average_steps": average.steps if average else 0,
    }
    run.write_weights(run.state, tensors, state=json.dumps(notes))


def read_position(path: Path) -> Position:
    """Read the progress of a run.

    Raises:
        CheckpointError: The state is missing, damaged or of another version.
    """
    notes = _read_notes(path)
    try:
        return _position(notes)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: damaged; no position of a training in it") from error


def _position(notes: dict[str, Any]) -> Position:
    return Position(
        epoch=int(notes["epoch"]),
        step=int(notes["step"]),
        elapsed_s=float(notes["elapsed_s"]),
        best=EpochRecord.model_validate(notes["best"]) if notes["best"] else None,
        compute=Compute(**notes["compute"]) if notes["compute"] else None,
        pretrained_sha256=notes["pretrained_sha256"],
        teacher_sha256=notes.get("teacher_sha256", ""),
        settings=notes.get("settings", {}),
        scaler=notes["scaler"],
    )


def restore_state(
    path: Path,
    network: nn.Module,
    optimizer: Optimizer,
    schedule: Schedule,
    average: MovingAverage | None,
) -> None:
    """Restore a saved state, the inverse of `save_state`.

    Raises:
        CheckpointError: The state is missing, damaged or of another network.
    """
    try:
        _restore(path, network, optimizer, schedule, average)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{path}: damaged; parts of the state are missing") from error


def _restore(
    path: Path,
    network: nn.Module,
    optimizer: Optimizer,
    schedule: Schedule,
    average: MovingAverage | None,
) -> None:
    notes = _read_notes(path)
    tensors = load_weights(path)
    parts: dict[str, dict[str, Tensor]] = {"network": {}, "average": {}, "optimizer": {}}
    for key, value in tensors.items():
        part, _, rest = key.partition(".")
        parts[part][rest] = value
    slots: dict[int, dict[str, Tensor]] = {}
    for key, value in parts["optimizer"].items():
        index, _, slot = key.partition(".")
        slots.setdefault(int(index), {})[slot] = value
    try:
        network.load_state_dict(parts["network"])
        settings = notes.get("settings", {}).get("training", {})
        is_progress = settings.get("schedule", "plateau") == "plateau"
        progress = GROUP_PROGRESS if is_progress else GROUP_PROGRESS - {"lr"}
        groups = _groups_as_set(optimizer, notes["groups"], progress)
        optimizer.load_state_dict({"state": slots, "param_groups": groups})
    except (RuntimeError, ValueError) as error:
        raise CheckpointError(f"{path}: made for another network or optimizer") from error
    _match_memory_format(optimizer)
    seen = {key: notes["plateau"][key] for key in PLATEAU_PROGRESS}
    schedule.plateau.load_state_dict(seen)
    if bool(parts["average"]) != (average is not None):
        holds = "a" if parts["average"] else "no"
        raise CheckpointError(
            f"{path}: holds {holds} moving average; leave training.ema_decay as the run has it"
        )
    if average is not None:
        for key, value in average.state.items():
            value.copy_(parts["average"][key])
        average.steps = notes["average_steps"]


def _groups_as_set(
    optimizer: Optimizer, saved: list[dict[str, Any]], progress: set[str]
) -> list[dict[str, Any]]:
    """Return the optimizer's parameter groups with their current settings and the saved progress.

    Raises:
        ValueError: The saved groups belong to another optimizer.
    """
    groups = []
    for own, group in zip(optimizer.state_dict()["param_groups"], saved, strict=True):
        if own.keys() | GROUP_PROGRESS != group.keys() | GROUP_PROGRESS:
            raise ValueError("groups of another optimizer")
        groups.append(own | {key: group[key] for key in progress & group.keys()})
    return groups


def _match_memory_format(optimizer: Optimizer) -> None:
    """Restore the memory format of the optimizer state, so that resuming is bit-identical."""
    for weight, slots in optimizer.state.items():
        for slot, value in slots.items():
            if value.shape == weight.shape:
                slots[slot] = torch.empty_like(weight).copy_(value)


def _read_notes(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise CheckpointError(f"{path}: missing; there is nothing to resume")
    try:
        files.open_regular(path).close()
        with safe_open(path, framework="pt") as file:
            notes = dict(json.loads((file.metadata() or {})["state"]))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: not a readable training state ({error})") from error
    if notes.get("version") != STATE_VERSION:
        raise CheckpointError(f"{path}: written by another version of stainproof; begin a new run")
    return notes
