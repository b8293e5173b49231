import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binomtest

from stainproof.errors import CheckpointError
from stainproof.evaluation.misclassification import (
    ErrorCounts,
    draw_true_counts,
    read_errors,
    share_interval,
)

CLASSES = ("a", "b", "c")


def constant(*values: int) -> NDArray[np.int64]:
    return np.array(values, dtype=np.int64)


@pytest.mark.parametrize(("num", "total"), [(5, 100), (0, 100), (100, 100), (57, 200), (0, 1)])
def test_equal_draws_give_the_exact_binomial_interval(num: int, total: int) -> None:
    found = share_interval(constant(num, num), constant(total, total))
    exact = binomtest(num, total).proportion_ci(0.95, method="exact")
    assert found == pytest.approx((exact.low, exact.high), abs=1e-6)


def test_five_of_a_hundred_are_1_6_to_11_3_percent() -> None:
    low, high = share_interval(constant(5), constant(100))
    assert (round(100 * low, 1), round(100 * high, 1)) == (1.6, 11.3)


def test_draws_that_differ_give_a_wider_interval() -> None:
    low, high = share_interval(constant(30), constant(100))
    wide_low, wide_high = share_interval(constant(20, 30, 40), constant(100, 100, 100))
    assert wide_low < low < high < wide_high


def test_confirmed_cells_are_their_own_only_draw() -> None:
    confirmed = np.array([[3, 1, 0], [0, 5, 0], [0, 0, 0]])
    errors, rng = np.eye(3) * 9, np.random.default_rng(0)
    assert draw_true_counts(np.zeros(3, np.int64), confirmed, errors, rng).tolist() == [[4, 5, 0]]


def test_every_draw_has_all_cells_and_the_same_seed_the_same_draws() -> None:
    predicted, confirmed = np.array([60, 30, 10]), np.diag([0, 2, 0])
    errors = np.array([[90, 10, 0], [5, 95, 0], [0, 20, 80]])
    first, second = (
        draw_true_counts(predicted, confirmed, errors, np.random.default_rng(4)) for _ in range(2)
    )
    assert (first.sum(axis=1) == 102).all()
    assert (first == second).all()


def test_known_errors_are_taken_back() -> None:
    """Half of the b are predicted as a: 100 a and 40 b were 60 a and 80 b."""
    errors = np.array([[5000, 0, 0], [2500, 2500, 0], [0, 0, 5000]])
    nothing = np.zeros((3, 3), dtype=np.int64)
    draws = draw_true_counts(np.array([100, 40, 0]), nothing, errors, np.random.default_rng(0))
    assert draws.mean(axis=0) == pytest.approx([60, 80, 0], abs=5)


def test_a_model_whose_errors_are_less_known_has_a_wider_interval() -> None:
    nothing, predicted = np.zeros((3, 3), dtype=np.int64), np.array([100, 80, 20])
    widths = []
    for num_cells in (10, 1000):
        errors = np.array([[8, 1, 1], [1, 8, 1], [1, 1, 8]]) * num_cells // 10
        draws = draw_true_counts(predicted, nothing, errors, np.random.default_rng(0))
        low, high = share_interval(draws[:, 0], draws.sum(axis=1))
        widths.append(high - low)
    assert widths[0] > 1.2 * widths[1]


def test_intervals_of_two_seeds_are_alike_also_with_few_labelled_cells() -> None:
    """Ten labelled cells of each of eight classes, three quarters of them predicted right."""
    rates = np.full((8, 8), 0.25 / 7) + (0.75 - 0.25 / 7) * np.eye(8)
    rows = [np.random.default_rng(row).multinomial(10, rates[row]) for row in range(8)]
    errors = np.stack(rows).astype(np.float64)
    predicted, nothing = np.array([8, 10, 4, 20, 60, 25, 70, 3]), np.zeros((8, 8), dtype=np.int64)
    ends = []
    for seed in range(8):
        draws = draw_true_counts(predicted, nothing, errors, np.random.default_rng(seed))
        ends.append([share_interval(own, draws.sum(axis=1)) for own in draws.T])
    assert 100 * np.std(ends, axis=0, ddof=1).mean() < 0.5


