import numpy as np
import pytest

from stainproof.serve.records import ModelFacts, NewCell
from stainproof.serve.review import Review, cohens_kappa
from stainproof.serve.store import Store

CLASSES = ("ig", "platelet")


@pytest.fixture
def store() -> Store:
    store = Store(None, ModelFacts("abc", CLASSES))
    probs = np.random.default_rng(0).dirichlet([1, 1], 200).astype(np.float32)
    store.add([NewCell(f"{i}.png", "", str(i), b"", row) for i, row in enumerate(probs)])
    return store


def test_kappa_is_that_of_cohens_own_formula() -> None:
    pairs = [("a", "a")] * 20 + [("a", "b")] * 5 + [("b", "a")] * 10 + [("b", "b")] * 15
    assert cohens_kappa(pairs) == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([("a", "a"), ("b", "b")], 1.0),
        ([("a", "b"), ("b", "a")], -1.0),
        ([("a", "a"), ("a", "a")], None),
        ([], None),
    ],
)
def test_kappa_at_its_ends(pairs: list[tuple[str, str]], expected: float | None) -> None:
    assert cohens_kappa(pairs) == expected


def test_confirming_takes_the_predicted_class_and_a_second_time_the_given_one(
    store: Store,
) -> None:
    review = Review(store, CLASSES, 1)
    predicted = review.views([1])[0].predicted
    other = "ig" if predicted == "platelet" else "platelet"
    review.decide([1], None)
    assert review.views([1])[0].label == predicted
    review.decide([1], other)
    review.decide([1], None)
    view = review.views([1])[0]
    assert view.label == other and view.predicted == predicted and view.is_reviewed


def test_a_hidden_prediction_is_not_told_and_cannot_be_confirmed(store: Store) -> None:
    store.set_blind(True)
    review = Review(store, CLASSES, 1)
    hidden = [view for view in review.views() if view.label is None]
    assert {view.id for view in hidden} == {cell.id for cell in store.cells() if cell.is_blind}
    assert all(view.predicted is None and view.probs is None for view in hidden)
    first = hidden[0].id
    assert review.decide([first], None) == []
    _, confirmed = review.evidence()
    assert confirmed[first - 1] == "unclassified"
    assert review.decide([first], "ig") == [first]
    assert review.views([first])[0].predicted is not None
    assert not store.decisions(1)[first].was_shown


def test_the_models_accuracy_comes_from_hidden_cells_and_anchoring_from_both(
    store: Store,
) -> None:
    store.set_blind(True)
    review = Review(store, CLASSES, 1)
    blind = [cell for cell in store.cells() if cell.is_blind]
    shown = [cell.id for cell in store.cells() if not cell.is_blind]
    for index, cell in enumerate(blind):  # right on all but the first four
        predicted = CLASSES[int(cell.probs.argmax())]
        other = CLASSES[1 - int(cell.probs.argmax())]
        review.decide([cell.id], other if index < 4 else predicted)
    review.decide(shown, None)
    found = review.agreement()
    assert found.blind and found.shown and found.anchoring
    assert found.num_blind == len(blind) and found.num_shown == len(shown)
    assert found.blind.value == pytest.approx(1 - 4 / len(blind))
    assert found.shown.value == 1
    assert found.anchoring.low > 0  # this reviewer follows what is shown


def test_a_cell_is_disputed_only_once_both_have_decided(store: Store) -> None:
    one, two = Review(store, CLASSES, 1), Review(store, CLASSES, 2)
    one.decide([1, 2], "ig")
    assert not any(view.is_disputed for view in two.views())
    two.decide([1], "platelet")
    two.decide([2], "ig")
    assert [view.is_disputed for view in one.views([1, 2])] == [True, False]
    assert two.agreement().num_both == 2 and two.agreement().num_equal == 1
