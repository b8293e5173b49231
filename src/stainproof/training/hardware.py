"""Where to compute, and with how many threads."""

import copy
import os
import time

import torch
from torch import Tensor, nn

from stainproof.config import TrainingConfig
from stainproof.errors import ConfigError

MEASURED_IMAGES = 16
WORTH_IT = 1.5
"""All cores are taken unless one thread is this much faster, as it can be on a loaded machine; a
passing load must not cost a long run its second core."""


def choose_device(name: str) -> torch.device:
    """Return the device of this name; `auto` takes CUDA, then MPS, then the CPU.

    Raises:
        ConfigError: The device is not there.
    """
    present = {"cpu": True, "cuda": torch.cuda.is_available()}
    present["mps"] = torch.backends.mps.is_available()
    if name == "auto":
        return torch.device(next(d for d in ("cuda", "mps", "cpu") if present[d]))
    if not present[name]:
        here = ", ".join(device for device, there in present.items() if there)
        raise ConfigError(f"training.device: {name!r} is not present; here: {here}")
    return torch.device(name)


def autocast(device: torch.device, settings: TrainingConfig) -> torch.autocast:
    """Return the context of the forward pass: bfloat16 on a GPU that computes it, else 32 bits."""
    able = device.type == "mps" or (
        device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    )
    return torch.autocast(
        device.type, dtype=torch.bfloat16, enabled=settings.mixed_precision and able
    )


def choose_threads(network: nn.Module, x_bchw: Tensor, wanted: int) -> int:
    """Set and return the number of threads: as wanted, or what a training step is fastest with.

    Args:
        network: Is copied, not changed.
        x_bchw: float32 images; the first 16 are used.
        wanted: A number of threads, or 0 to measure one thread against one for each core.
    """
    num_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if not wanted and (num_cores or 1) > 1 and x_bchw.device.type == "cpu":
        trial = copy.deepcopy(network).train()
        rng_state = torch.get_rng_state()
        one, all_cores = (_step_s(trial, x_bchw, threads) for threads in (1, num_cores or 1))
        torch.set_rng_state(rng_state)
        wanted = 1 if one * WORTH_IT < all_cores else num_cores or 1
    torch.set_num_threads(wanted or 1)
    return wanted or 1


def _step_s(network: nn.Module, x_bchw: Tensor, threads: int) -> float:
    """Return the shortest of three forward and backward passes in seconds."""
    torch.set_num_threads(threads)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        network(x_bchw[:MEASURED_IMAGES]).square().mean().backward()
        times.append(time.perf_counter() - start)
    return min(times)
