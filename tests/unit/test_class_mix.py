import numpy as np

from stainproof.deployment.class_mix import estimate_class_mix, expectation_maximisation

TRAINING = np.full(3, 1 / 3)
CONFUSION = np.array([[0.8, 0.15, 0.05], [0.1, 0.8, 0.1], [0.05, 0.25, 0.7]])
"""Rows: true class; columns: distribution of an observed value with three levels."""


def calibrated_probs(mix: np.ndarray, num: int, seed: int) -> np.ndarray:
    """Return posteriors under the training mix for images of another mix."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, num, p=mix)
    seen = np.array([rng.choice(3, p=CONFUSION[label]) for label in labels])
    posterior = CONFUSION[:, seen].T * TRAINING
    return np.asarray(posterior / posterior.sum(axis=1, keepdims=True))


def test_another_mix_is_recovered_where_predictions_are_biased() -> None:
    mix = np.array([0.7, 0.05, 0.25])
    probs = calibrated_probs(mix, 4000, seed=0)
    found = expectation_maximisation(probs, TRAINING)
    predicted = np.bincount(probs.argmax(axis=1), minlength=3) / len(probs)
    assert np.abs(found - mix).max() < 0.04
    assert np.abs(found - mix).max() < np.abs(predicted - mix).max()


def test_intervals_contain_the_true_shares() -> None:
    mix = np.array([0.5, 0.3, 0.2])
    covered = 0
    for seed in range(10):
        probs = calibrated_probs(mix, 150, seed)
        found = estimate_class_mix(probs, TRAINING, ("a", "b", "c"), seed=0)
        covered += sum(
            one.share.low <= share <= one.share.high for one, share in zip(found, mix, strict=True)
        )
    assert covered >= 25  # of 30


def test_shares_sum_to_one_with_one_image() -> None:
    found = estimate_class_mix(np.array([[0.9, 0.1, 0.0]]), TRAINING, ("a", "b", "c"), seed=0)
    assert abs(sum(one.share.value for one in found) - 1) < 1e-9
    assert found[0].predicted == 1
