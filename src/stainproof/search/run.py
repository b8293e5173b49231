"""A search from start to page, in this process or in several that share the trials."""

import multiprocessing
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from multiprocessing.queues import SimpleQueue
from pathlib import Path

from stainproof.errors import ConfigError, StainproofError, in_words
from stainproof.progress import Track, silent
from stainproof.scale.cluster import ENDLESSLY, cluster
from stainproof.search.outputs import summarise, write_results
from stainproof.search.plan import Plan, make_plan
from stainproof.search.results import Search, Trial
from stainproof.search.study import ClaimedTrial, Study
from stainproof.search.trial import run_trial
from stainproof.training.loop import Step

POLL_S = 1.0
"""Interval at which the trials of other processes are polled."""

OnTrial = Callable[[Search, Trial | None], None]


@dataclass(frozen=True)
class Task:
    """What a worker process needs to know."""

    source: str
    folder: Path
    plan: Plan
    url: str
    num_trials: int

    def open(self) -> Study:
        """Open or create the study."""
        return Study(self.folder, self.plan, self.url)


def search(
    source: str | Path,
    out: str | Path,
    num_trials: int,
    budget_s: float,
    *,
    storage: str = "",
    space: Path | None = None,
    fixed: tuple[str, ...] = (),
    seed: int = 0,
    jobs: int = 1,
    ray: str = "",
    track: Track = silent,
    on_step: Callable[[Step], None] = lambda step: None,
    on_trial: OnTrial = lambda found, trial: None,
) -> Search:
    """Search networks and settings, or continue a search; write a page.

    Every trial is an ordinary training. Several processes may work on the same folder.

    Args:
        source: Training images; a part of them is the validation split.
        out: Folder of the search.
        num_trials: Total number of trials.
        budget_s: Seconds of each training.
        storage: Address of a database for the trials; by default SQLite in the folder.
        space: TOML file of the search space; by default `space.toml` beside this module.
        fixed: Assignments that all trials share.
        seed: Seed of the sampler and of every training.
        jobs: Number of processes, one thread each; with `ray` 0 stands for all cores there.
        ray: Address of a Ray cluster, see `scale.cluster`: every trial is a task of one core there,
            and of one GPU if there are any. On several machines `out` must be on storage that they
            share, and `storage` is needed. `on_step` is not called.
        track: Shows progress of listing the source.
        on_step: Called after every training step of this process.
        on_trial: Called with the results so far, at the start and after every trial that ends, and
            with that trial.

    Returns:
        All results of the folder, including trials that other processes are running.

    Raises:
        ConfigError: A setting is invalid, the folder contains another search, or the first trials
            all failed.
        DataError: The source cannot be used for training.
        CheckpointError: The storage cannot be used.
        KeyboardInterrupt: The search was interrupted; the same call continues it.
    """
    folder = Path(out)
    if folder.is_file():
        raise ConfigError(f"{folder}: is a file; --out names the folder to make")
    for name, number in (("--trials", num_trials), ("--jobs", jobs)):
        if number < (1 if name == "--trials" or not ray else 0):
            raise ConfigError(f"{name} must be 1 or more, got {number}")
    plan = make_plan(source, storage, space, fixed, budget_s, seed, track)
    task = Task(str(source), folder, plan, storage, num_trials)
    study = task.open()
    if ray:
        _run_on_cluster(study, task, jobs, ray, on_trial)
    elif jobs > 1:
        _run_workers(study, task, min(jobs, num_trials), on_trial)
    return _run_trials(study, task, on_step, on_trial)


def _run_trials(
    study: Study, task: Task, on_step: Callable[[Step], None], on_trial: OnTrial
) -> Search:
    """Run trials until there are enough, including those that killed processes left unfinished."""
    ended = None
    while True:
        found = write_results(study, task.source, task.num_trials)
        on_trial(found, ended)
        claimed = study.claim(task.num_trials)
        if claimed is None:
            return found
        ended = _run_claimed(study, claimed, task, on_step)


