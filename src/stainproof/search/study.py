"""A search in its folder: what it is about, which trials there are, which one is next.

The trials themselves are rows of an Optuna study, in SQLite beside the run folders or in a
database that `--storage` names. A trial that runs is locked by the process that runs it; the
system frees the lock when the process ends, however it ends, so a trial that runs without a lock
was cut short, and the next process that looks for work takes it over.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import ValidationError

from stainproof.config.presets import make_config
from stainproof.config.schema import Config
from stainproof.errors import CheckpointError, ConfigError, first_line
from stainproof.runs.folder import RunFolder
from stainproof.search.plan import Plan
from stainproof.search.propose import DIRECTIONS, figures_of, propose
from stainproof.search.ranges import Scalar
from stainproof.search.results import Trial
from stainproof.search.space import assignments, parse_space

if TYPE_CHECKING:
    import optuna
    from filelock import BaseFileLock

PLAN_FILE, STORAGE_FILE, LOCK_FILE, TRIALS_FOLDER = "study.json", "study.db", ".lock", "trials"
ONE_THREAD = "training.threads=1"
"""So that trials are equal however many of them run at once."""
MAX_STARTS = 3
"""A trial that took its process down with it this often has failed."""
NUM_FAILED = 5
"""Trials that may fail before the first one finishes."""
WAIT_S = 60
"""For a database that others write to."""


class StorageError(CheckpointError):
    """The database of the trials cannot be used; no trial is to blame."""


@dataclass(frozen=True)
class Taken:
    """A trial that is this process's to run."""

    trial: Trial
    lock: "BaseFileLock"
    """Held until the trial has ended."""


