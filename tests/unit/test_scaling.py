import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax

from stainproof.calibration.error import (
    calibration_error,
    confidence_bins,
    expected_calibration_error,
)
from stainproof.calibration.scaling import (
    MAX_TEMPERATURE,
    MIN_TEMPERATURE,
    PRIOR_DEVIATION,
    fit_temperature,
    scale,
)


def draw(temperature: float, num: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return labels, and probabilities whose logits were multiplied by a temperature."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=2, size=(num, 5))
    true = scale(softmax(logits), 1)
    labels = (true.cumsum(axis=1) > rng.random((num, 1))).argmax(axis=1)
    return labels, softmax(logits * temperature).astype(np.float32)


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_fitting_finds_the_temperature_that_distorted_the_probabilities(temperature: float) -> None:
    labels, probs = draw(temperature, 5000)

    assert fit_temperature([(labels, probs)]) == pytest.approx(temperature, rel=0.05)


@pytest.mark.parametrize("temperature", [0.4, 3.0])
def test_calibration_removes_the_calibration_error(temperature: float) -> None:
    labels, probs = draw(temperature, 5000)
    later_labels, later_probs = draw(temperature, 5000, seed=1)

    found = fit_temperature([(labels, probs)])

    assert expected_calibration_error(later_labels, later_probs) > 0.1
    assert expected_calibration_error(later_labels, scale(later_probs, found)) < 0.02


@given(st.floats(MIN_TEMPERATURE, MAX_TEMPERATURE), st.integers(0, 1000))
def test_scaling_is_that_of_the_logits(temperature: float, seed: int) -> None:
    logits = np.random.default_rng(seed).normal(scale=3, size=(20, 8))

    scaled = scale(softmax(logits).astype(np.float32), temperature)

    np.testing.assert_allclose(scaled, softmax(logits / temperature), atol=2e-5)


@given(st.floats(0.2, MAX_TEMPERATURE), st.integers(0, 1000))
def test_scaling_keeps_the_predicted_class_and_can_be_reversed(
    temperature: float, seed: int
) -> None:
    probs = softmax(np.random.default_rng(seed).normal(size=(20, 8))).astype(np.float32)

    scaled = scale(probs, temperature)

    assert (scaled.argmax(axis=1) == probs.argmax(axis=1)).all()
    np.testing.assert_allclose(scale(scaled, 1 / temperature), probs, atol=1e-4)


def test_probabilities_of_zero_stay_finite() -> None:
    scaled = scale(np.array([[0.0, 1.0], [0.5, 0.5]]), 2.0)

    assert np.isfinite(scaled).all()
    np.testing.assert_allclose(scaled.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("right", [True, False])
def test_a_few_equal_answers_move_the_temperature_little(right: bool) -> None:
    probs = np.tile(np.array([[0.9, 0.1]], dtype=np.float32), (8, 1))
    labels = np.full(8, 0 if right else 1)

    found = fit_temperature([(labels, probs)], known=1.5)

    assert found < 1.5 if right else found > 1.5
    assert abs(np.log(found / 1.5)) < 5 * PRIOR_DEVIATION


def test_the_error_is_the_gap_between_confidence_and_accuracy() -> None:
    probs = np.array([[0.8, 0.2]] * 10)
    labels = np.array([0] * 6 + [1] * 4)

    assert expected_calibration_error(labels, probs) == pytest.approx(0.2)


def test_a_temperature_of_one_changes_nothing() -> None:
    probs = np.array([[0.0, 1.0], [0.7, 0.3]])

    scaled = scale(probs, 1.0)

    assert scaled.dtype == np.float32
    assert scaled.tolist() == probs.astype(np.float32).tolist()


def test_a_temperature_of_two_takes_the_roots_of_the_odds() -> None:
    """Odds of 16 become odds of 4; a probability of zero counts as the smallest normal float32."""
    scaled = scale(np.array([[16 / 17, 1 / 17], [1.0, 0.0]]), 2.0)

    assert scaled.dtype == np.float32
    assert scaled[0] == pytest.approx([0.8, 0.2])
    assert scaled[1, 1] == pytest.approx(np.finfo(np.float32).tiny ** 0.5)


def log_posterior(
    log_temperature: float, samples: list[tuple[np.ndarray, np.ndarray]], known: float
) -> float:
    """Return log likelihood, each set as large as the first, plus log-normal prior."""
    likelihoods = [
        log_softmax(np.log(probs) / np.exp(log_temperature), axis=1)[np.arange(len(labels)), labels]
        for labels, probs in samples
    ]
    num = len(samples[0][0])
    distance = (log_temperature - np.log(known)) / PRIOR_DEVIATION
    return float(num * np.mean([one.mean() for one in likelihoods]) - distance**2 / 2)


@pytest.mark.parametrize("known", [1.0, 3.0])
@pytest.mark.parametrize("sizes", [(12,), (12, 50)])
def test_the_temperature_has_the_highest_posterior_probability(
    sizes: tuple[int, ...], known: float
) -> None:
    samples = [draw(2.0, num, seed) for seed, num in enumerate(sizes)]
    grid = np.linspace(np.log(MIN_TEMPERATURE), np.log(MAX_TEMPERATURE), 1201)

    best = grid[np.argmax([log_posterior(point, samples, known) for point in grid])]

    assert np.log(fit_temperature(samples, known)) == pytest.approx(best, abs=5e-3)


@pytest.mark.parametrize(("label", "bound"), [(0, MIN_TEMPERATURE), (1, MAX_TEMPERATURE)])
def test_the_temperature_stays_within_its_bounds(label: int, bound: float) -> None:
    probs = np.tile([[0.6, 0.4]], (1000, 1))

    found = fit_temperature([(np.full(len(probs), label), probs)], known=bound)

    assert MIN_TEMPERATURE <= found <= MAX_TEMPERATURE
    assert found == pytest.approx(bound, rel=1e-3)


def test_a_network_that_was_never_calibrated_has_a_temperature_of_one() -> None:
    samples = [draw(2.0, 12)]

    assert fit_temperature(samples) == fit_temperature(samples, known=1.0)


def test_confidence_falls_into_fifteen_equal_bins() -> None:
    confidence = np.array([0.0, 0.0666, 0.0667, 0.5, 0.9333, 0.9334, 1.0])

    assert confidence_bins(confidence).tolist() == [0, 0, 1, 7, 13, 14, 14]


def test_the_calibration_error_adds_the_gaps_of_the_bins() -> None:
    """Gaps in one bin cancel: |0.2 - 0.3| + |-0.5| over 4 images; those of two bins do not."""
    gaps = np.array([0.2, -0.3, -0.5, 0.0])

    assert calibration_error(gaps, np.array([3, 3, 14, 0])) == pytest.approx(0.6 / 4)


def test_the_calibration_error_of_two_bins() -> None:
    """Five images of confidence 0.9, 3 right: gap 0.3; three of 0.6, 3 right: gap 0.4."""
    probs = np.array([[0.9, 0.1]] * 5 + [[0.4, 0.6]] * 3)
    labels = np.array([0, 0, 0, 1, 1, 1, 1, 1])

    assert expected_calibration_error(labels, probs) == pytest.approx((5 * 0.3 + 3 * 0.4) / 8)
