"""Assignment of whole groups: compared with an exhaustive search."""

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from stainproof.config.schema import SplitConfig
from stainproof.data import assignment
from stainproof.data.assignment import choose_groups
from stainproof.data.splits import TRAIN, VAL, make_split
from tests.common.cells import make_dataset


def random_counts(rng: np.random.Generator, num_groups: int) -> NDArray[np.int64]:
    """Return images of each class in each group: uneven groups, classes missing in some."""
    num_classes = int(rng.integers(2, 5))
    sizes = rng.integers(1, 40, (num_groups, 1))
    counts = rng.poisson(sizes * rng.dirichlet(np.ones(num_classes), num_groups))
    counts[np.arange(num_groups), rng.integers(0, num_classes, num_groups)] += 1
    counts[:2] += 1
    return counts.astype(np.int64)


def largest_difference(counts: NDArray[np.int64], chosen: NDArray[np.bool_], share: float) -> float:
    """Return the root of the sum over classes of squared differences of shares."""
    return float(np.sqrt((((chosen @ counts) / counts.sum(0) - share) ** 2).sum()))


def best_possible(counts: NDArray[np.int64], share: float) -> float:
    """Return the smallest difference over all subsets that leave every class in both parts."""
    subsets = np.array(list(product([False, True], repeat=len(counts))))
    inside = subsets @ counts
    valid = ((inside > 0) & (inside < counts.sum(0))).all(axis=1)
    shares = inside[valid] / counts.sum(0)
    return float(np.sqrt(((shares - share) ** 2).sum(axis=1).min()))


@pytest.mark.parametrize("exhaustive", [True, False])
def test_the_choice_is_within_what_an_exhaustive_search_finds(
    exhaustive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not exhaustive:
        monkeypatch.setattr(assignment, "MAX_EXHAUSTIVE_GROUPS", 0)
    rng = np.random.default_rng(int(exhaustive))
    excess = []
    for _ in range(150):
        counts = random_counts(rng, int(rng.integers(3, 11)))
        share = float(rng.choice([0.1, 0.2, 0.3, 0.5]))
        chosen = np.zeros(len(counts), dtype=bool)
        chosen[choose_groups(counts, share, rng)] = True
        excess.append(largest_difference(counts, chosen, share) - best_possible(counts, share))
    assert max(excess) < (1e-9 if exhaustive else 0.05)
    assert np.mean(np.array(excess) < 1e-9) > 0.9


@pytest.mark.parametrize("num", [50, pytest.param(1000, marks=pytest.mark.slow)])
def test_random_group_structures_are_never_split_and_stay_balanced(num: int) -> None:
    rng = np.random.default_rng(2)
    far = []
    for seed in range(num):
        counts = random_counts(rng, int(rng.integers(2, 40)))[:, :3]
        counts = np.pad(counts, ((0, 0), (0, 3 - counts.shape[1])))
        groups = np.repeat(np.arange(len(counts)), counts.sum(axis=1))
        labels = np.concatenate([np.repeat(np.arange(3), row) for row in counts])
        split = make_split(make_dataset(labels, groups=groups), SplitConfig(val_fraction=0.2), seed)
        parts_of = {(group, part) for group, part in zip(groups, split.parts, strict=True)}
        assert len(parts_of) == len(set(groups.tolist()))
        totals = counts.sum(axis=0)
        held = np.bincount(labels[split.parts == VAL], minlength=3)
        assert ((held > 0) & (held < totals) | (totals == 0)).all()
        assert set(split.parts) == {TRAIN, VAL}
        if len(counts) >= 20:
            far.append(np.abs(held / np.maximum(totals, 1) - 0.2)[totals > 0].max())
    assert np.quantile(far, 0.95) < 0.05


def test_many_groups_are_assigned_fast_and_well() -> None:
    counts = random_counts(np.random.default_rng(3), 2000)
    chosen = np.zeros(2000, dtype=bool)
    chosen[choose_groups(counts, 0.2, np.random.default_rng(0))] = True
    assert largest_difference(counts, chosen, 0.2) < 0.005


def test_what_cannot_be_balanced_is_said() -> None:
    labels = np.repeat([0, 1, 2, 0, 1, 2], [90, 5, 50, 10, 95, 50])
    groups = np.repeat(["a", "b"], [145, 155])
    split = make_split(make_dataset(labels, groups=groups), SplitConfig(val_fraction=0.2), 0)
    assert "2 patients or slides, none shared between splits" in split.notes
    assert "no better: basophil" in split.notes[-1]