class Study:
    """The trials of a search, shared by all processes that work on it."""

    def __init__(self, folder: Path, plan: Plan, url: str):
        """Open the search in a folder, or begin it.

        Args:
            folder: Of the search.
            plan: What it is to be about; its name and storage are settled here.
            url: Of the storage; empty for SQLite in the folder.

        Raises:
            ConfigError: The storage is unknown, or the folder holds a search of another plan.
            CheckpointError: The storage cannot be used, or lacks the trials of this folder.
        """
        self.folder, self.plan = folder, plan
        self.url = url or f"sqlite:///{(folder / STORAGE_FILE).resolve()}"
        self.place = plan.storage or str(folder / STORAGE_FILE)
        self.space = parse_space(plan.space)
        with storage_faults(self.place):
            storage = self._connect() if url else None
            self._check_folder()
            (folder / TRIALS_FOLDER).mkdir(parents=True, exist_ok=True)
            with self.locked():
                self._check_folder()
                if not (folder / PLAN_FILE).exists():
                    self.plan.write(folder / PLAN_FILE)
                self.study = self._open(storage or self._connect())
                self._check_complete(len(self.trials()))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let no other process choose a trial or write results meanwhile."""
        from filelock import FileLock

        with FileLock(self.folder / LOCK_FILE):
            yield

    def trials(self) -> list[Trial]:
        """Return all trials so far.

        Raises:
            CheckpointError: The storage holds something else.
        """
        with storage_faults(self.place):
            return [self._read(one) for one in self.study.get_trials(deepcopy=False)]

    def run_folder(self, number: int) -> RunFolder:
        """Return the run folder of a trial."""
        return RunFolder(self.folder / TRIALS_FOLDER / f"{number:04d}")

    def preset(self) -> dict[str, Scalar] | None:
        """Return what a trial with the preset's own settings draws, if the space holds them."""
        return self.space.locate(make_config(assignments=self.plan.fixed))

    def config(self, trial: Trial, *shared: str) -> Config:
        """Return the settings of a trial, less what only its running side by side asks for.

        Args:
            trial: Its assignments come last.
            shared: Assignments before the fixed ones.

        Raises:
            ConfigError: They do not fit.
        """
        return make_config(
            seed=self.plan.seed,
            budget_s=self.plan.budget_s,
            assignments=(*shared, *self.plan.fixed, *trial.assignments),
        )

    def take(self, num_trials: int) -> Taken | None:
        """Return a trial to run: one that was cut short, or else a new one.

        Args:
            num_trials: How many there are to be in all; nothing is returned when they are there.

        Raises:
            ConfigError: The first trials all failed.
        """
        with self.locked(), storage_faults(self.place):
            trials = self.trials()
            taken = self._take_over(trials)
            if taken or len(trials) >= num_trials:
                return taken
            failed = [one for one in trials if one.outcome == "failed"]
            if len(failed) == len(trials) >= NUM_FAILED:
                raise ConfigError(
                    f"{self.folder}: the first {len(failed)} trials failed; the last: "
                    f"{failed[-1].reason}"
                )
            return self._begin(trials)

    def keep(self, trial: Trial) -> None:
        """Keep what a trial that runs has shown so far."""
        shown = trial.model_dump(exclude={"number", "outcome", "params", "assignments"})
        self._set(trial.number, "shown", shown)

    def end(self, trial: Trial) -> None:
        """Keep what a trial has shown, and that it has ended."""
        from optuna.trial import TrialState

        self.keep(trial)
        with storage_faults(self.place):
            if trial.outcome == "finished":
                self.study.tell(trial.number, list(figures_of(trial)))
            else:
                state = {"stopped": TrialState.PRUNED, "failed": TrialState.FAIL}
                self.study.tell(trial.number, state=state[trial.outcome])

    def leave(self, number: int) -> None:
        """Note that a trial was left in good order, to be taken up again."""
        self._set(number, "starts", self._frozen(number).user_attrs["starts"] - 1)

    def _check_folder(self) -> None:
        """Take over the folder's plan, and refuse a folder that cannot be worked in."""
        plan, storage = self.folder / PLAN_FILE, self.folder / STORAGE_FILE
        if plan.exists():
            kept = Plan.read(plan)
            kept.check_same(self.plan, self.folder)
            self.plan = kept
            if not kept.storage and not storage.exists():
                self._check_complete(0)
        elif storage.exists():
            raise ConfigError(
                f"{self.folder}: holds a {STORAGE_FILE} but no {PLAN_FILE}; choose another --out"
            )

    def _connect(self) -> "optuna.storages.RDBStorage":
        import optuna
        from sqlalchemy.exc import ArgumentError

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        connect = {"timeout": WAIT_S} if self.url.startswith("sqlite") else {}
        try:
            return optuna.storages.RDBStorage(self.url, {"connect_args": connect})
        except (ArgumentError, ImportError) as error:
            raise ConfigError(
                f"--storage {self.place}: unknown, or its driver is not installed; for PostgreSQL "
                "write postgresql://user@host/name and pip install 'stainproof[postgresql]'"
            ) from error
        except RuntimeError as error:
            raise CheckpointError(f"{self.place}: made by another version of Optuna") from error

    def _open(self, storage: "optuna.storages.RDBStorage") -> "optuna.Study":
        import optuna

        return optuna.create_study(
            storage=storage,
            study_name=self.plan.name,
            directions=DIRECTIONS,
            load_if_exists=True,
        )

    def _check_complete(self, num_trials: int) -> None:
        """Refuse a storage that was swapped or emptied under its run folders."""
        names = [one.name for one in (self.folder / TRIALS_FOLDER).glob("*")]
        begun = [int(name) for name in names if name.isdecimal()]
        if begun and max(begun) >= num_trials:
            raise CheckpointError(
                f"{self.place}: holds {num_trials} trials of this search, but {self.folder} holds "
                f"the run of trial {max(begun)}; put the storage back or choose another --out"
            )

    def _take_over(self, trials: Sequence[Trial]) -> Taken | None:
        """Return a trial that runs without a process, if there is one."""
        for trial in trials:
            if trial.outcome != "running" or not (lock := self._claim(trial.number)):
                continue
            now = self._frozen(trial.number)
            starts = now.user_attrs["starts"]
            if not now.state.is_finished():
                if starts < MAX_STARTS:
                    self._set(trial.number, "starts", starts + 1)
                    return Taken(self._read(now), lock)
                reason = f"its process ended {starts} times before it did"
                self.end(trial.model_copy(update={"outcome": "failed", "reason": reason}))
            lock.release()
        return None

    def _begin(self, trials: Sequence[Trial]) -> Taken:
        from optuna.trial import FixedTrial, TrialState, create_trial

        drawn = FixedTrial(propose(trials, self.space, self.plan.seed, self.preset()))
        self.space.draw(drawn)
        self.study.add_trial(
            create_trial(
                state=TrialState.RUNNING,
                params=drawn.params,
                distributions=drawn.distributions,
                user_attrs={"starts": 1},
            )
        )
        lock = self._claim(len(trials))
        assert lock, "a new trial was claimed by another process"
        return Taken(self._read(self._frozen(len(trials))), lock)

    def _claim(self, number: int) -> "BaseFileLock | None":
        """Return the lock of a trial, or nothing where a live process holds it."""
        from filelock import FileLock, Timeout

        lock = FileLock(f"{self.run_folder(number)}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return None
        return lock

    def _frozen(self, number: int) -> "optuna.trial.FrozenTrial":
        return self.study.get_trials(deepcopy=False)[number]

    def _set(self, number: int, name: str, value: object) -> None:
        import optuna

        with storage_faults(self.place):
            running = optuna.trial.Trial(self.study, self._frozen(number)._trial_id)
            running.set_user_attr(name, value)

    def _read(self, frozen: "optuna.trial.FrozenTrial") -> Trial:
        from optuna.trial import FixedTrial

        try:
            drawn = self.space.draw(FixedTrial(frozen.params))
            return Trial.model_validate(
                {
                    **frozen.user_attrs.get("shown", {}),
                    "number": frozen.number,
                    "outcome": OUTCOMES[frozen.state.name],
                    "params": frozen.params,
                    "assignments": assignments(drawn),
                }
            )
        except (ValidationError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"{self.place}: trial {frozen.number} is none of this search"
            ) from error


OUTCOMES: dict[str, Literal["running", "finished", "stopped", "failed"]] = {
    "RUNNING": "running",
    "COMPLETE": "finished",
    "PRUNED": "stopped",
    "FAIL": "failed",
}
"""Optuna's state -> ours."""


@contextmanager
def storage_faults(place: str) -> Iterator[None]:
    """Turn what a database may complain of into one line that names it.

    Raises:
        StorageError: It cannot be reached, read or written.
    """
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        said = first_line(error.__cause__ or error)
        raise StorageError(f"{place}: not a storage that can be used ({said})") from error
