"""Assignment of whole groups to a part of a split, stratified by class.

The chosen groups minimise the sum over classes of the squared difference between the part's share
of the class and the wanted share; a class that a part would lack although it has two groups counts
as a far larger difference.
"""

import numpy as np
from numpy.typing import NDArray

MAX_EXHAUSTIVE_GROUPS = 14
"""Up to this number of groups every assignment is tried."""
MAX_SWAP_GROUPS = 400
"""Up to this number of groups, exchanges of two groups are tried too."""
NUM_RANDOM_STARTS = 7
ABSENT_PENALTY = 100.0

Counts = NDArray[np.int64]


def choose_groups(counts: Counts, share: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Choose groups whose class counts are closest to a share of all images.

    Few groups are assigned by exhaustive search, more by local search from several starting points
    (moves and exchanges of groups until none improves the result).

    Args:
        counts: int64 (groups, classes): images of each class in each group.
        share: Wanted fraction of the images of each class, above 0 and below 1.
        rng: Random numbers for the order of equally good choices.

    Returns:
        int64, positions of the chosen groups, ascending.
    """
    cost = _Cost(counts, share)
    num = len(counts)
    if num <= MAX_EXHAUSTIVE_GROUPS:
        subsets = (np.arange(2**num)[:, None] >> rng.permutation(num) & 1).astype(bool)
        return np.flatnonzero(subsets[np.argmin(cost(subsets))])
    starts = [_greedy(cost, rng), *(rng.random((NUM_RANDOM_STARTS, num)) < share)]
    found = [_improve(cost, start) for start in starts]
    return np.flatnonzero(found[int(np.argmin([cost(one[None])[0] for one in found]))])


class _Cost:
    """The cost of subsets of groups."""

    def __init__(self, counts: Counts, share: float):
        self.counts = counts.astype(np.float64)
        self.totals = np.maximum(self.counts.sum(axis=0), 1.0)
        self.share = share
        self.divisible = (counts > 0).sum(axis=0) >= 2

    def __call__(self, chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return the cost of each subset, bool (subsets, groups)."""
        return self.of_counts(chosen @ self.counts)

    def of_counts(self, inside: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the cost for numbers of images inside, float64 (..., classes)."""
        cost = ((inside / self.totals - self.share) ** 2).sum(axis=-1)
        absent = self.divisible & ((inside <= 0) | (inside >= self.totals))
        result: NDArray[np.float64] = cost + ABSENT_PENALTY * absent.sum(axis=-1)
        return result


def _greedy(cost: _Cost, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Add groups in random order, large ones first, where that lowers the cost."""
    chosen = np.zeros(len(cost.counts), dtype=bool)
    order = rng.permutation(len(chosen))
    order = order[np.argsort(-cost.counts[order].sum(axis=1), kind="stable")]
    inside = np.zeros(cost.counts.shape[1])
    for group in order:
        with_it = inside + cost.counts[group]
        if cost.of_counts(with_it) < cost.of_counts(inside):
            chosen[group], inside = True, with_it
    return chosen


def _improve(cost: _Cost, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Move or exchange groups as long as that lowers the cost."""
    chosen = chosen.copy()
    inside = chosen @ cost.counts
    while True:
        signs = np.where(chosen, -1.0, 1.0)[:, None] * cost.counts
        costs = cost.of_counts(inside + signs)
        best, flips = float(costs.min()), [int(costs.argmin())]
        if len(chosen) <= MAX_SWAP_GROUPS:
            within, without = np.flatnonzero(chosen), np.flatnonzero(~chosen)
            for group in within:
                costs = cost.of_counts(inside - cost.counts[group] + cost.counts[without])
                if len(costs) and costs.min() < best:
                    best, flips = float(costs.min()), [int(group), int(without[costs.argmin()])]
        if best >= cost.of_counts(inside) - 1e-12:
            return chosen
        chosen[flips] ^= True
        inside = chosen @ cost.counts
