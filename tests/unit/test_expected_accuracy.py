"""Estimated accuracy on features where it is known, and published estimates."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from stainproof.deployment.embedding import Embedding
from stainproof.deployment.expected_accuracy import AccuracyEstimator
from stainproof.deployment.novelty import ClassDistance, NeighbourDistance, energy
from stainproof.deployment.reference import Reference
from stainproof.deployment.set_scores import (
    confidence_optimal_transport,
    nuclear_norm,
    published_estimates,
)

CENTRES = 3.0 * np.eye(4, 8)


def draw(num: int, noise: float, seed: int) -> tuple[Embedding, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(4, size=num)
    views = [CENTRES[labels] + noise * rng.normal(size=(num, 8)) for _ in range(2)]
    return Embedding(*(view.astype(np.float32) for view in views)), labels


def extractor() -> Any:
    return SimpleNamespace(
        weight=CENTRES, bias=np.zeros(4), logits=lambda features: features @ CENTRES.T
    )


def reference() -> Reference:
    home, labels = draw(300, 0.8, 0)
    noises = np.linspace(0.5, 4, 30)
    sets = [draw(30, float(noise), seed) for seed, noise in enumerate(noises, 1)]
    distorted = Embedding(
        np.concatenate([one.features for one, _ in sets]),
        np.concatenate([one.mirrored for one, _ in sets]),
    )
    return Reference(
        "hash", home, labels, np.zeros((300, 7), dtype=np.float32), distorted,
        np.concatenate([found for _, found in sets]), np.repeat(np.arange(30), 30),
    )  # fmt: skip


@pytest.mark.slow
def test_the_estimate_follows_the_accuracy_and_the_interval_contains_it() -> None:
    estimator = AccuracyEstimator(reference(), extractor(), temperature=2.0)
    covered = []
    for seed, noise in enumerate((0.8, 1.2, 2.0, 3.0), 100):
        found, labels = draw(200, noise, seed)
        truth = (extractor().logits(found.features).argmax(axis=1) == labels).mean()
        estimate = estimator(found)
        assert abs(estimate.value - truth) < 0.1
        covered.append(estimate.low <= truth <= estimate.high)
        assert estimate.low <= estimate.value <= estimate.high
    assert sum(covered) >= 3
    few, _ = draw(5, 2.0, 200)
    assert estimator(few).high - estimator(few).low > 0.1


def test_published_estimates_are_exact_at_home() -> None:
    home, labels = draw(2000, 1.5, 0)
    logits = extractor().logits(home.features).astype(np.float64)
    truth = (logits.argmax(axis=1) == labels).mean()
    estimates = published_estimates(logits, labels, np.full(4, 0.25), 1.0)
    for name in ("source validation", "ATC", "DoC"):
        assert estimates[name](logits) == pytest.approx(truth, abs=0.001)


def test_certain_predictions_of_the_home_mix_cost_no_transport() -> None:
    certain = np.eye(4)[np.arange(40) % 4]
    assert confidence_optimal_transport(certain, np.full(4, 0.25)) == pytest.approx(1)
    one_class = np.eye(4)[np.zeros(40, dtype=int)]
    assert confidence_optimal_transport(one_class, np.full(4, 0.25)) == pytest.approx(0.25)


def test_the_nuclear_norm_is_one_for_certain_predictions_of_all_classes() -> None:
    assert nuclear_norm(np.eye(4)[np.arange(40) % 4]) == pytest.approx(1)
    assert nuclear_norm(np.full((40, 4), 0.25)) == pytest.approx(0.25)


def test_far_images_are_called_unlike_and_home_cells_are_not() -> None:
    home, labels = draw(400, 0.8, 0)
    other, _ = draw(100, 0.8, 1)
    far = -np.abs(np.random.default_rng(2).normal(size=(50, 8))).astype(np.float32) * 4
    neighbours = NeighbourDistance(home.features)
    assert (neighbours(other.features) > neighbours.threshold).mean() < 0.06
    assert (neighbours(far) > neighbours.threshold).mean() > 0.95
    distance = ClassDistance(home.features, labels)
    assert np.median(distance(far)) > np.quantile(distance(other.features), 0.99)
    assert np.median(energy(extractor().logits(far))) > np.median(
        energy(extractor().logits(other.features))
    )
