"""Trials of a search: storage, claims by processes, and the next trial.

The trials are rows of an Optuna study, in SQLite beside the run folders or in a database that
`--storage` names. The process that runs a trial holds its lock file. The operating system frees the
lock when the process ends, also after a crash, so a running trial without a lock was interrupted,
and the next process that looks for work resumes it.
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
SINGLE_THREADED = "training.threads=1"
"""Makes trials comparable, however many of them run at once."""
MAX_STARTS = 3
"""A trial that crashed its process this often has failed."""
NUM_FAILED = 5
"""The search stops if this many trials fail before the first one finishes."""
WAIT_S = 60
"""Timeout for a SQLite database that other processes write to."""


class StorageError(CheckpointError):
    """The database of the trials cannot be used; this is not the fault of a trial."""


@dataclass(frozen=True)
class ClaimedTrial:
    """A trial that this process runs."""

    trial: Trial
    lock: "BaseFileLock"
    """Held until the trial has ended."""


class Study:
    """The trials of a search, shared by all processes that work on it."""

    def __init__(self, folder: Path, plan: Plan, url: str):
        """Open the search in a folder, or create it.

        Args:
            folder: Of the search.
            plan: Plan of the search; an existing folder keeps its own name and storage.
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
                self.storage = storage or self._connect()
                self.study = self._open(self.storage)
                self._check_complete(len(self.trials()))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock for choosing trials and writing results."""
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
        """Return the parameters of the preset's settings; None if they lie outside the space."""
        return self.space.coordinates_of(make_config(assignments=self.plan.fixed))

    def config(self, trial: Trial, *shared: str) -> Config:
        """Return the settings of a trial.

        Args:
            trial: Its assignments come last.
            shared: Assignments before the fixed ones.

        Raises:
            ConfigError: They are invalid together.
        """
        return make_config(
            seed=self.plan.seed,
            budget_s=self.plan.budget_s,
            assignments=(*shared, *self.plan.fixed, *trial.assignments),
        )

    def claim(self, num_trials: int) -> ClaimedTrial | None:
        """Claim a trial to run: an interrupted one, or else a new one.

        Args:
            num_trials: Total number of trials; None is returned when all are claimed.

        Raises:
            ConfigError: The first trials all failed.
        """
        with self.locked(), storage_faults(self.place):
            trials = self.trials()
            claimed = self._resume(trials)
            if claimed or len(trials) >= num_trials:
                return claimed
            failed = [one for one in trials if one.outcome == "failed"]
            if len(failed) == len(trials) >= NUM_FAILED:
                raise ConfigError(
                    f"{self.folder}: the first {len(failed)} trials failed; the last: "
                    f"{failed[-1].reason}"
                )
            return self._create(trials)

    def record(self, trial: Trial) -> None:
        """Store the results of a running trial so far."""
        results = trial.model_dump(exclude={"number", "outcome", "params", "assignments"})
        self._set(trial.number, "results", results)

    def finish(self, trial: Trial) -> None:
        """Store the results and the outcome of a trial that has ended."""
        from optuna.trial import TrialState

        self.record(trial)
        with storage_faults(self.place):
            if trial.outcome == "finished":
                self.study.tell(trial.number, list(figures_of(trial)))
            else:
                state = {"stopped": TrialState.PRUNED, "failed": TrialState.FAIL}
                self.study.tell(trial.number, state=state[trial.outcome])

    def release(self, number: int) -> None:
        """Record that a trial was interrupted without a crash, to be resumed."""
        self._set(number, "starts", self._frozen(number).user_attrs["starts"] - 1)

    def _check_folder(self) -> None:
        """Use the folder's plan if it has one, and refuse a folder that cannot be used."""
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
        """Refuse a storage that lacks the trials of the run folders."""
        names = [one.name for one in (self.folder / TRIALS_FOLDER).glob("*")]
        started = [int(name) for name in names if name.isdecimal()]
        if started and max(started) >= num_trials:
            raise CheckpointError(
                f"{self.place}: holds {num_trials} trials of this search, but {self.folder} holds "
                f"the run of trial {max(started)}; put the storage back or choose another --out"
            )

    def _resume(self, trials: Sequence[Trial]) -> ClaimedTrial | None:
        """Claim a running trial whose process has ended, if there is one."""
        for trial in trials:
            if trial.outcome != "running" or not (lock := self._claim(trial.number)):
                continue
            frozen = self._frozen(trial.number)
            starts = frozen.user_attrs["starts"]
            if not frozen.state.is_finished():
                if starts < MAX_STARTS:
                    self._set(trial.number, "starts", starts + 1)
                    return ClaimedTrial(self._read(frozen), lock)
                reason = f"its process crashed {starts} times"
                self.finish(trial.model_copy(update={"outcome": "failed", "reason": reason}))
            lock.release()
        return None

    def _create(self, trials: Sequence[Trial]) -> ClaimedTrial:
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
        return ClaimedTrial(self._read(self._frozen(len(trials))), lock)

    def _claim(self, number: int) -> "BaseFileLock | None":
        """Return the lock of a trial; None if a live process holds it."""
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
        with storage_faults(self.place):
            study_id = self.storage.get_study_id_from_name(self.plan.name)
            trial_id = self.storage.get_trial_id_from_study_id_trial_number(study_id, number)
            self.storage.set_trial_user_attr(trial_id, name, value)

    def _read(self, frozen: "optuna.trial.FrozenTrial") -> Trial:
        from optuna.trial import FixedTrial

        try:
            drawn = self.space.draw(FixedTrial(frozen.params))
            return Trial.model_validate(
                {
                    **frozen.user_attrs.get("results", {}),
                    "number": frozen.number,
                    "outcome": OUTCOMES[frozen.state.name],
                    "params": frozen.params,
                    "assignments": assignments(drawn),
                }
            )
        except (ValidationError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"{self.place}: trial {frozen.number} does not belong to this search"
            ) from error


OUTCOMES: dict[str, Literal["running", "finished", "stopped", "failed"]] = {
    "RUNNING": "running",
    "COMPLETE": "finished",
    "PRUNED": "stopped",
    "FAIL": "failed",
}
"""State in Optuna -> outcome."""


@contextmanager
def storage_faults(place: str) -> Iterator[None]:
    """Turn the errors of a database into one line that names it.

    Raises:
        StorageError: It cannot be reached, read or written.
    """
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        reason = first_line(error.__cause__ or error)
        raise StorageError(f"{place}: not a storage that can be used ({reason})") from error