@pytest.mark.slow
def test_the_interval_covers_the_prevalence_that_a_biased_model_hides() -> None:
    """Sensitivity 0.8 and every error a `b`: the share of a is 0.5, the predicted one 0.4."""
    rng = np.random.default_rng(1)
    rates = np.array([[0.8, 0.2, 0.0], [0.0, 1.0, 0.0], [0.0, 0.2, 0.8]])
    covered = covered_naively = 0
    for _ in range(60):
        errors = np.stack([rng.multinomial(100, row) for row in rates]).astype(np.float64)
        true = rng.multinomial(200, [0.5, 0.3, 0.2])
        predicted = np.sum([rng.multinomial(*pair) for pair in zip(true, rates, strict=True)], 0)
        draws = draw_true_counts(predicted, np.zeros((3, 3), np.int64), errors, rng)
        low, high = share_interval(draws[:, 0], draws.sum(axis=1))
        covered += low <= 0.5 <= high
        low, high = share_interval(predicted[:1], predicted.sum(keepdims=True))
        covered_naively += low <= 0.5 <= high
    assert covered >= 54
    assert covered_naively <= 30


def test_less_sure_predictions_let_expect_more_errors_that_are_less_known() -> None:
    home = ErrorCounts(CLASSES, np.diag([90, 90, 90]), "validation", mean_confidence=0.9)
    assert (home.expected_at(0.86) == home.confusion).all()
    found = home.expected_at(0.6)
    assert found.sum(axis=1) == pytest.approx([10, 10, 10])
    assert np.diag(found) == pytest.approx([8, 8, 8])  # 0.7 kept, and a third of 0.3
    assert home.expected_at(0.0).min() > 0


def test_rows_without_a_cell_are_those_of_home() -> None:
    home = ErrorCounts(CLASSES, np.array([[9, 1, 0], [0, 8, 2], [0, 0, 7]]), "validation")
    away = ErrorCounts(CLASSES, np.array([[3, 3, 0], [0, 0, 0], [0, 1, 2]]), "away", False)
    found = away.complete(home)
    assert found.confusion.tolist() == [[3, 3, 0], [0, 8, 2], [0, 1, 2]]
    assert found.borrowed == ("b",)
    assert found.source == "away"


def test_a_run_without_an_evaluation_of_its_own_names_the_option(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="--errors"):
        read_errors(tmp_path, None, CLASSES, "0" * 64, 1.0)


def test_the_evaluation_of_another_model_is_refused(tmp_path: Path, evaluation: Any) -> None:
    path = tmp_path / "eval.json"
    path.write_text(json.dumps(evaluation))
    found = read_errors(tmp_path, path, evaluation["classes"], evaluation["weights_sha256"], 1.0)
    assert found.num_cells == evaluation["num_images"]
    for classes, weights in ((evaluation["classes"], "1" * 64), (["y", "x"], "0" * 64)):
        with pytest.raises(CheckpointError, match="another model"):
            read_errors(tmp_path, tmp_path, classes, weights, 1.0)


@pytest.mark.parametrize(("temperature", "is_same"), [(1.2, True), (1.205, True), (1.6, False)])
def test_confidences_at_two_temperatures_are_not_compared(
    tmp_path: Path, evaluation: Any, temperature: float, is_same: bool
) -> None:
    bins = [{"confidence": 0.9, "accuracy": 0.5, "num_images": evaluation["num_images"]}]
    (tmp_path / "eval.json").write_text(
        json.dumps(evaluation | {"temperature": 1.2, "reliability": bins})
    )
    weights = evaluation["weights_sha256"]
    found = read_errors(tmp_path, tmp_path, evaluation["classes"], weights, temperature)
    assert found.is_less_sure(0.5) == is_same
    assert found.is_recalibrated != is_same


@pytest.fixture
def evaluation() -> Any:
    """The JSON tree of an evaluation of a model of two classes."""
    one = {"value": 0.5, "low": 0.1, "high": 0.9}
    names = ("accuracy", "balanced_accuracy", "macro_f1", "expected_calibration_error")
    per_class = [
        {"name": name, "num_images": 2, "sensitivity": one, "specificity": one, "precision": one}
        for name in ("x", "y")
    ]
    facts = ("stainproof", "commit", "command", "python", "torch", "numpy", "machine", "created")
    return {
        "schema_version": 3, "source": "cells", "num_images": 4, "data_sha256": "",
        "weights_sha256": "0" * 64, "classes": ["x", "y"], "absent_classes": [],
        **dict.fromkeys(names, one), "per_class": per_class, "confusion": [[1, 1], [1, 1]],
        "reliability": [], "mistakes": [], "notes": [], "bootstrap_seed": 0, "images_per_s": 1.0,
        "provenance": dict.fromkeys(facts, ""),
    }  # fmt: skip