def _run_on_cluster(study: Study, task: Task, jobs: int, address: str, on_trial: OnTrial) -> None:
    """Run one task for each trial that has not ended; report each trial that ends.

    A task claims its trial when it starts. After a crash it runs again and finds the trial, which
    counts its starts, so the number of retries need not be limited.

    Raises:
        ConfigError: The cluster cannot be used, or needs another storage.
    """
    found = summarise(study, task.source, task.num_trials)
    reported = {one.number for one in found.trials if one.outcome != "running"}
    on_trial(found, None)
    num_tasks = task.num_trials - len(reported)
    if num_tasks <= 0:
        return
    with cluster(address) as there:
        if there.num_machines > 1 and not task.url:
            raise ConfigError(
                "--storage: trials on several machines need a database, as in "
                "postgresql://user@host/name"
            )
        calls = (partial(_run_trial, task) for _ in range(num_tasks))
        for _ in there.run(calls, at_once=jobs, retries=ENDLESSLY, use_gpu=there.has_gpus):
            _report(study, task, reported, on_trial)


def _run_trial(task: Task) -> None:
    """Run one trial in a worker of a cluster, if one is left."""
    study = task.open()
    if claimed := study.claim(task.num_trials):
        _run_claimed(study, claimed, task, lambda step: None)


def _run_claimed(
    study: Study, claimed: ClaimedTrial, task: Task, on_step: Callable[[Step], None]
) -> Trial:
    """Run a claimed trial; an interrupted one can be claimed again."""
    try:
        return run_trial(study, claimed.trial, task.source, on_step)
    except (KeyboardInterrupt, StainproofError, OSError):
        study.release(claimed.trial.number)
        raise
    finally:
        claimed.lock.release()


def _run_workers(study: Study, task: Task, jobs: int, on_trial: OnTrial) -> None:
    """Start worker processes; report each trial that ends, and raise their errors."""
    context = multiprocessing.get_context("spawn")
    errors: SimpleQueue[str] = context.SimpleQueue()
    workers = [
        context.Process(target=_run_worker, args=(task, errors), daemon=True) for _ in range(jobs)
    ]
    found = summarise(study, task.source, task.num_trials)
    reported = {one.number for one in found.trials if one.outcome != "running"}
    on_trial(found, None)
    try:
        for worker in workers:
            worker.start()
        while any(worker.is_alive() for worker in workers):
            wait([worker.sentinel for worker in workers if worker.is_alive()], POLL_S)
            _report(study, task, reported, on_trial)
            _raise_errors(workers, errors)
    finally:
        started = [worker for worker in workers if worker.pid is not None]
        for worker in started:
            worker.terminate()
        for worker in started:
            worker.join()


def _report(study: Study, task: Task, reported: set[int], on_trial: OnTrial) -> None:
    ended = [
        one for one in study.trials() if one.outcome != "running" and one.number not in reported
    ]
    for trial in ended:
        reported.add(trial.number)
        on_trial(summarise(study, task.source, task.num_trials), trial)


def _raise_errors(workers: Sequence[BaseProcess], errors: "SimpleQueue[str]") -> None:
    if not errors.empty():
        raise StainproofError(errors.get())
    codes = [worker.exitcode for worker in workers]
    if 1 in codes:
        raise RuntimeError(f"the processes of the search exited with {codes}")
    if not any(code is None or code == 0 for code in codes):
        raise StainproofError(
            f"all processes of the search were killed ({codes}), perhaps for lack of memory; "
            "the same command resumes it; use fewer --jobs if memory is short"
        )


def _run_worker(task: Task, errors: "SimpleQueue[str]") -> None:
    """Run trials in a worker process until there are enough or the parent process ends."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    parent = multiprocessing.parent_process()

    def end_with_parent(step: Step) -> None:
        if parent is not None and not parent.is_alive():
            signal.raise_signal(signal.SIGINT)

    try:
        _run_trials(task.open(), task, end_with_parent, lambda found, trial: None)
    except (StainproofError, OSError) as error:
        errors.put(in_words(error) if isinstance(error, OSError) else str(error))
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
