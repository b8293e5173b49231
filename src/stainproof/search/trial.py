"""One trial: a training with a time budget that is stopped early if it cannot reach the front."""

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from stainproof.data.splits import VAL
from stainproof.errors import CheckpointError, ConfigError
from stainproof.progress import silent
from stainproof.runs.history import EpochRecord
from stainproof.search.costs import measure_costs
from stainproof.search.propose import figures_of
from stainproof.search.queue import finish_training
from stainproof.search.results import Trial
from stainproof.search.study import SINGLE_THREADED, StorageError, Study
from stainproof.training.loop import Step
from stainproof.training.validation import selection_accuracy

MIN_FINISHED_TRIALS = 5
"""Number of finished trials from which the possible gain of a trial is estimated."""


class DivergedError(Exception):
    """The loss of a training is NaN or infinite."""


class PrunedError(Exception):
    """A trial would be dominated even with the largest gain ever observed."""


FAILURES = (DivergedError, ConfigError, CheckpointError, MemoryError, RuntimeError)
"""Exceptions that a trial's settings can cause; PyTorch reports a lack of memory as the last."""


def run_trial(
    study: Study,
    trial: Trial,
    source: str | Path,
    on_step: Callable[[Step], None] = lambda step: None,
) -> Trial:
    """Train or resume a trial and record its results.

    Args:
        study: The study of the trial.
        trial: The trial that this process has claimed.
        source: Training images.
        on_step: Called after every training step.

    Raises:
        DataError: The source cannot be read, or the folder cannot be written.
        StorageError: The storage cannot be used.
        KeyboardInterrupt: The training was interrupted; it can be resumed.
    """
    run = study.run_folder(trial.number)
    outcome, reason = "finished", ""
    try:
        config = study.config(trial, SINGLE_THREADED)
        if trial.latency_ms is None:
            num, latency_ms = measure_costs(config, len(study.plan.classes))
            trial = trial.model_copy(update={"num_parameters": num, "latency_ms": latency_ms})
            study.record(trial)
        watch = _Watch(study, trial, on_step)
        card = finish_training(run, source, config, silent, watch)
        num_val = sum(card.data.class_counts[VAL].values())
        trial = trial.model_copy(update={"num_val_images": num_val})
    except StorageError:
        raise
    except PrunedError as error:
        outcome, reason = "stopped", str(error)
    except FAILURES as error:
        outcome, reason = "failed", " ".join(f"{error}".split())[:300] or type(error).__name__
    results = {} if outcome == "failed" else _results(run.read_history())
    ended = trial.model_copy(update={"outcome": outcome, "reason": reason, **results})
    study.finish(ended)
    return ended


@dataclass
class _Watch:
    """Checks a training after every step, and its validation results after every epoch."""

    study: Study
    trial: Trial
    on_step: Callable[[Step], None]
    epoch: int = 0

    def __call__(self, step: Step) -> None:
        """Stop the training if it cannot be of use.

        Raises:
            DivergedError: The loss is NaN or infinite.
            PrunedError: Another trial dominates this one, whatever it may still gain.
        """
        self.on_step(step)
        if not math.isfinite(step.loss):
            raise DivergedError(f"the loss became {step.loss} in epoch {step.epoch}")
        if step.epoch != self.epoch:
            self.epoch = step.epoch
            self._check()

    def _check(self) -> None:
        history = self.study.run_folder(self.trial.number).read_history()
        if not history:
            return
        finished = [
            (other, self.study.run_folder(other.number).read_history())
            for other in self.study.trials()
            if other.outcome == "finished"
        ]
        better = find_dominating(self.trial, history, finished)
        if better:
            share = 100 * history[-1].elapsed_s / self.study.plan.budget_s
            raise PrunedError(
                f"pruned after {share:.0f} % of its time: trial {better.number}, no larger "
                "and no slower, stays more accurate even with the largest gain seen so far"
            )


def find_dominating(
    trial: Trial,
    history: Sequence[EpochRecord],
    finished: Sequence[tuple[Trial, Sequence[EpochRecord]]],
) -> Trial | None:
    """Return a finished trial that dominates this one even if it gains as much as any before.

    The largest gain that a finished trial made from the same time on is added to the trial's
    accuracy. If a trial that is no larger and no slower is still more accurate, this one is
    dominated.

    Args:
        trial: Its parameters and latency are known.
        history: Its epochs so far, at least one.
        finished: Trials to compare with, and their epochs.
    """
    elapsed_s = history[-1].elapsed_s
    gains = [
        _reached(epochs) - _reached(early)
        for _, epochs in finished
        if (early := [one for one in epochs if one.elapsed_s <= elapsed_s])
    ]
    if len(gains) < MIN_FINISHED_TRIALS:
        return None
    best_possible = _reached(history) + max(gains)
    accuracy, *own_costs = figures_of(trial.model_copy(update={"accuracy": best_possible}))
    for other, _ in finished:
        other_accuracy, *costs = figures_of(other)
        if other_accuracy > accuracy and all(map(operator.le, costs, own_costs)):
            return other
    return None


def _reached(history: Sequence[EpochRecord]) -> float:
    return max(map(selection_accuracy, history))


def _results(history: Sequence[EpochRecord]) -> dict[str, float | int | None]:
    """Return the fields of a trial that its history determines."""
    best = max(history, key=selection_accuracy)
    return {
        "accuracy": selection_accuracy(best),
        "val_accuracy": best.val_accuracy,
        "num_epochs": len(history),
        "minutes": history[-1].elapsed_s / 60,
    }
