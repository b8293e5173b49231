"""Device, threads and precision of a training: measured once on a machine, then remembered."""

import copy
import time
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from stainproof.config.schema import TrainingConfig
from stainproof.errors import ConfigError
from stainproof.machine import num_cores
from stainproof.models.backbones import set_training_mode
from stainproof.training import compute_memory

Precision = Literal["float32", "bfloat16", "float16"]
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

MEASURED_IMAGES, ROUNDS = 16, 4
MIN_SPEEDUP_ONE_THREAD = 1.5
"""One thread is used only if it is this many times faster than all cores, as on a loaded machine.
The factor is large because the load may be temporary and the training long.
"""
MIN_SPEEDUP_BFLOAT16 = 1.15
"""bfloat16 is used if it is this many times faster, as on processors that compute it natively."""


@dataclass(frozen=True)
class Compute:
    """Threads and precision of a training step."""

    threads: int
    precision: Precision

    def autocast(self, device: torch.device) -> torch.autocast:
        """Return the autocast context of a forward pass."""
        dtype = DTYPES[self.precision]
        return torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)

    def scaler(self, device: torch.device) -> torch.amp.GradScaler:
        """Return the gradient scaler for float16; it does nothing with other precisions."""
        return torch.amp.GradScaler(device.type, enabled=self.precision == "float16")


def choose_device(name: str) -> torch.device:
    """Return the device of this name; `auto` prefers CUDA, then MPS, then the CPU.

    Raises:
        ConfigError: The device is not available.
    """
    present = {"cpu": True, "cuda": torch.cuda.is_available()}
    present["mps"] = torch.backends.mps.is_available()
    if name == "auto":
        return torch.device(next(d for d in ("cuda", "mps", "cpu") if present[d]))
    if not present[name]:
        available = ", ".join(device for device, there in present.items() if there)
        raise ConfigError(f"training.device: {name!r} is not available; available: {available}")
    return torch.device(name)


def choose_compute(
    network: nn.Module, x_bchw: Tensor, settings: TrainingConfig, earlier: Compute | None = None
) -> Compute:
    """Choose threads and precision and set the threads.

    What the settings leave open is timed once on a machine and then remembered, see
    `training.compute_memory`, so that the same seed gives the same weights.

    On a GPU `auto` uses bfloat16 if the GPU computes it natively.

    Args:
        network: It is copied, not modified.
        x_bchw: float32 images on the device; the first 16 are used.
        settings: `threads` and `precision`; what they leave open is timed or remembered.
        earlier: Choice of a resumed run; `auto` keeps it.

    Raises:
        ConfigError: float16 is requested without a GPU.
    """
    if settings.precision == "float16" and x_bchw.device.type == "cpu":
        raise ConfigError(
            "training.precision: float16 needs a GPU, got cpu; here: auto, float32, bfloat16"
        )
    if earlier:
        settings = settings.model_copy(
            update={
                "threads": settings.threads or earlier.threads,
                "precision": earlier.precision
                if settings.precision == "auto"
                else settings.precision,
            }
        )
    if settings.threads and settings.precision != "auto":
        chosen = Compute(settings.threads, settings.precision)
    else:
        key = compute_memory.key_of(network, x_bchw, settings)
        known = compute_memory.recall(key)
        chosen = Compute(*known) if known else _measure(network, x_bchw, settings)
        if not known:
            compute_memory.remember(key, (chosen.threads, chosen.precision))
    torch.set_num_threads(chosen.threads)
    return chosen


def _measure(network: nn.Module, x_bchw: Tensor, settings: TrainingConfig) -> Compute:
    """Choose what the settings leave open by a short timing."""
    trial = _Trial(network, x_bchw[:MEASURED_IMAGES], settings)
    threads = settings.threads
    if not threads:
        threads = num_cores()
        one_s, all_s = trial.seconds(Compute(1, "float32"), Compute(threads, "float32"))
        if one_s * MIN_SPEEDUP_ONE_THREAD < all_s:
            threads = 1
    if settings.precision != "auto":
        return Compute(threads, settings.precision)
    exact, mixed = Compute(threads, "float32"), Compute(threads, "bfloat16")
    native = x_bchw.device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)
    exact_s, mixed_s = trial.seconds(exact, mixed)
    return mixed if native and mixed_s * MIN_SPEEDUP_BFLOAT16 < exact_s else exact


class _Trial:
    """Times training steps of a copy of the network; does not change the random state."""

    def __init__(self, network: nn.Module, x_bchw: Tensor, settings: TrainingConfig):
        self.network = copy.deepcopy(network)
        set_training_mode(self.network, settings)
        self.x_bchw = x_bchw

    def seconds(self, *ways: Compute) -> list[float]:
        """Return the shortest of four interleaved times for each choice."""
        with torch.random.fork_rng(enabled=self.x_bchw.device.type == "cpu"):
            rounds = [[self._pass_s(way) for way in ways] for _ in range(ROUNDS)]
        return [min(times) for times in zip(*rounds, strict=True)]

    def _pass_s(self, compute: Compute) -> float:
        torch.set_num_threads(compute.threads)
        began = time.perf_counter()
        with compute.autocast(self.x_bchw.device):
            loss = self.network(self.x_bchw).square().mean()
        loss.backward()
        loss.item()
        return time.perf_counter() - began
