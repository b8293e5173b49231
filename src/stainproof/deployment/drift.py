"""Drift: two-sample tests of new images against held-out home cells."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.stats import ks_2samp

from stainproof.deployment.properties import PROPERTIES
from stainproof.deployment.result import Drift, DriftTest

NUM_COMPONENTS = 10
NUM_PERMUTATIONS = 499
MAX_CELLS = 500
"""Cells of each side in the test of all features together."""
FEATURES = "features"
Floats = NDArray[np.float32]


def find_drift(
    home: Floats,
    new: Floats,
    home_properties: Floats,
    new_properties: Floats,
    seed: int,
    num_permutations: int = NUM_PERMUTATIONS,
) -> Drift:
    """Test features and measured properties.

    Maximum mean discrepancy with permutations on the leading principal components (Gretton et al.
    2012), Kolmogorov-Smirnov on each component and each property, Holm's correction over all
    (Rabanser et al. 2019, "Failing Loudly"). Another class mix is a drift too.

    Args:
        home: Features of home cells, float32 (N, d).
        new: Features of the new images, float32 (n, d).
        home_properties: float32 (N, p), see `properties.PROPERTIES`.
        new_properties: float32 (n, p).
        seed: Seed of subsets and permutations.
        num_permutations: Number of permutations of the test of all features.
    """
    rng = np.random.default_rng(seed)
    home_components, new_components = _components(home, new)
    p_value, discrepancy = _mmd(home_components, new_components, rng, num_permutations)
    names, p_values, shifts = [FEATURES], [p_value], [discrepancy]
    for name, ours, theirs in (
        *_columns("component {}", home_components, new_components),
        *_columns("{}", home_properties, new_properties),
    ):
        names.append(name)
        p_values.append(float(ks_2samp(ours, theirs).pvalue))
        spread = max(float(ours.std()), 1e-6)
        shifts.append(float(np.median(theirs) - np.median(ours)) / spread)
    tests = [
        DriftTest(name=name, p_value=p, shift=shift)
        for name, p, shift in zip(names, holm(p_values), shifts, strict=True)
    ]
    tests.sort(key=lambda test: (test.p_value, -abs(test.shift)))
    return Drift(p_value=tests[0].p_value, num_images=len(new), tests=tuple(tests))


def holm(p_values: list[float]) -> list[float]:
    """Return p-values corrected for their number (Holm 1979), in their order."""
    order = np.argsort(p_values)
    num = len(p_values)
    scaled = [min(1.0, (num - rank) * p_values[index]) for rank, index in enumerate(order)]
    corrected = np.empty(num)
    corrected[order] = np.maximum.accumulate(scaled)
    return corrected.tolist()


def _columns(name: str, home: Floats, new: Floats) -> Iterator[tuple[str, Floats, Floats]]:
    for index in range(home.shape[1]):
        label = PROPERTIES[index] if name == "{}" else name.format(index + 1)
        yield label, home[:, index], new[:, index]


def _components(home: Floats, new: Floats) -> tuple[Floats, Floats]:
    """Return both on the leading principal components of the home cells, scaled to variance 1."""
    mean = home.mean(axis=0)
    _, strengths, axes = np.linalg.svd(home - mean, full_matrices=False)
    num = min(NUM_COMPONENTS, len(axes))
    scale = np.maximum(strengths[:num] / np.sqrt(len(home)), 1e-6)
    ours, theirs = ((side - mean) @ axes[:num].T / scale for side in (home, new))
    return ours.astype(np.float32), theirs.astype(np.float32)


def _mmd(home: Floats, new: Floats, rng: np.random.Generator, num: int) -> tuple[float, float]:
    """Return p-value and unbiased squared maximum mean discrepancy, Gaussian kernel."""
    sides = [
        one[rng.choice(len(one), min(len(one), MAX_CELLS), replace=False)] for one in (home, new)
    ]
    squared = cdist(np.concatenate(sides), np.concatenate(sides), "sqeuclidean")
    kernel = np.exp(-squared / max(float(np.median(squared)), 1e-9))
    np.fill_diagonal(kernel, 0)
    first, second = map(len, sides)
    if min(first, second) < 2:
        return 1.0, 0.0

    def discrepancies(is_new: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the discrepancy for each row of indicators (k, N + n)."""
        to_new = is_new @ kernel
        within_new = (to_new * is_new).sum(axis=1)
        between = (to_new * (1 - is_new)).sum(axis=1)
        within_home = kernel.sum() - within_new - 2 * between
        return np.asarray(
            within_home / (first * (first - 1))
            + within_new / (second * (second - 1))
            - 2 * between / (first * second)
        )

    indicator = np.repeat([0.0, 1.0], [first, second])
    observed = float(discrepancies(indicator[None])[0])
    shuffled = discrepancies(rng.permuted(np.tile(indicator, (num, 1)), axis=1))
    return float((1 + (shuffled >= observed).sum()) / (1 + num)), observed
