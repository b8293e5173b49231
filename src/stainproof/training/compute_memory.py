"""Memory of measured threads and precision, so that a busy machine does not choose others.

The choices are in `compute.json` in the cache folder of the system (`STAINPROOF_CACHE` names
another one). Remove the file to measure again.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from stainproof import files, provenance
from stainproof.config.schema import TrainingConfig
from stainproof.data.download import cache_folder
from stainproof.errors import DataError
from stainproof.machine import num_cores

MEMORY_FILE = "compute.json"
Choice = tuple[int, Literal["float32", "bfloat16", "float16"]]
"""Threads and precision."""


def key_of(network: nn.Module, x_bchw: Tensor, settings: TrainingConfig) -> str:
    """Return what a choice depends on, as text.

    Processor, cores, version of PyTorch, device, input size, shapes of all weights, and what the
    settings leave open.
    """
    shapes = [(name, tuple(value.shape)) for name, value in network.state_dict().items()]
    facts = (
        provenance.processor(),
        f"{num_cores()} of {os.cpu_count()} cores",
        f"torch {torch.__version__}",
        x_bchw.device.type,
        f"{x_bchw.shape[-1]} px",
        f"network {hashlib.sha256(repr(shapes).encode()).hexdigest()[:16]}",
        f"threads {settings.threads or 'auto'}",
        f"precision {settings.precision}",
    )
    return ", ".join(facts)


def recall(key: str) -> Choice | None:
    """Return the choice that was measured before; None if there is none that can be read."""
    choice = _read(cache_folder() / MEMORY_FILE).get(key)
    match choice:
        case [int(threads), ("float32" | "bfloat16" | "float16") as precision] if (
            1 <= threads <= 1024
        ):
            return threads, precision
    return None


def remember(key: str, choice: Choice) -> None:
    """Store a choice; where the cache folder cannot be written, every training measures."""
    path: Path = cache_folder() / MEMORY_FILE
    choices = _read(path) | {key: list(choice)}
    try:
        files.write_text(path, json.dumps(choices, indent=2, sort_keys=True) + "\n")
    except DataError:
        return


def _read(path: Path) -> dict[str, object]:
    try:
        tree = json.loads(files.read_bytes(path))
    except (OSError, ValueError, RecursionError):
        return {}
    return tree if isinstance(tree, dict) else {}
