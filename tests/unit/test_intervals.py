import numpy as np
import pytest

from stainproof.evaluation.intervals import bias_corrected, difference, proportion


@pytest.mark.parametrize(
    ("num_right", "num", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (29, 29, 0.8830, 1.0),
    ],
)
def test_proportions_have_wilsons_interval(
    num_right: int, num: int, low: float, high: float
) -> None:
    """Newcombe 1998, Statistics in Medicine 17, 857, table I, method 3."""
    estimate = proportion(num_right, num)
    assert estimate.value == num_right / num
    assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=1e-4)


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((10, 10), (0, 20), 0.6791, 1.0),
    ],
)
def test_differences_have_newcombes_interval(
    first: tuple[int, int], second: tuple[int, int], low: float, high: float
) -> None:
    """Newcombe 1998, Statistics in Medicine 17, 873, table II, method 10."""
    estimate = difference(proportion(*first), proportion(*second))
    assert estimate.value == pytest.approx(first[0] / first[1] - second[0] / second[1])
    assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=1e-4)


def test_without_bias_the_bootstrap_interval_is_the_percentiles() -> None:
    resampled = np.linspace(0.4, 0.6, 10_001)
    estimate = bias_corrected(0.5, resampled)
    assert (estimate.low, estimate.high) == pytest.approx((0.405, 0.595), abs=1e-3)


def test_the_bootstrap_interval_moves_against_the_bias() -> None:
    resampled = np.linspace(0.4, 0.6, 10_001)
    plain, low = bias_corrected(0.5, resampled), bias_corrected(0.47, resampled)
    assert low.low < plain.low and low.high < plain.high


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_the_bootstrap_interval_includes_a_value_beyond_all_resamples(value: float) -> None:
    estimate = bias_corrected(value, np.linspace(0.4, 0.6, 1001))
    assert estimate.low <= value <= estimate.high
