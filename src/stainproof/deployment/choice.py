"""Choose how to adapt a head to a few labelled cells, by repeated cross-validation."""

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax

from stainproof.calibration.scaling import fit_temperature
from stainproof.deployment.heads import (
    Cells,
    Floats,
    Head,
    Labels,
    balanced_weights,
    fit_head,
)
from stainproof.deployment.reference import Reference
from stainproof.deployment.result import NOTHING, Candidate
from stainproof.evaluation.metrics import balanced_accuracy_of
from stainproof.progress import Track, silent

NUM_FOLDS, NUM_REPEATS = 5, 2
MAX_REPLAYED = 400
"""Home cells, and as many distorted ones, that a head is fitted with."""
MAX_HOME_LOSS = 0.015
"""Balanced accuracy that the home laboratory may lose."""
TEMPERATURE = "temperature"
HEADS = {f"head, strength {strength:g}": strength for strength in (0.1, 0.03)}
"""Candidate -> strength of the distance to the old head."""


@dataclass(frozen=True)
class Choice:
    """The chosen candidate, fitted on all labelled cells."""

    name: str
    head: Head
    temperature: float
    """By which its logits are divided."""
    probs: Floats
    """float64 (n, classes), not calibrated: of each labelled cell, by a head that was fitted
    without it."""
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True)
class _Measured:
    candidate: Candidate
    losses: Floats
    """float64 (n,): loss of each labelled cell, a mean over the repeats."""
    temperature: float
    probs: Floats
    """float64 (n, classes), of the first repeat."""


def choose_head(
    old: Head,
    features: NDArray[np.float32],
    labels: Labels,
    reference: Reference,
    temperature: float,
    seed: int = 0,
    track: Track = silent,
) -> Choice:
    """Choose between doing nothing, a temperature, and refitted heads; fit the choice.

    A candidate must beat the simpler ones: its cross-validated balanced accuracy is higher and its
    mean loss not higher by more than a standard error of the paired difference, or its accuracy is
    the same and its loss lower. The home laboratory must keep its balanced accuracy within 1.5
    points. Half of the home cells are replayed while candidates are compared; the other half
    measures. The distorted copies that are replayed are drawn from those of both halves, because a
    reference does not hold which cell a copy is of: the measured half is not fully unseen. Accuracy
    and loss are means over the views of a cell.

    Args:
        old: The head of the run.
        features: Of every view of the labelled cells, float32 (views, n, d), the first as they are;
            a head is fitted on all views (`embedding.embed_views`).
        labels: int64 (n,).
        reference: Home cells and distorted copies.
        temperature: Of the run; the prior of the new one.
        seed: Seed of folds and subsets.
        track: Shows progress.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(reference.labels))
    replayed, measured = np.array_split(order, 2)
    home = replay(reference, replayed, rng)
    folds = [_folds(labels, rng) for _ in range(NUM_REPEATS)]
    held_out = reference.home.features[measured], reference.labels[measured]
    names = (NOTHING, TEMPERATURE, *HEADS)
    measure = partial(_measure, old, features, labels, home, held_out, folds, temperature)
    found = [measure(name) for name in track(names, "comparing ways to adapt", len(names))]
    chosen, candidates = _choose(found, labels)
    if chosen.candidate.name in HEADS:
        home = replay(reference, order, rng)
    head = _fit(chosen.candidate.name, old, features, labels, home)
    return Choice(chosen.candidate.name, head, chosen.temperature, chosen.probs, candidates)


def replay(reference: Reference, positions: NDArray[np.int64], rng: np.random.Generator) -> Cells:
    """Return home cells at up to 400 of these positions and as many distorted ones of any cell."""
    positions = positions[:MAX_REPLAYED]
    num = min(len(positions), len(reference.distorted))
    distorted = rng.choice(len(reference.distorted), num, replace=False)
    return Cells.balanced(
        np.concatenate(
            [reference.home.features[positions], reference.distorted.features[distorted]]
        ),
        np.concatenate([reference.labels[positions], reference.distorted_labels[distorted]]),
    )


def _folds(labels: Labels, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the fold of every cell, each class spread evenly; int64 (n,)."""
    shuffled = rng.permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    folds = np.empty(len(labels), dtype=np.int64)
    folds[by_class] = np.arange(len(labels)) % min(NUM_FOLDS, len(labels))
    return folds


