import tomllib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stainproof.search.propose import front, importances, propose
from stainproof.search.ranges import Scalar
from stainproof.search.space import (
    DEFAULT_FILE,
    Space,
    parse_space,
)
from tests.common.trials import SMALL, make_trial


@pytest.fixture(scope="module")
def default_space() -> Space:
    return parse_space(tomllib.loads(DEFAULT_FILE.read_text()))


figures = st.tuples(
    st.sampled_from([0.1, 0.2, 0.3]), st.integers(1, 3), st.sampled_from([1.0, 2.0, 4.0])
)


@given(st.lists(figures, min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_the_front_holds_what_nothing_beats(rows: Any) -> None:
    trials = [make_trial(number, *row) for number, row in enumerate(rows)]
    kept = front(trials)

    def beats(a: Any, b: Any) -> Any:
        return a != b and a[0] >= b[0] and a[1] <= b[1] and a[2] <= b[2]

    expected = {i for i, own in enumerate(rows) if not any(beats(other, own) for other in rows)}
    assert set(kept) == expected
    accuracies = [rows[number][0] for number in kept]
    assert accuracies == sorted(accuracies, reverse=True)


def test_on_the_front_a_latency_within_the_noise_is_no_merit() -> None:
    trials = [make_trial(0, 0.8, 1000, 1.00), make_trial(1, 0.7, 1000, 0.98)]
    assert front(trials) == (0,)
    assert front([*trials, make_trial(2, 0.7, 1000, 0.5)]) == (0, 2)


def test_only_finished_trials_are_on_the_front() -> None:
    stopped = make_trial(0, 0.9, outcome="stopped")
    running = make_trial(1, None, None, None, outcome="running")
    assert front([stopped, running, make_trial(2)]) == (2,)
    assert front([]) == ()


def test_the_same_trials_and_seed_propose_the_same_and_the_preset_comes_first() -> None:
    preset: dict[str, Scalar] = {
        "network.dropout": 0.25,
        "training.epochs": 3,
        "augment.recipe": "none",
    }
    assert propose([], SMALL, 0, preset) == preset
    trials = [make_trial(number, 0.5 + number / 50, 1000 + number) for number in range(10)]
    assert propose(trials, SMALL, 0) == propose(trials, SMALL, 0)
    assert propose(trials, SMALL, 0) != propose(trials, SMALL, 1)
    assert propose(trials[:4], SMALL, 0) != propose(trials[:5], SMALL, 0)


def test_proposals_go_where_trials_did_well_and_leave_where_they_failed() -> None:
    def showed(number: Any, dropout: Any) -> Any:
        one = make_trial(number, 0.9 - abs(dropout - 0.3))
        params = {**one.params, "network.dropout": dropout, "augment.recipe": "none"}
        failed = {"outcome": "failed", "accuracy": None} if dropout > 0.6 else {}
        return one.model_copy(update={"params": params, **failed})

    trials = [showed(number, dropout) for number, dropout in enumerate(np.linspace(0, 0.9, 14))]
    proposed = [float(propose(trials, SMALL, seed)["network.dropout"]) for seed in range(4)]
    assert max(proposed) < 0.6
    assert np.median(np.abs(np.array(proposed) - 0.3)) < 0.2


def test_inactive_settings_are_proposed_at_their_defaults(default_space: Space) -> None:
    lengths = set()
    for seed in range(8):
        names = propose([], default_space, seed)
        lengths.add(names["len(network.stages)"])
        if names["len(network.stages)"] == 1:
            assert names["network.stages[1]"] == 96
        if names["len(network.stem)"] == 2:
            assert names["network.stem[2]"] == 32
    assert lengths == {1, 2}


def test_importances_find_the_setting_that_accuracy_hangs_on() -> None:
    trials = [make_trial(number, 0.9 if number % 2 else 0.5) for number in range(16)]
    shares = importances(trials, SMALL)
    assert next(iter(shares)) == "augment.recipe"
    assert sum(shares.values()) == pytest.approx(1)
    assert importances(trials[:5], SMALL) == {}


def test_where_all_trials_are_as_accurate_nothing_is_important() -> None:
    assert importances([make_trial(number, 1.0) for number in range(16)], SMALL) == {}
