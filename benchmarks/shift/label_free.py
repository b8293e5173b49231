"""What adapting features or the last layer without labels gains and harms, for any class mix.

python -m benchmarks.shift.label_free RUN --clean CLEAN --labs OTHER_LAB LISC DS2 --cache FOLDER
"""

from collections.abc import Callable
from functools import partial
from statistics import mean

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from benchmarks.common.page import made_on, write_section
from benchmarks.shift.embeddings import LabelledViews, parse, read_views
from benchmarks.shift.sets import MIXES, draw
from stainproof.deployment.heads import Head
from stainproof.deployment.home import Home
from stainproof.deployment.self_training import self_train
from stainproof.errors import DataError
from stainproof.evaluation.metrics import balanced_accuracy_of

COUNTS = (32, 64, 256)
LOSS = 0.02
"""Loss of balanced accuracy from which a draw counts as harmed."""
MIN_VARIANCE = 0.01
PRIOR, CLASS_PRIOR = 64, 8
"""Home cells that count beside those of a batch, and beside those of a predicted class."""
MIN_A_CLASS = 2
Floats = NDArray[np.float64]
Adapt = Callable[[Home, Head, NDArray[np.float32], int], Head]


def standardised(old: Head, here: tuple[Floats, Floats], home: tuple[Floats, Floats]) -> Head:
    """Return the head for features whose mean and variance are brought to those of home."""
    factor = np.sqrt((home[1] + MIN_VARIANCE) / (here[1] + MIN_VARIANCE))
    weight = old.weight * factor
    return Head(weight, old.bias + old.weight @ home[0] - weight @ here[0])


def over_classes(
    features: NDArray[np.float32], labels: NDArray[np.int64], classes: NDArray[np.int64]
) -> tuple[Floats, Floats, Floats]:
    """Return mean and variance with equal weight of the classes, and the means of the classes."""
    parts = [features[labels == label].astype(np.float64) for label in classes]
    means = np.stack([part.mean(axis=0) for part in parts])
    within = np.mean([part.var(axis=0) for part in parts], axis=0)
    return means.mean(axis=0), within + means.var(axis=0), means


def batch_statistics(prior: int) -> Adapt:
    """Statistics of the whole batch, as batch normalisation takes them, with a prior of home."""

    def adapt(home: Home, old: Head, views: NDArray[np.float32], seed: int) -> Head:
        own, labels = home.reference.home.features, home.reference.labels
        to = over_classes(own, labels, np.unique(labels))[:2]
        share = views.shape[1] / (views.shape[1] + prior)
        batch = views[0].mean(axis=0), views[0].var(axis=0)
        here = [share * one + (1 - share) * other for one, other in zip(batch, to, strict=True)]
        return standardised(old, (here[0], here[1]), to)

    return adapt


def class_balanced(prior: int, *, variance: bool = True) -> Adapt:
    """Statistics with equal weight of the predicted classes (CBR), with a prior of home."""

    def adapt(home: Home, old: Head, views: NDArray[np.float32], seed: int) -> Head:
        own, labels = home.reference.home.features, home.reference.labels
        predicted = old.logits(views[0]).argmax(axis=1)
        counts = np.bincount(predicted, minlength=len(old.bias))
        classes = np.flatnonzero(counts >= MIN_A_CLASS)
        if len(classes) < 2:
            return old
        to = over_classes(own, labels, classes)
        here = over_classes(views[0], predicted, classes)
        shares = (counts[classes] / (counts[classes] + prior))[:, None]
        moved = (shares * (here[2] - to[2])).mean(axis=0)
        share = float(shares.mean()) if variance else 0.0
        spread = share * here[1] + (1 - share) * to[1]
        return standardised(old, (to[0] + moved, spread), to[:2])

    return adapt


def self_training(home: Home, old: Head, views: NDArray[np.float32], seed: int) -> Head:
    """As `adapt --unlabelled`; the old head where it refuses."""
    try:
        return self_train(old, views, home.reference, home.classifier.temperature, seed).head
    except DataError:
        return old


METHODS: dict[str, Adapt] = {
    "batch statistics": batch_statistics(0),
    "with a prior": batch_statistics(PRIOR),
    "CBR": class_balanced(0),
    "CBR with a prior": class_balanced(CLASS_PRIOR),
    "CBR, means only": class_balanced(CLASS_PRIOR, variance=False),
    "self-training": self_training,
}
"""In the order of the columns; all standardise penultimate features but the last."""


