"""True counts of classes behind the predictions of a model whose errors were measured.

The errors are the confusion matrix of an evaluation. They are drawn as they may be, and for each
draw a Gibbs sampler draws how many cells of each class may be behind the predictions (Tanner and
Wong 1987, data augmentation). An interval joins these draws with the counting noise of the exact
binomial interval. Cells that a
person has confirmed count as they are; if all are, the interval is the exact binomial one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isclose
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import betainc

from stainproof.errors import CheckpointError
from stainproof.evaluation.intervals import CONFIDENCE
from stainproof.evaluation.result import EVALUATION_FILE, Evaluation
from stainproof.runs.folder import HOME_SOURCES, RunFolder
from stainproof.runs.shipped import find_run

NUM_CHAINS = 1500
"""Independent draws of the errors; each gives one draw of the true counts."""
NUM_STEPS = 30
"""Of the EM algorithm with which a chain begins."""
NUM_SWEEPS = 3
"""Of the Gibbs sampler in each chain."""
PREVALENCE_PRIOR = 0.5
"""Of each class in the Dirichlet prior of the prevalences (Jeffreys)."""
MAX_FALL = 0.05
"""Fall of the mean confidence up to which the errors are taken as they were measured."""
NUM_WIDENED = 10.0
"""Cells of each class that the errors count for where the confidence has fallen more."""
SAME_TEMPERATURE = 0.01
"""Relative difference of two temperatures up to which confidences are compared."""
RECALIBRATED = (
    "the model was calibrated after its errors were measured, so a fall of its confidence cannot "
    "be noticed; evaluate it again on labelled cells and give that evaluation with --errors"
)
TOLERANCE = 1e-7
"""Of the ends of an interval."""

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ErrorCounts:
    """The errors of a model, counted on labelled cells."""

    classes: tuple[str, ...]
    confusion: Counts
    """int64 (classes, classes); rows are true classes, columns are predictions."""
    source: str
    """Name of the cells on which they were counted."""
    is_home: bool = True
    """Whether they are the run's own held-out cells."""
    borrowed: tuple[str, ...] = ()
    """Classes without a cell in the source, whose rows are those of the run's own evaluation."""
    mean_confidence: float = 0.0
    """Mean probability of the predicted class on these cells, 0 to 1; 0 if it is not known at the
    present temperature of the model."""
    is_recalibrated: bool = False
    """Whether the model had another temperature when they were counted."""

    @classmethod
    def of(cls, evaluation: Evaluation, *, is_home: bool, temperature: float) -> Self:
        """Return the errors in an evaluation of a model that has a temperature now."""
        confusion = np.asarray(evaluation.confusion, dtype=np.int64)
        is_same = isclose(evaluation.temperature, temperature, rel_tol=SAME_TEMPERATURE)
        return cls(
            evaluation.classes,
            confusion,
            evaluation.source,
            is_home,
            mean_confidence=evaluation.mean_confidence if is_same else 0.0,
            is_recalibrated=not is_same,
        )

    @property
    def num_cells(self) -> int:
        """Number of labelled cells."""
        return int(self.confusion.sum())

    def is_less_sure(self, mean_confidence: float) -> bool:
        """Return whether the model is clearly less sure of other cells than of these."""
        return self.mean_confidence - mean_confidence > MAX_FALL

    def expected_at(self, mean_confidence: float) -> Floats:
        """Return the errors to expect on other cells, as counts float64 (classes, classes).

        They are those measured, unless the mean confidence has fallen by more than `MAX_FALL`. Then
        the accuracy is expected to have fallen as much (difference of confidences, Guillory et al.
        2021, "Predicting with confidence on unseen distributions"), the further errors go to all
        classes alike, and all counts for `NUM_WIDENED` cells of each class only.

        Args:
            mean_confidence: Mean probability of the predicted class on the other cells.
        """
        if not self.is_less_sure(mean_confidence):
            return self.confusion.astype(np.float64)
        accuracy = np.trace(self.confusion) / max(self.num_cells, 1)
        kept = max(1 - (self.mean_confidence - mean_confidence) / max(accuracy, 1e-9), 0.0)
        shares = self.confusion / np.maximum(self.confusion.sum(axis=1, keepdims=True), 1)
        spread = (1 - kept) / len(self.classes)
        return np.asarray(NUM_WIDENED * (kept * shares + spread))

    def complete(self, home: "ErrorCounts") -> "ErrorCounts":
        """Take the rows of classes without a cell from another evaluation of the same model."""
        absent = self.confusion.sum(axis=1) == 0
        confusion = np.where(absent[:, None], home.confusion, self.confusion)
        found = absent & (confusion.sum(axis=1) > 0)
        names = tuple(np.array(self.classes, dtype=object)[found])
        return replace(self, confusion=confusion, borrowed=names)


def read_errors(
    run: str | Path,
    evaluation: str | Path | None,
    classes: Sequence[str],
    weights_sha256: str,
    temperature: float,
) -> ErrorCounts:
    """Read the errors of a model.

    If the model had another temperature when it was evaluated, confidences are not compared.

    Args:
        run: Its run folder, or the name of a shipped model.
        evaluation: A folder with an `eval.json`, or that file; None: the evaluation of the run's
            own test images, or of its validation images if it has no test images.
        classes: Classes of the model, in the order of its outputs.
        weights_sha256: Hash of its weights.
        temperature: By which its probabilities are calibrated now.

    Raises:
        CheckpointError: There is no such evaluation, or it is one of another model.
    """
    own = _read_home(RunFolder(find_run(run)), classes, weights_sha256)
    home = ErrorCounts.of(own, is_home=True, temperature=temperature) if own else None
    if evaluation is None:
        if home is None:
            raise CheckpointError(
                f"{run}: has no evaluation of its own validation or test images; name one of the "
                "model on labelled cells with --errors"
            )
        return home
    path = Path(evaluation)
    found = _read(path / EVALUATION_FILE if path.is_dir() else path, classes, weights_sha256)
    errors = ErrorCounts.of(found, is_home=False, temperature=temperature)
    return errors.complete(home) if home else errors


