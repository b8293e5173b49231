"""The sampler: a Gaussian process over all trials proposes the next; Pareto front; importances."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from stainproof.search.ranges import Scalar
from stainproof.search.results import Trial
from stainproof.search.space import Space, study_in_memory

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

DIRECTIONS: tuple[Literal["minimize", "maximize"], ...] = ("maximize", "minimize", "minimize")
"""Directions of accuracy, parameters and latency."""
NUM_RANDOM = 8
"""Number of random trials before the Gaussian process."""
ACCURACY_RANGE = 0.1
"""The sampler ignores networks whose accuracy is this much below the best, however small and fast.
"""
SAME_LATENCY = 1.05
"""Latencies within this factor count as equal; repeated measurements differ by up to 4 %."""
MIN_TRIALS_FOR_IMPORTANCES = 12
"""Minimum number of trials; with fewer, importances would be noise."""


def propose(
    trials: Sequence[Trial], space: Space, seed: int, preset: dict[str, Scalar] | None = None
) -> dict[str, Scalar]:
    """Return the parameters of the next trial.

    The result depends on the trials and the seed only, so a resumed search continues as it would
    have. Accuracy, parameters and latency each have a Gaussian process; the proposal maximises the
    expected hypervolume improvement of the Pareto front (Daulton et al. 2020, "Differentiable
    Expected Hypervolume Improvement"), given the running trials.

    Args:
        trials: All trials, running ones too.
        space: The search space.
        seed: Seed of the search.
        preset: Parameters of the first trial, if the preset lies in the space.
    """
    from optuna.samplers import GPSampler

    number = len(trials)
    if preset and not number:
        return preset
    state = np.random.SeedSequence([seed, number]).generate_state(1)
    sampler = GPSampler(
        seed=int(state[0]), n_startup_trials=NUM_RANDOM, warn_independent_sampling=False
    )
    study = study_in_memory(DIRECTIONS, sampler)
    study.add_trials(_as_seen(trials, space))
    asked = study.ask()
    space.draw(asked)
    return space.settle(asked.params)


def front(trials: Sequence[Trial]) -> tuple[int, ...]:
    """Return the numbers of the finished trials on the Pareto front, the most accurate first.

    A trial is on the front if no other is at least as accurate, as small and as fast, and better in
    one of the three. Latencies within the measurement error count as equal.
    """
    figures = {one.number: figures_of(one) for one in trials if one.outcome == "finished"}
    kept = [
        number
        for number, own in figures.items()
        if not any(_beats(other, own) for other in figures.values())
    ]
    return tuple(sorted(kept, key=lambda number: (-figures[number][0], figures[number])))


def figures_of(trial: Trial) -> tuple[float, int, float]:
    """Return accuracy, parameters and latency of a finished trial."""
    accuracy, num_parameters, latency_ms = trial.accuracy, trial.num_parameters, trial.latency_ms
    assert accuracy is not None and num_parameters is not None and latency_ms is not None
    return accuracy, num_parameters, latency_ms


def _beats(other: tuple[float, int, float], own: tuple[float, int, float]) -> bool:
    no_slower, faster = other[2] <= own[2] * SAME_LATENCY, other[2] * SAME_LATENCY < own[2]
    as_good = other[0] >= own[0] and other[1] <= own[1] and no_slower
    return as_good and (other[0] > own[0] or other[1] < own[1] or faster)


def importances(trials: Sequence[Trial], space: Space) -> dict[str, float]:
    """Return each parameter's share of the variance of accuracy, the largest first.

    Functional ANOVA of a random forest (Hutter et al. 2014). Empty if there are too few trials, or
    if all have the same accuracy.
    """
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances
    from optuna.trial import create_trial

    seen = [one for one in _as_seen(trials, space) if one.values]
    if len(seen) < MIN_TRIALS_FOR_IMPORTANCES or len({one.values[0] for one in seen}) == 1:
        return {}
    study = study_in_memory(["maximize"])
    for one in seen:
        study.add_trial(
            create_trial(value=one.values[0], params=one.params, distributions=one.distributions)
        )
    shares = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))
    return {name: float(share) for name, share in shares.items()}


def _as_seen(trials: Sequence[Trial], space: Space) -> "list[FrozenTrial]":
    """Return the trials as the sampler sees them.

    A stopped trial counts with its accuracy so far, a failed one with the worst accuracy, so that
    the sampler does not propose similar ones again. Trials that failed before any measurement are
    left out.
    """
    from optuna.trial import FixedTrial, TrialState, create_trial

    known = [one.accuracy for one in trials if one.accuracy is not None]
    best, worst = (max(known), min(known)) if known else (0.0, 0.0)
    seen = []
    for one in trials:
        fixed = FixedTrial(one.params)
        space.draw(fixed)
        common: dict[str, Any] = {"params": one.params, "distributions": fixed.distributions}
        if one.outcome == "running":
            seen.append(create_trial(state=TrialState.RUNNING, **common))
        elif known and one.num_parameters and one.latency_ms:
            accuracy = worst if one.accuracy is None else one.accuracy
            seen.append(
                create_trial(
                    values=[accuracy, one.num_parameters, one.latency_ms],
                    constraints={"of interest": best - ACCURACY_RANGE - accuracy},
                    **common,
                )
            )
    return seen
