import numpy as np
import pytest
from scipy.stats import norm

from stainproof.evaluation.intervals import bias_corrected, difference, over_groups, proportion


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


def test_groups_of_one_image_have_the_logit_interval_of_independent_images() -> None:
    """Over 100 images, value 0.8: logit(0.8) +- 1.96 / sqrt(100 * 0.8 * 0.2)."""
    low, high = over_groups(*map(np.array, (0.8, 0.0, 99.0, 100.0, 100.0)))
    assert (low, high) == pytest.approx((0.7102, 0.8672), abs=1e-4)


def test_groups_that_differ_widen_the_interval_by_students_quantile() -> None:
    """Standard error 0.1 with 9 degrees of freedom: logit(0.8) +- 2.2622 * 0.1 / (0.8 * 0.2)."""
    low, high = over_groups(*map(np.array, (0.8, 0.01, 9.0, 100.0, 10.0)))
    assert (low, high) == pytest.approx((0.4931, 0.9427), abs=1e-4)


@pytest.mark.parametrize("num_groups, low", [(10, 0.6915), (1, 0.025)])
def test_without_a_mistake_the_interval_over_groups_is_the_exact_one(
    num_groups: int, low: float
) -> None:
    """Clopper and Pearson 1934: 0.025 to the power of 1 / groups."""
    one = over_groups(*map(np.array, (1.0, 0.0, 9.0, 100.0, float(num_groups))))
    none = over_groups(*map(np.array, (0.0, 0.0, 9.0, 100.0, float(num_groups))))
    assert one == pytest.approx((low, 1.0), abs=1e-4)
    assert none == pytest.approx((0.0, 1 - low), abs=1e-4)


def test_resamples_equal_to_the_value_count_half() -> None:
    """200 of 1,000 resamples are below the value and 400 equal to it: a share below of 0.4."""
    resampled = np.concatenate([np.linspace(0, 0.4, 200), [0.5] * 400, np.linspace(0.6, 1, 400)])
    estimate = bias_corrected(0.5, resampled)
    ends = norm.cdf(2 * norm.ppf(0.4) + norm.ppf([0.025, 0.975]))
    assert (estimate.low, estimate.high) == pytest.approx(tuple(np.quantile(resampled, ends)))


def test_few_resamples_limit_the_bias_downwards() -> None:
    resampled = np.linspace(0.4, 0.6, 10)
    estimate = bias_corrected(0.0, resampled)
    ends = norm.cdf(2 * norm.ppf(0.05) + norm.ppf([0.025, 0.975]))
    assert estimate.low == 0.0
    assert estimate.high == pytest.approx(np.quantile(resampled, ends[1]))


def test_few_resamples_limit_the_bias() -> None:
    """Beyond all of 10 resamples, the share below is taken as 1 - 0.5 / 10."""
    resampled = np.linspace(0.4, 0.6, 10)
    estimate = bias_corrected(1.0, resampled)
    ends = norm.cdf(2 * norm.ppf(0.95) + norm.ppf([0.025, 0.975]))
    assert estimate.low == pytest.approx(np.quantile(resampled, ends[0]))
    assert estimate.high == 1.0
