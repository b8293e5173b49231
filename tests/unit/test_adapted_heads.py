"""Refitted last layers and the choice among them, on features with a known answer."""

import numpy as np
import pytest

from stainproof.deployment.choice import choose_head
from stainproof.deployment.heads import Cells, Head, fit_head
from stainproof.deployment.picking import choose_cells
from stainproof.deployment.reference import Reference
from stainproof.deployment.result import NOTHING
from stainproof.evaluation.metrics import balanced_accuracy_of
from tests.common.references import reference_of

CENTRES = 4.0 * np.eye(3, 6)
OLD = Head(CENTRES / 2, np.zeros(3))
"""Right for cells at `CENTRES`."""


def draw(num: int, seed: int, centres: np.ndarray = CENTRES) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.arange(num) % 3
    features = centres[labels] + rng.normal(size=(num, 6))
    return features.astype(np.float32), labels


def moved() -> np.ndarray:
    """Return centres of a laboratory that the old head confuses: class 0 looks like 1 there."""
    centres = CENTRES.copy()
    centres[0] = CENTRES[1] + 4 * np.eye(6)[5]
    return centres


@pytest.fixture(scope="module")
def reference() -> Reference:
    return reference_of(draw(150, seed=1), draw(150, seed=2))


def test_a_refitted_head_learns_the_new_laboratory_and_keeps_the_old(reference: Reference) -> None:
    features, labels = draw(24, 3, moved())
    test, test_labels = draw(300, 4, moved())
    home, home_labels = draw(300, 5)
    choice = choose_head(OLD, features[None], labels, reference, temperature=1.0)
    assert choice.name.startswith("head")
    assert balanced_accuracy_of(test_labels, OLD.logits(test)) < 0.75
    assert balanced_accuracy_of(test_labels, choice.head.logits(test)) > 0.9
    before = balanced_accuracy_of(home_labels, OLD.logits(home))
    assert balanced_accuracy_of(home_labels, choice.head.logits(home)) > before - 0.05


def test_random_labels_do_not_change_the_head(reference: Reference) -> None:
    features, labels = draw(24, 6)
    shuffled = np.random.default_rng(0).permutation(labels)
    choice = choose_head(OLD, features[None], shuffled, reference, temperature=1.0)
    home, home_labels = draw(300, 5)
    before = balanced_accuracy_of(home_labels, OLD.logits(home))
    assert balanced_accuracy_of(home_labels, choice.head.logits(home)) > before - 0.05


def test_the_choice_is_the_same_again(reference: Reference) -> None:
    features, labels = draw(16, 7, moved())
    first, again = (
        choose_head(OLD, features[None], labels, reference, 1.0, seed=3) for _ in range(2)
    )
    assert first.candidates == again.candidates
    assert np.array_equal(first.head.weight, again.head.weight)


def test_the_first_candidate_is_the_run_as_it_is(reference: Reference) -> None:
    features, labels = draw(16, 8)
    choice = choose_head(OLD, features[None], labels, reference, 1.0)
    assert choice.candidates[0].name == NOTHING
    expected = balanced_accuracy_of(labels, OLD.logits(features))
    assert choice.candidates[0].balanced_accuracy == pytest.approx(expected)


def test_one_cell_of_each_class_can_be_adapted_to(reference: Reference) -> None:
    features, labels = draw(8, 9)
    choice = choose_head(OLD, features[None, :3], labels[:3], reference, 1.0)
    assert np.isfinite(choice.head.weight).all()


def test_a_strong_pull_keeps_the_old_head() -> None:
    features, labels = draw(30, 10, moved())
    new, home = Cells.balanced(features, labels), Cells.balanced(*draw(60, 11))
    kept, free = (fit_head(OLD, new, home, strength) for strength in (1e4, 1e-4))
    assert np.abs(kept.weight - OLD.weight).max() < 1e-2
    assert np.abs(free.weight - OLD.weight).max() > 0.1


def test_the_views_of_a_cell_share_its_weight() -> None:
    features, labels = draw(6, 15)
    once = Cells.balanced(features, labels)
    thrice = Cells.of_views(np.stack([features] * 3), labels, once.weights)
    home = Cells.balanced(*draw(60, 16))
    one, other = (fit_head(OLD, cells, home, 0.1) for cells in (once, thrice))
    assert thrice.weights.sum() == pytest.approx(once.weights.sum())
    assert np.abs(one.weight - other.weight).max() < 1e-2


def test_the_choice_is_measured_on_all_views(reference: Reference) -> None:
    features, labels = draw(16, 8)
    opposite = np.stack([features, features[::-1]])
    choice = choose_head(OLD, opposite, labels, reference, 1.0)
    each = [balanced_accuracy_of(labels, OLD.logits(view)) for view in opposite]
    assert choice.candidates[0].balanced_accuracy == pytest.approx(np.mean(each))


def test_the_gradient_leads_to_a_lower_loss() -> None:
    features, labels = draw(30, 12, moved())
    new, home = Cells.balanced(features, labels), Cells.balanced(*draw(60, 13))
    fitted = fit_head(OLD, new, home, 1e-3)

    def cross_entropy(head: Head) -> float:
        logits = head.logits(features)
        log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        return float(-(new.weights * log_probs[np.arange(30), labels]).sum())

    assert cross_entropy(fitted) < 0.5 * cross_entropy(OLD)


def test_picked_cells_are_of_every_predicted_class_and_no_cell_twice() -> None:
    features, labels = draw(90, 14)
    probs = np.eye(3)[labels] * 0.8 + 0.2 / 3
    rare = np.concatenate([np.flatnonzero(labels == 0)[:3], np.flatnonzero(labels != 0)])
    chosen = choose_cells(features[rare], probs[rare], 12)
    assert len(set(chosen.tolist())) == 12
    assert np.bincount(labels[rare][chosen]).min() == 3


def test_of_two_equal_cells_one_is_picked_first() -> None:
    features = np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32)
    probs = np.array([[0.6, 0.4], [0.6, 0.4], [0.6, 0.4]])
    assert 2 in choose_cells(features, probs, 2).tolist()
