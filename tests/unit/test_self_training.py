"""Refitting a head without labels, on features with a known answer, and what is refused."""

import numpy as np
import pytest

from stainproof.deployment.heads import Head
from stainproof.deployment.reference import Reference
from stainproof.deployment.self_training import self_train
from stainproof.errors import DataError
from stainproof.evaluation.metrics import balanced_accuracy_of
from tests.common.references import reference_of

CENTRES = 4.0 * np.eye(3, 6)
OLD = Head(CENTRES / 2, np.zeros(3))
"""Right for cells at `CENTRES`."""
DARK = np.array([1.5, 0, 0, 0, 0, 3.0])
"""What another laboratory adds to the features: much that is new, and some of class 0."""


def draw(num: int, seed: int, shift: np.ndarray | float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.arange(num) % 3
    features = CENTRES[labels] * [1, 1, 1, 0, 0, 0] + rng.normal(size=(num, 6)) + shift
    return features.astype(np.float32), labels


def views_of(features: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(9)
    other = features + rng.normal(scale=0.3, size=(3, *features.shape)).astype(np.float32)
    return np.concatenate([features[None], other])


@pytest.fixture(scope="module")
def reference() -> Reference:
    return reference_of(draw(300, seed=1), draw(300, seed=2))


def test_a_shifted_laboratory_gains_without_labels(reference: Reference) -> None:
    features, _ = draw(90, 3, DARK)
    test, labels = draw(900, 4, DARK)
    found = self_train(OLD, views_of(features), reference, 1.0)
    before, after = (balanced_accuracy_of(labels, one.logits(test)) for one in (OLD, found.head))
    assert after > before + 0.005
    assert found.home_after >= found.home_before - 0.015


def test_cells_that_are_not_sure_are_not_used(reference: Reference) -> None:
    features, _ = draw(60, 5)
    features[:5] = 0.0
    found = self_train(OLD, views_of(features), reference, 1.0)
    assert not found.is_used[:5].any()
    assert found.is_used.mean() > 0.8


def test_a_refusal_says_what_is_missing(reference: Reference) -> None:
    features, labels = draw(120, 6)
    with pytest.raises(DataError, match="32 images or more, got 31"):
        self_train(OLD, views_of(features[:31]), reference, 1.0)
    two = labels < 2
    with pytest.raises(DataError, match=r"needs 3 classes .* got 2"):
        self_train(OLD, views_of(features[two]), reference, 1.0)


def test_a_head_that_costs_home_cells_is_refused(
    reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stainproof.deployment import self_training

    features, _ = draw(60, 7)
    monkeypatch.setattr(self_training, "fit_head", lambda *_: Head(-OLD.weight, OLD.bias))
    with pytest.raises(DataError, match="may cost home cells"):
        self_train(OLD, views_of(features), reference, 1.0)


def test_the_same_seed_gives_the_same_head(reference: Reference) -> None:
    features, _ = draw(60, 8)
    one, again = (self_train(OLD, views_of(features), reference, 1.0, seed=2) for _ in range(2))
    assert np.array_equal(one.head.weight, again.head.weight)