def _fit(name: str, old: Head, features: NDArray[np.float32], labels: Labels, home: Cells) -> Head:
    if name not in HEADS:
        return old
    new = Cells.of_views(features, labels, balanced_weights(labels))
    return fit_head(old, new, home, HEADS[name])


def _measure(
    old: Head,
    features: NDArray[np.float32],
    labels: Labels,
    home: Cells,
    held_out: tuple[NDArray[np.float32], Labels],
    folds: list[NDArray[np.int64]],
    known: float,
    name: str,
) -> _Measured:
    """Cross-validate a candidate; its temperature is fitted on left-out logits of other folds."""
    rows = np.arange(len(labels))
    losses, accuracies, temperatures, outputs = [], [], [], []
    for fold_of in folds if name != NOTHING else folds[:1]:
        logits = np.empty((*features.shape[:2], len(old.bias)))
        for fold in range(fold_of.max() + 1):
            is_out = fold_of == fold
            head = _fit(name, old, features[:, ~is_out], labels[~is_out], home)
            logits[:, is_out] = head.logits(features[:, is_out])
        probs = softmax(logits[0], axis=1)
        of_cell = np.full(len(labels), known)
        if name != NOTHING:
            for fold in range(fold_of.max() + 1):
                rest = fold_of != fold
                of_cell[~rest] = fit_temperature([(labels[rest], probs[rest])], known)
            temperatures.append(fit_temperature([(labels, probs)], known))
        scaled = log_softmax(logits / of_cell[:, None], axis=2)
        losses.append(-scaled[:, rows, labels].mean(axis=0))
        accuracies.append(_measurable_accuracy(labels, logits))
        outputs.append(probs)
    final = _fit(name, old, features, labels, home)
    candidate = Candidate(
        name=name,
        balanced_accuracy=float(np.mean(accuracies)),
        log_loss=float(_measurable_weights(labels) @ np.mean(losses, axis=0)),
        home_balanced_accuracy=balanced_accuracy_of(held_out[1], final.logits(held_out[0])),
    )
    temperature = float(np.exp(np.mean(np.log(temperatures)))) if temperatures else known
    return _Measured(candidate, np.mean(losses, axis=0), temperature, outputs[0])


def _choose(found: list[_Measured], labels: Labels) -> tuple[_Measured, tuple[Candidate, ...]]:
    """Go through the candidates from the simplest on; each must beat the best so far."""
    nothing, best = found[0].candidate, found[0]
    weights, seen = _measurable_weights(labels), [nothing]
    for one in found[1:]:
        refused = _why_refused(one, best, nothing, weights)
        seen.append(one.candidate.model_copy(update={"refused": refused}))
        best = best if refused else one
    return best, tuple(seen)


def _why_refused(one: _Measured, best: _Measured, nothing: Candidate, weights: Floats) -> str:
    """Return why a candidate is not better than the best so far; empty if it is."""
    ours, theirs = one.candidate.balanced_accuracy, best.candidate.balanced_accuracy
    gains = len(weights) * weights * (best.losses - one.losses)
    error = float(gains.std(ddof=1) / np.sqrt(len(gains)))
    if ours < theirs:
        return "less accurate on the labelled cells"
    if gains.mean() <= (-error if ours > theirs else 0.0):
        return "a larger loss on the labelled cells"
    if one.candidate.home_balanced_accuracy < nothing.home_balanced_accuracy - MAX_HOME_LOSS:
        return "less accurate at home"
    return ""


def _measurable_weights(labels: Labels) -> Floats:
    """Return balanced weights without classes of one cell.

    Such a cell is never in a fold with another of its class, so cross-validation cannot measure it.
    """
    is_measurable = np.bincount(labels)[labels] > 1
    if not is_measurable.any():
        return balanced_weights(labels)
    weights = np.zeros(len(labels))
    weights[is_measurable] = balanced_weights(labels[is_measurable])
    return weights


def _measurable_accuracy(labels: Labels, logits: Floats) -> float:
    """Return the balanced accuracy of logits (views, n, classes), a mean over the views."""
    return float(_measurable_weights(labels) @ (logits.argmax(axis=2) == labels).mean(axis=0))
