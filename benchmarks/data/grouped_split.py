"""Splits of whole patients: class shares of ours beside scikit-learn's and an exhaustive search.

python -m benchmarks.data.grouped_split [--repeats 1000]
"""

import argparse
import time
import warnings
from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from benchmarks.common.page import made_on, write_section
from stainproof.data.assignment import choose_groups

Counts = NDArray[np.int64]
Chosen = NDArray[np.bool_]

SHARE = 0.2
SIZES = ((4, 8), (9, 16), (17, 60), (100, 400))
"""Smallest and largest number of groups of a row."""
MAX_EXHAUSTIVE = 16
METHODS = ("ours", "StratifiedGroupKFold", "exhaustive search")


def random_counts(rng: np.random.Generator, num_groups: int) -> Counts:
    """Return the images of each of 2 to 8 classes in each group; groups differ in size and mix."""
    num_classes = int(rng.integers(2, 9))
    sizes = rng.integers(1, 80, (num_groups, 1))
    counts = rng.poisson(sizes * rng.dirichlet(np.ones(num_classes), num_groups))
    counts[:2] += 1  # every class has two groups
    counts[counts.sum(axis=1) == 0, 0] = 1  # and every group an image
    return np.asarray(counts, dtype=np.int64)


def ours(counts: Counts, seed: int) -> Chosen:
    """Return the groups that `stainproof` chooses for validation."""
    chosen = np.zeros(len(counts), dtype=bool)
    chosen[choose_groups(counts, SHARE, np.random.default_rng(seed))] = True
    return chosen


def stratified_group_k_fold(counts: Counts, seed: int) -> Chosen:
    """Return the first of five folds of scikit-learn, as its documentation uses it."""
    groups = np.repeat(np.arange(len(counts)), counts.sum(axis=1))
    labels = np.concatenate([np.repeat(np.arange(counts.shape[1]), row) for row in counts])
    folds = StratifiedGroupKFold(round(1 / SHARE), shuffle=True, random_state=seed)
    chosen = np.zeros(len(counts), dtype=bool)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # classes with fewer images than folds
        _, held = next(iter(folds.split(labels, labels, groups)))
    chosen[np.unique(groups[held])] = True
    return chosen


def exhaustive(counts: Counts) -> Chosen:
    """Return the best of all assignments that leave every class in both parts."""
    subsets = np.array(list(product([False, True], repeat=len(counts))))
    inside = subsets @ counts
    totals = counts.sum(axis=0)
    absent = ((inside == 0) | (inside == totals)).any(axis=1)
    differences = ((inside / totals - SHARE) ** 2).sum(axis=1)
    best: Chosen = subsets[np.argmin(differences + 100 * absent)]
    return best


def largest_difference(counts: Counts, chosen: Chosen) -> float:
    """Return the largest difference of a class's share from the wanted one, in points."""
    return float(100 * np.abs((chosen @ counts) / counts.sum(axis=0) - SHARE).max())


def lacks_a_class(counts: Counts, chosen: Chosen) -> bool:
    """Return whether a class is missing in training or in validation."""
    inside = chosen @ counts
    return bool(((inside == 0) | (inside == counts.sum(axis=0))).any())


def table_rows(low: int, high: int, repeats: int) -> list[str]:
    """Return a row for each method over random group structures."""
    rng = np.random.default_rng(low)
    sets = [random_counts(rng, int(rng.integers(low, high + 1))) for _ in range(repeats)]
    methods: dict[str, Callable[[Counts, int], Chosen]] = {
        METHODS[0]: ours,
        METHODS[1]: stratified_group_k_fold,
    }
    if high <= MAX_EXHAUSTIVE:
        methods[METHODS[2]] = lambda counts, seed: exhaustive(counts)
    rows = []
    for name, method in methods.items():
        usable = [(seed, one) for seed, one in enumerate(sets) if len(one) >= round(1 / SHARE)]
        began = time.perf_counter()
        chosen = [(one, method(one, seed)) for seed, one in usable]
        each_ms = 1000 * (time.perf_counter() - began) / len(usable)
        off = np.array([largest_difference(*one) for one in chosen])
        absent = sum(lacks_a_class(*one) for one in chosen)
        rows.append(
            f"| {low} to {high} | {name} | {len(usable):,} | {np.median(off):.1f} "
            f"| {np.quantile(off, 0.95):.1f} | {absent} | {each_ms:.1f} |"
        )
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write the section of the results page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=1000)
    options = parser.parse_args(arguments)
    rows = [row for low, high in SIZES for row in table_rows(low, high, options.repeats)]
    head = (
        "| groups | method | sets | largest difference of a class's share from 20 %: median "
        "| 95th percentile | sets with a class missing in a part | ms |",
        "|---|---|---|---|---|---|---|",
    )
    note = (
        "Random sets of 2 to 8 classes whose patients differ in size and mix of classes; whole "
        "patients are held out for validation, 20 % of each class wanted. Differences in points; "
        "sets with fewer than five groups are left out, since scikit-learn needs one a fold."
    )
    write_section("grouped_split", "\n".join((note, "", *head, *rows, "", made_on())))


if __name__ == "__main__":
    main()
