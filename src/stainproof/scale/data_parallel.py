"""Data-parallel training on a Ray cluster with Ray Train and PyTorch's DistributedDataParallel.

Every worker runs the same training on its share of each batch. The first one keeps the run folder;
the others work in a temporary copy of it, which they drop. After the loss of a worker all start
again and go on after the last epoch in the run folder.
"""

import contextlib
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from stainproof.errors import CheckpointError, ConfigError, StainproofError, first_line
from stainproof.machine import keep_freed_memory, limit_cores
from stainproof.progress import Say, silent_say
from stainproof.runs.card import Card
from stainproof.runs.folder import RunFolder
from stainproof.runs.history import EpochRecord
from stainproof.scale.cluster import MAX_RETRIES, cluster

POLL_S = 1.0
"""Interval at which the history of the run is read, to report epochs."""
TrainOne = Callable[[Path], Card]
"""Trains in a run folder, which may hold the beginning of the training."""


def train_data_parallel(
    train: TrainOne, out: str | Path, address: str, num_workers: int, say: Say = silent_say
) -> Card:
    """Run one training on several workers of one core each, or one GPU each if there are any.

    Args:
        train: Called in every worker; it can be imported on all machines.
        out: The run folder, on storage that all machines share.
        address: Of the cluster, see `scale.cluster`.
        num_workers: Number of processes.
        say: Called with a line after every epoch.

    Returns:
        The card of the run.

    Raises:
        ConfigError: The cluster cannot be used or is too small.
        StainproofError: A worker raised it, or workers were lost too often.
    """
    run = RunFolder(Path(out).resolve())
    with cluster(address) as there:
        if not 1 <= num_workers <= there.num_cores:
            raise ConfigError(
                f"--workers: the cluster has {there.num_cores} cores, got {num_workers}"
            )
        os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")
        from ray.exceptions import RayError
        from ray.train import (
            FailureConfig,
            RunConfig,
            ScalingConfig,
            TrainingFailedError,
            WorkerGroupError,
        )
        from ray.train.torch import TorchTrainer

        with TemporaryDirectory(prefix="stainproof-") as records:
            trainer = TorchTrainer(
                partial(_train_in_worker, train, run.path, there.folder),
                scaling_config=ScalingConfig(num_workers=num_workers, use_gpu=there.has_gpus),
                run_config=RunConfig(
                    storage_path=records, failure_config=FailureConfig(max_failures=MAX_RETRIES)
                ),
            )
            try:
                with _reported(run, say):
                    trainer.fit()
            except WorkerGroupError as error:
                raise _cause(error.worker_failures, num_workers) from error
            except (RayError, TrainingFailedError) as error:
                raise StainproofError(
                    f"--ray: the controller of the training was lost ({first_line(error)}); the "
                    "same command continues"
                ) from error
    return run.read_card()


@contextlib.contextmanager
def _reported(run: RunFolder, say: Say) -> Iterator[None]:
    """Report the epochs that appear in the history of a run meanwhile."""
    ended = threading.Event()
    first = len(_history(run))

    def watch() -> None:
        num_said = first
        while not ended.wait(POLL_S):
            for record in (history := _history(run))[num_said:]:
                say(f"epoch {record.epoch}: validation accuracy {100 * record.val_accuracy:.1f} %")
            num_said = len(history)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _history(run: RunFolder) -> list[EpochRecord]:
    with contextlib.suppress(CheckpointError):  # between two files that are written
        return run.read_history()
    return []


def _cause(failures: dict[int, Exception], num_workers: int) -> StainproofError:
    """Return the error of a user among those of all workers, or what became of the workers."""
    for failure in failures.values():
        cause = getattr(failure, "cause", failure)
        if isinstance(cause, StainproofError):
            return cause
    told = "; ".join(dict.fromkeys(first_line(failure) for failure in failures.values()))
    return StainproofError(
        f"--ray: {len(failures)} of {num_workers} workers failed {MAX_RETRIES + 1} times ({told}); "
        "the same command continues"
    )


def _train_in_worker(train: TrainOne, run: Path, folder: Path) -> None:
    """Train in one of the processes; all of them have joined the process group."""
    from torch import distributed

    from stainproof.training.distributed import rank

    limit_cores(1)
    keep_freed_memory()
    os.chdir(folder)
    with contextlib.ExitStack() as stack:
        own = run
        if rank():
            own = Path(stack.enter_context(TemporaryDirectory(prefix="stainproof-"))) / "run"
            if run.exists():
                shutil.copytree(run, own)
        distributed.barrier()
        train(own)