def main(arguments: list[str] | None = None) -> None:
    """Adapt to draws of every laboratory and write the table."""
    options = parse(__doc__, arguments, draws=20, most=400)
    home, old = options.home, Head.of(options.home.classifier)
    read = partial(read_views, home, cache=options.cache, most=options.most)
    clean = read(options.clean)
    sets = [clean] + [
        read(source, profiled=profiled) for source in options.labs for profiled in (False, True)
    ]
    lines, home_lines = [], []
    for one in sets:
        for num in COUNTS:
            for mix in MIXES:
                found = _measure(home, old, one, clean, num, mix, options.draws)
                cells = " | ".join(_cell(found[name]) for name in ("d4", *METHODS))
                refused = sum(row[2] for row in found["self-training"])
                lines.append(f"| {one.name} | {num} | {mix} | {cells} | {refused} |")
                home_lines.append([mean(row[1] for row in found[name]) for name in METHODS])
                print(lines[-1], flush=True)
    at_home = ", ".join(
        f"{name} {100 * value:+.1f} (worst row {100 * worst:+.1f})"
        for name, value, worst in zip(
            METHODS, np.mean(home_lines, axis=0), np.min(home_lines, axis=0), strict=True
        )
    )
    write_section("Adapting without labels", "\n".join([
        f"Mean gain of balanced accuracy in points on the cells adapted to, over {options.draws} "
        "draws with replacement; in brackets on all cells of the set, and the percentage of draws "
        f"that lose more than {100 * LOSS:.0f} points there. Features are penultimate features. "
        f"d4: no adapting, `--tta d4`. With a prior: {PRIOR} home cells count in the batch, or "
        f"{CLASS_PRIOR} in every class. Self-training: `adapt --unlabelled`; refused draws count "
        "as no gain. Home is `clean`; profile: standardised by a profile of all cells. Up to "
        f"{options.most} cells of each set. One run.\n",
        f"| set | cells | mix | d4 | {' | '.join(METHODS)} | refused |",
        "|---|" + "---|" * (len(METHODS) + 4),
        *lines,
        f"\nGain of the adapted runs on home cells in points, mean over all rows: {at_home}.\n",
        f"\n{made_on()}",
    ]))  # fmt: skip


def _measure(
    home: Home, old: Head, one: LabelledViews, clean: LabelledViews, num: int, mix: str, draws: int
) -> dict[str, list[tuple[float, float, bool, float]]]:
    """Return for every method and draw the gain on the draw, at home, refusal, gain on all."""
    rng = np.random.default_rng(num)
    found: dict[str, list[tuple[float, float, bool, float]]] = {}

    def accuracy(head: Head, data: LabelledViews, chosen: NDArray[np.int64] | slice) -> float:
        return balanced_accuracy_of(data.labels[chosen], head.logits(data.features[0, chosen]))

    everything = slice(None)
    before_home, before_all = accuracy(old, clean, everything), accuracy(old, one, everything)
    for seed in range(draws):
        chosen = draw(one.labels, num, mix, rng)
        before = accuracy(old, one, chosen)
        of_views = softmax(old.logits(one.features), axis=2).mean(axis=0)
        d4, d4_all = (
            balanced_accuracy_of(one.labels[some], of_views[some]) for some in (chosen, everything)
        )
        found.setdefault("d4", []).append((d4 - before, 0.0, False, d4_all - before_all))
        for name, adapt in METHODS.items():
            head = adapt(home, old, one.features[:, chosen], seed)
            found.setdefault(name, []).append((
                accuracy(head, one, chosen) - before,
                accuracy(head, clean, everything) - before_home,
                head is old,
                accuracy(head, one, everything) - before_all,
            ))  # fmt: skip
    return found


def _cell(rows: list[tuple[float, float, bool, float]]) -> str:
    drawn, whole = ([100 * row[place] for row in rows] for place in (0, 3))
    harmed = 100 * mean(gain < -100 * LOSS for gain in whole)
    return f"{mean(drawn):+.1f} ({mean(whole):+.1f}, {harmed:.0f} %)"


if __name__ == "__main__":
    main()
