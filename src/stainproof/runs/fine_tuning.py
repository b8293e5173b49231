"""Settings of a fine-tuning: the network of a trained model, and a schedule for few images."""

from pathlib import Path
from typing import Any

from stainproof.config.parsing import make_settings
from stainproof.config.schema import Config
from stainproof.errors import ConfigError
from stainproof.runs.card import Card
from stainproof.runs.ensemble import refuse_ensemble
from stainproof.runs.folder import RunFolder
from stainproof.runs.shipped import find_run

FINE_TUNING: dict[str, Any] = {
    "batch_size": 32,
    "optimizer": "muon",
    "learning_rate": 2e-3,
    "epochs": 40,
    "freeze_norms": True,
}
"""Training settings of a fine-tuning that differ from the schedule `one-cycle`: smaller batches and
a quarter of the learning rate, and batch normalisation keeps the statistics of the many images that
the model was trained on (`benchmarks/training/fine_tuning.py`)."""


def choose_start(start_from: str | Path | None, frozen: bool) -> Config | None:
    """Return the settings of the fine-tuning that `train` is asked for; None without one.

    Raises:
        ConfigError: `frozen` is set without a model to start from.
        CheckpointError: The model cannot be read, or is an ensemble.
    """
    if start_from is None:
        if frozen:
            raise ConfigError("frozen: needs a model to start from (--from)")
        return None
    return fine_tuning_config(start_from, frozen=frozen)


def fine_tuning_config(start_from: str | Path, *, frozen: bool = False) -> Config:
    """Return the settings of a training that starts from the weights of a trained model.

    Network and preprocessing are the model's.

    Args:
        start_from: A run folder or the name of a shipped model.
        frozen: Whether only the last layer is trained.

    Raises:
        CheckpointError: The model cannot be read, or is an ensemble.
    """
    _, card = open_start(start_from)
    tree: dict[str, Any] = {
        "network": card.network.model_dump() | {"pretrained": ""},
        "preprocessing": card.preprocessing.model_dump(),
        "training": FINE_TUNING
        | {"start_from": str(start_from)}
        | ({"unfrozen_blocks": 0} if frozen else {}),
    }
    return make_settings(Config, tree)


def open_start(start_from: str | Path) -> tuple[RunFolder, Card]:
    """Return the run folder and the card of a model that a training starts from.

    Args:
        start_from: A run folder or the name of a shipped model.

    Raises:
        CheckpointError: The model cannot be read, or is an ensemble.
    """
    run = RunFolder(find_run(start_from))
    run.check_exists()
    refuse_ensemble(run.path, "fine-tune one of its runs")
    return run, run.read_card()
