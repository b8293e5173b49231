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


def test_the_cost_is_the_squared_difference_of_shares() -> None:
    """Class 1 is in one group only, so no choice can leave it in both parts; class 2 is absent."""
    counts = np.array([[4, 0, 0], [4, 2, 0], [2, 0, 0]])
    cost = assignment._Cost(counts, 0.4)
    subsets = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 1], [0, 0, 0], [1, 1, 1]], dtype=bool)
    absent = 0.4**2
    assert cost(subsets) == pytest.approx(
        np.array([0.0**2 + 0.4**2, 0.6**2, 0.2**2 + 0.4**2, 0.4**2 * 2 + 100, 0.6**2 * 2 + 100])
        + absent
    )


def test_every_class_that_can_be_in_both_parts_and_is_not_costs_once() -> None:
    cost = assignment._Cost(np.array([[5, 0], [5, 1], [0, 9]]), 0.5)
    subsets = np.array([[0, 0, 1], [1, 1, 1], [1, 0, 0]], dtype=bool)
    assert cost(subsets) == pytest.approx([0.25 + 0.16 + 100, 0.5 + 200, 0.25 + 100])


def test_large_groups_are_added_first() -> None:
    """4 of 10 images are wanted: the group of 6 is nearest, and none is added to it."""
    cost = assignment._Cost(np.array([[1], [6], [3]]), 0.4)
    for seed in range(6):
        chosen = assignment._greedy(cost, np.random.default_rng(seed))
        assert chosen.tolist() == [False, True, False]


def test_groups_are_added_as_long_as_that_lowers_the_cost() -> None:
    """5 of 10 images are wanted: 4 and 1, and 2 between them is too many."""
    cost = assignment._Cost(np.array([[4], [2], [1], [3]]), 0.5)
    for seed in range(6):
        chosen = assignment._greedy(cost, np.random.default_rng(seed))
        assert chosen.tolist() == [True, False, True, False]


@pytest.mark.parametrize(
    ("max_swap_groups", "improved"), [(3, [True, False, False]), (2, [False, True, False])]
)
def test_two_groups_are_exchanged_if_there_are_not_too_many(
    max_swap_groups: int, improved: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """3 of 12 images are wanted: no group can be moved from {5}, but 3 can take its place."""
    monkeypatch.setattr(assignment, "MAX_SWAP_GROUPS", max_swap_groups)
    cost, start = assignment._Cost(np.array([[3], [5], [4]]), 0.25), np.array([False, True, False])
    assert assignment._improve(cost, start).tolist() == improved
    assert start.tolist() == [False, True, False]


def test_a_group_is_removed_if_that_alone_lowers_the_cost() -> None:
    """6 of 20 images are wanted: from {4, 6} the group of 4 leaves."""
    cost = assignment._Cost(np.array([[10], [4], [6]]), 0.3)
    found = assignment._improve(cost, np.array([False, True, True]))
    assert found.tolist() == [False, False, True]


def test_moves_and_exchanges_go_on_until_none_improves() -> None:
    """6 of 20 images are wanted; from all groups, 9, 5 and then 4 leave, and 2 alone can be met."""
    cost = assignment._Cost(np.array([[9], [5], [4], [2]]), 0.3)
    found = assignment._improve(cost, np.ones(4, dtype=bool))
    assert cost(found[None])[0] == pytest.approx(0)
    assert found.tolist() == [False, False, True, True]


@pytest.mark.parametrize("num_groups", [14, 15])
def test_the_chosen_groups_are_ascending_positions(num_groups: int) -> None:
    chosen = choose_groups(np.ones((num_groups, 1), dtype=int), 0.4, np.random.default_rng(0))
    assert chosen.dtype == np.int64
    assert len(chosen) == 6
    assert sorted(set(chosen.tolist())) == chosen.tolist()


def test_the_choice_depends_on_the_seed_and_on_nothing_else() -> None:
    counts = np.ones((30, 1), dtype=np.int64)
    first, again, other = (
        choose_groups(counts, 0.3, np.random.default_rng(seed)).tolist() for seed in (0, 0, 1)
    )
    assert first == again != other
