"""Sets of images with a known accuracy, drawn from home cells and their distorted copies."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SIZES = (40, 200)
"""Smallest and largest number of cells of a set."""
MAX_DISTORTIONS = 3
"""Distortions in one set."""
HOME_SHARES = (0.0, 0.0, 0.3, 0.6, 1.0)
"""Shares of undistorted cells, one drawn for each set."""
SKEW = 0.5
"""Of the Dirichlet distribution of the class mix, in every second set; the others keep it."""
HOME = -1
"""Takes the place of a distortion's number for undistorted cells."""


@dataclass(frozen=True)
class Cells:
    """What a network answers for n labelled cells."""

    scores: Floats
    """float64 (n, 6), see `expected_accuracy.cell_scores`."""
    is_right: NDArray[np.bool_]
    """bool (n,)."""
    labels: NDArray[np.int64]
    """int64 (n,)."""
    distortions: NDArray[np.int64]
    """int64 (n,): number of the distortion, or `HOME`."""

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: NDArray[np.int64] | NDArray[np.bool_]) -> "Cells":
        """Return the cells at these positions."""
        return Cells(
            self.scores[indices],
            self.is_right[indices],
            self.labels[indices],
            self.distortions[indices],
        )

    def simulate(self, num: int, rng: np.random.Generator) -> Iterator["Cells"]:
        """Draw sets: one to three distortions, a share of undistorted cells, any class mix.

        Args:
            num: Number of sets.
            rng: Random generator.
        """
        by_number = {
            int(number): np.flatnonzero(self.distortions == number)
            for number in np.unique(self.distortions)
        }
        home = by_number.pop(HOME)
        numbers = list(by_number)
        for _ in range(num):
            chosen = rng.choice(numbers, int(rng.integers(1, MAX_DISTORTIONS + 1)))
            distorted = np.concatenate([by_number[int(number)] for number in chosen])
            size, share = int(rng.integers(*SIZES)), float(rng.choice(HOME_SHARES))
            weights = np.ones(self.labels.max() + 1)
            if rng.random() < 0.5:
                weights = rng.dirichlet(np.full(len(weights), SKEW)) + 1e-4
            num_home = round(share * size)
            yield self.subset(
                np.concatenate(
                    [
                        self._draw(distorted, size - num_home, weights, rng),
                        self._draw(home, num_home, weights, rng),
                    ]
                )
            )

    def _draw(
        self, positions: NDArray[np.int64], num: int, weights: Floats, rng: np.random.Generator
    ) -> NDArray[np.int64]:
        chances = weights[self.labels[positions]]
        return rng.choice(positions, num, p=chances / chances.sum())
