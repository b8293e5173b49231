"""Comparison of samplers on a synthetic response surface of the default search space.

python -m benchmarks.search.proposals [--seeds 6] [--trials 30]

No network is trained: the accuracy is a function of the settings (an optimum of size and of every
rate, a recipe that matters most, training noise). The table compares samplers on such a surface; it
does not show what a search on real images finds.
"""

import argparse
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import FixedTrial, create_trial

from benchmarks.common.page import made_on, write_section
from stainproof.config.presets import make_config
from stainproof.search import propose as proposing
from stainproof.search.ranges import Scalar
from stainproof.search.results import Trial
from stainproof.search.space import Space, assignments, read_space, study_in_memory

NOISE = 0.008
CEILING, FLOOR = 0.90, 0.74
"""Accuracies between which the volume under a front is taken."""
COSTS = ((13.0, 10.0), (-3.0, 7.0))
"""Of parameters and milliseconds: logarithm to base 2 where the volume begins, and its width."""
RECIPES = {"stainproof": 0.0, "randaugment": 0.12, "trivialaugment": 0.14, "augmix": 0.13}
OPTIMIZERS = {"adamw": 0.0, "muon": 0.01, "lion": 0.02, "sgd": 0.04}

Draws = dict[str, Scalar]
Run = list[Trial]


def costs(drawn: dict[str, Any]) -> tuple[int, float]:
    """Return parameters and milliseconds, roughly as the network would have."""
    channels, px, weights, ops = 3, 96, 0.0, 0.0
    for filters in drawn["network.stem"]:
        weights, ops = weights + 9 * channels * filters, ops + 9 * channels * filters * px**2
        channels, px = filters, px // 2
    units = drawn["network.blocks"] * drawn["network.units"]
    for filters in drawn["network.stages"]:
        for _ in range(units):
            share = 9.0 if drawn["network.unit"] == "conv" else 1.0
            weights, ops = (
                weights + share * channels * filters,
                ops + share * channels * filters * px**2,
            )
            channels = filters
        px //= 2
    hidden = drawn["network.hidden"]
    weights += channels * hidden + hidden * 8 if hidden else channels * 8
    return int(weights), 0.05 + ops / 1e8


def accuracy(drawn: dict[str, Any], params: Draws, rng: np.random.Generator) -> float:
    """Return the accuracy of a training, noise and all."""
    num, latency_ms = costs(drawn)
    size = np.log2(num / 150_000) / 2
    value = 0.86 - (0.035 if size < 0 else 0.02) * size**2 - 0.02 * np.log2(max(latency_ms, 1.0))
    value -= RECIPES[drawn["augment.recipe"]] + OPTIMIZERS[drawn["training.optimizer"]]
    value -= 0.4 * (float(params["training.learning_rate (0 to 1)"]) - 0.6) ** 2
    value -= 0.03 * (float(params["training.weight_decay (0 to 1)"]) - 0.5) ** 2
    value -= (
        0.06 * (drawn["augment.strength"] - 1) ** 2 + 0.08 * (drawn["network.dropout"] - 0.2) ** 2
    )
    value -= 0.01 * (not drawn["network.skip"]) + 0.03 * abs(drawn["training.start_scale"] - 0.6)
    return float(np.clip(value + NOISE * rng.normal(), 0.125, 1.0))


def by_sampler(make: Callable[[int], BaseSampler], num_objectives: int) -> Callable[..., Draws]:
    """Return a way to propose that asks one of Optuna's samplers."""

    def propose(trials: Run, space: Space, seed: int, preset: Draws) -> Draws:
        if not trials:
            return preset
        directions = proposing.DIRECTIONS[:num_objectives]
        study = study_in_memory(directions, make(1000 * seed + len(trials)))
        for one in trials:
            drawn = FixedTrial(one.params)
            space.draw(drawn)
            values = proposing.figures_of(one)[:num_objectives]
            study.add_trial(
                create_trial(values=values, params=one.params, distributions=drawn.distributions)
            )
        asked = study.ask()
        space.draw(asked)
        return asked.params

    return propose


def without_interest(*given: Any) -> Draws:
    """Propose as we do, but follow small and fast networks however inaccurate."""
    usual, proposing.ACCURACY_RANGE = proposing.ACCURACY_RANGE, 1.0
    try:
        return proposing.propose(*given)
    finally:
        proposing.ACCURACY_RANGE = usual


WAYS: dict[str, Callable[..., Draws]] = {
    "at random": by_sampler(lambda seed: RandomSampler(seed=seed), 3),
    "TPE, accuracy alone": by_sampler(lambda seed: TPESampler(seed=seed), 1),
    "TPE, all three": by_sampler(lambda seed: TPESampler(seed=seed), 3),
    "Gaussian process, accuracy alone": by_sampler(lambda seed: GPSampler(seed=seed), 1),
    "Gaussian process, all three": without_interest,
    "the same, within ten points of the best: ours": proposing.propose,
}


def search(propose: Callable[..., Draws], space: Space, num_trials: int, seed: int) -> Run:
    """Return the trials of a search on the made-up response."""
    rng = np.random.default_rng(seed)
    preset = space.coordinates_of(make_config())
    trials: Run = []
    for number in range(num_trials):
        params = propose(trials, space, seed, preset)
        drawn = space.draw(FixedTrial(params))
        num, latency_ms = costs(drawn)
        trials.append(
            Trial(
                number=number,
                outcome="finished",
                params=params,
                assignments=assignments(drawn),
                accuracy=accuracy(drawn, params, rng),
                num_parameters=num,
                latency_ms=latency_ms,
            )
        )
    return trials


def volume(trials: Run) -> float:
    """Return the share of the volume of interest that the trials dominate, by Monte Carlo."""
    points = np.random.default_rng(0).random((20_000, 3))
    dominated = np.zeros(len(points), dtype=bool)
    for one in trials:
        value, *own = proposing.figures_of(one)
        logs = [
            (np.log2(cost) - low) / width for cost, (low, width) in zip(own, COSTS, strict=True)
        ]
        corner = np.array([(CEILING - value) / (CEILING - FLOOR), *logs])
        dominated |= (points >= corner).all(axis=1)
    return float(dominated.mean())


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare the ways, seed by seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--trials", type=int, default=30)
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    space = read_space(None)
    text = [
        f"{options.trials} trials each, the first one the preset; mean and standard deviation over "
        f"{options.seeds} seeds. The response is made up (see the script); nothing was trained.\n",
        "| proposed | best accuracy | volume dominated | mean accuracy of the second half | "
        "seconds a proposal |\n|---|---|---|---|---|",
    ]
    for name, propose in WAYS.items():
        began = time.perf_counter()
        runs = [search(propose, space, options.trials, seed) for seed in range(options.seeds)]
        seconds = (time.perf_counter() - began) / options.seeds / options.trials
        best = [100 * max(proposing.figures_of(one)[0] for one in run) for run in runs]
        volumes = list(map(volume, runs))
        late = [100 * np.mean([one.accuracy for one in run[options.trials // 2 :]]) for run in runs]
        text.append(
            f"| {name} | {np.mean(best):.1f} ± {np.std(best, ddof=1):.1f} % "
            f"| {np.mean(volumes):.3f} ± {np.std(volumes, ddof=1):.3f} | {np.mean(late):.1f} % "
            f"| {seconds:.2f} |"
        )
        print(text[-1], flush=True)
    write_section("Ways to propose trials", "\n".join([*text, "", made_on()]))


if __name__ == "__main__":
    main()
