from typing import Any

from stainproof.runs.history import EpochRecord
from stainproof.search.trial import MIN_FINISHED_TRIALS, find_dominating
from tests.common.trials import make_trial


def epochs(*accuracies: float, seconds: Any = 10.0) -> list[EpochRecord]:
    return [
        EpochRecord(
            epoch=rank + 1, loss=1.0, accuracy=0.5, val_loss=1.0, val_accuracy=0.9,
            val_augmented_accuracy=accuracy, learning_rate=1e-3, images_per_s=1.0,
            elapsed_s=seconds * (rank + 1),
        )
        for rank, accuracy in enumerate(accuracies)
    ]  # fmt: skip


def judged(own: list[float], others: list[list[float]], **costs: Any) -> int | None:
    finished = [
        (make_trial(number, max(curve)), epochs(*curve)) for number, curve in enumerate(others)
    ]
    better = find_dominating(make_trial(99, None, **costs), epochs(*own), finished)
    return None if better is None else better.number


def test_a_trial_is_beaten_when_even_the_greatest_gain_leaves_it_below() -> None:
    others = [[0.5, 0.6, 0.9]] + [[0.5, 0.6, 0.7]] * (MIN_FINISHED_TRIALS - 1)
    assert judged([0.45], others) == 0
    assert judged([0.51], others) is None
    assert judged([0.2, 0.55], others) == 0
    assert judged([0.2, 0.61], others) is None


def test_a_trial_is_not_find_dominating_larger_or_slower_ones_nor_while_few_have_finished() -> None:
    others = [[0.5, 0.6, 0.9]] + [[0.5, 0.6, 0.7]] * (MIN_FINISHED_TRIALS - 1)
    assert judged([0.1], others, num_parameters=999) is None
    assert judged([0.1], others, latency_ms=0.9) is None
    assert judged([0.1], others) == 0
    assert judged([0.1], others[:-1]) is None
