import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stainproof.calibration.error import expected_calibration_error
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