def _read_home(run: RunFolder, classes: Sequence[str], weights_sha256: str) -> Evaluation | None:
    for split in reversed(HOME_SOURCES):
        path = run.home / split / EVALUATION_FILE
        if path.exists():
            return _read(path, classes, weights_sha256)
    return None


def _read(path: Path, classes: Sequence[str], weights_sha256: str) -> Evaluation:
    found = Evaluation.read(path)
    if found.weights_sha256 != weights_sha256 or found.classes != tuple(classes):
        raise CheckpointError(f"{path}: is an evaluation of another model; evaluate this one")
    return found


def draw_true_counts(
    predicted: Counts, confirmed: Counts, errors: Floats, rng: np.random.Generator
) -> Counts:
    """Draw how many cells of each true class there may be.

    The model: true classes are multinomial with prevalences from a Dirichlet prior of 1/2 for each
    class; the predictions of a true class are multinomial with probabilities from a Dirichlet prior
    of 1 in total for each row, which `errors` and the confirmed cells update. The unconfirmed cells
    do not update these probabilities (a cut distribution, Plummer 2015): every chain has its own
    draw of them, so that the draws are independent.

    Args:
        predicted: int64 (predictions,), number of unconfirmed cells with each prediction.
        confirmed: int64 (classes, predictions), number of confirmed cells.
        errors: float64 (classes, predictions), the confusion matrix of labelled cells.
        rng: Random generator.

    Returns:
        int64 (draws, classes), confirmed cells included.
    """
    known = confirmed.sum(axis=1)
    used = np.flatnonzero(predicted)
    if not len(used):
        return np.asarray(known[None])
    evidence = errors + confirmed + 1 / errors.shape[1]
    rates = _dirichlet(np.broadcast_to(evidence, (NUM_CHAINS, *evidence.shape)), rng)[:, :, used]
    prevalence = _likely_prevalence(predicted[used], known, rates)
    for _ in range(NUM_SWEEPS):
        joint = prevalence[:, :, None] * rates
        given_prediction = np.moveaxis(joint / joint.sum(axis=1, keepdims=True), 1, 2)
        true = known + rng.multinomial(predicted[used], given_prediction).sum(axis=1)
        prevalence = _dirichlet(true + PREVALENCE_PRIOR, rng)
    return np.asarray(true)


def _likely_prevalence(predicted: Counts, known: Counts, rates: Floats) -> Floats:
    """Return the prevalences that explain the predictions best, by expectation maximisation.

    Args:
        predicted: int64 (predictions,), number of unconfirmed cells with each prediction.
        known: int64 (classes,), number of confirmed cells.
        rates: float64 (chains, classes, predictions), probability of a prediction given the class.

    Returns:
        float64 (chains, classes), rows sum to 1 (Dempster, Laird and Rubin 1977).
    """
    num_chains, num_classes, _ = rates.shape
    prior = known + PREVALENCE_PRIOR
    prevalence = np.full((num_chains, num_classes), 1 / num_classes)
    for _ in range(NUM_STEPS):
        expected = np.einsum("ck,ckp->cp", prevalence, rates)
        true = prevalence * np.einsum("ckp,cp->ck", rates, predicted / expected)
        prevalence = true + prior
        prevalence /= prevalence.sum(axis=1, keepdims=True)
    return prevalence


def share_interval(num: Counts, total: Counts) -> tuple[float, float]:
    """Return the 95 % interval of a share whose counts are known as draws only.

    Its ends are the quantiles of the two mixtures of beta distributions that give the exact
    binomial interval (Clopper and Pearson 1934) for each draw. With one draw, or equal ones, it is
    that interval.

    Args:
        num: int64 (draws,), 0 or more.
        total: int64 (draws,), at least `num`.
    """
    pairs, times = np.unique(np.stack([num, total], axis=1), axis=0, return_counts=True)
    weights, rest = times / times.sum(), pairs[:, 1] - pairs[:, 0]
    tail = 0.5 * (1 - CONFIDENCE)
    low = _mixture_quantile(pairs[:, 0], rest + 1, weights, tail)
    return low, _mixture_quantile(pairs[:, 0] + 1, rest, weights, 1 - tail)


def _mixture_quantile(first: Counts, second: Counts, weights: Floats, level: float) -> float:
    """Return a quantile of a mixture of beta distributions.

    A distribution whose first parameter is 0 is the point 0; one whose second is 0, the point 1.
    """
    at_0, at_1 = weights[first == 0].sum(), weights[second == 0].sum()
    if at_0 >= level:
        return 0.0
    if 1 - at_1 <= level:
        return 1.0
    inside = (first > 0) & (second > 0)
    first, second, weights = first[inside], second[inside], weights[inside]

    def excess(share: float) -> float:
        return float(at_0 + weights @ betainc(first, second, share) - level)

    return float(brentq(excess, 0.0, 1.0, xtol=TOLERANCE))


def _dirichlet(concentration: Floats, rng: np.random.Generator) -> Floats:
    """Draw from Dirichlet distributions along the last axis."""
    gammas = rng.standard_gamma(concentration) + np.finfo(np.float64).tiny
    return np.asarray(gammas / gammas.sum(axis=-1, keepdims=True))
