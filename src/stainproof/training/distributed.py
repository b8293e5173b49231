"""Data-parallel training: what the processes of one training share, through torch.distributed.

Every process has the whole network and computes the gradients of its share of each batch; the mean
gradient of all is applied everywhere. Process 0 validates, decides and keeps the run folder.
Without a process group every function does what one process needs.
"""

from typing import TypeVar

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

Value = TypeVar("Value")


def rank() -> int:
    """Return the number of this process, 0 to `num_processes() - 1`."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def num_processes() -> int:
    """Return the number of processes of this training."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def agree(value: Value) -> Value:
    """Return the value of process 0 in every process; all must call it."""
    if num_processes() == 1:
        return value
    values = [value]
    distributed.broadcast_object_list(values)
    return values[0]


def synchronised(network: nn.Module, device: torch.device) -> nn.Module:
    """Return a network whose batch normalisation uses the whole batch of all processes, on GPUs.

    PyTorch has no synchronised batch normalisation for CPUs. There every process normalises with
    the statistics of its own share, and those of process 0 are kept.
    """
    if num_processes() > 1 and device.type == "cuda":
        convert = nn.SyncBatchNorm.convert_sync_batchnorm
        network = convert(network)  # type: ignore[no-untyped-call]
    return network


def parallel(network: nn.Module) -> nn.Module:
    """Return what computes the network and averages the gradients of all processes."""
    return DistributedDataParallel(network) if num_processes() > 1 else network
