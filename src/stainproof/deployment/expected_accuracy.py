"""The accuracy to expect on unlabelled images, with an interval."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, logsumexp, softmax
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stainproof.deployment.embedding import Embedding
from stainproof.deployment.novelty import NeighbourDistance
from stainproof.deployment.reference import Reference
from stainproof.deployment.simulated_sets import HOME, Cells
from stainproof.inference.features import FeatureExtractor
from stainproof.runs.artefact import Estimate

NUM_SIMULATED = 1000
NUM_FITTED, NUM_FOLDS = 400, 5
NUM_SIMILAR = 200
"""Simulated sets with the most similar estimates, whose errors give the interval."""
COVERAGE = 0.9
WIDENING = 1.0
"""Factor of the errors of simulated sets, because laboratories differ in more than distortions."""
MIN_SET = 40
"""Smaller sets have wider intervals."""
LEAST, MOST = 0.01, 0.995
"""Accuracies are clipped to this range before the logit."""
CONFIDENCE, DISTANCE, NUM_SCORES = 0, 3, 6
Floats = NDArray[np.float64]


def cell_scores(
    embedding: Embedding,
    extractor: FeatureExtractor,
    temperature: float,
    neighbours: NeighbourDistance,
) -> Floats:
    """Return scores of each image that go with a right answer, float64 (n, 6).

    Confidence; margin of the two largest logits; energy; logarithm of the distance to home cells;
    probability of the same class for the mirrored image; distance of both answers.
    """
    logits, mirrored = (
        extractor.logits(one).astype(np.float64) / temperature
        for one in (embedding.features, embedding.mirrored)
    )
    probs, others = softmax(logits, axis=1), softmax(mirrored, axis=1)
    ordered = np.sort(logits, axis=1)
    return np.stack(
        [
            probs.max(axis=1),
            np.minimum(ordered[:, -1] - ordered[:, -2], 15),
            logsumexp(logits, axis=1),
            np.log(neighbours(embedding.features) + 1e-3),
            others[np.arange(len(probs)), probs.argmax(axis=1)],
            np.abs(probs - others).sum(axis=1),
        ],
        axis=1,
    )


class AccuracyEstimator:
    """Estimates the accuracy of a set without labels; fitted on home cells and distorted copies.

    Two models are averaged on the logit scale, see `_Models`. The interval comes from the errors of
    simulated sets of distortions that the models were not fitted on, those with the most similar
    estimates, widened by `WIDENING`.
    """

    def __init__(
        self, reference: Reference, extractor: FeatureExtractor, temperature: float, seed: int = 0
    ):
        """Fit the models.

        Args:
            reference: Home cells and distorted copies.
            extractor: The network that computed the features.
            temperature: Fitted at home; logits are divided by it.
            seed: Seed of the simulated sets.
        """
        self.extractor, self.temperature = extractor, temperature
        self.neighbours = NeighbourDistance(reference.home.features)
        home, distorted = self._scores(reference.home), self._scores(reference.distorted)
        home[:, DISTANCE] = np.log(self.neighbours.of_home + 1e-3)
        features = np.concatenate([reference.home.features, reference.distorted.features])
        labels = np.concatenate([reference.labels, reference.distorted_labels])
        self.cells = Cells(
            scores=np.concatenate([home, distorted]),
            is_right=extractor.logits(features).argmax(axis=1) == labels,
            labels=labels,
            distortions=np.concatenate([np.full(len(home), HOME), reference.distortions]),
        )
        self.estimates, self.errors = self._cross_validate(np.random.default_rng((seed, 1)))
        self.models = _Models(self.cells, np.random.default_rng((seed, 2)))

    def __call__(self, embedding: Embedding) -> Estimate:
        """Estimate the accuracy of a set, 0 to 1, with an interval of 90 %."""
        return self.estimate(self._scores(embedding))

    def estimate(self, scores: Floats) -> Estimate:
        """Estimate the accuracy of a set from the scores of its images, float64 (n, 6)."""
        centre = self.models(scores)
        similar = np.argsort(np.abs(self.estimates - centre))[:NUM_SIMILAR]
        tails = (1 - COVERAGE) / 2, (1 + COVERAGE) / 2
        low, high = np.quantile(self.errors[similar], tails)
        factor = WIDENING * max(1.0, float(np.sqrt(MIN_SET / len(scores))))
        return Estimate(
            value=float(expit(centre)),
            low=float(expit(centre + factor * min(low, 0.0))),
            high=float(expit(centre + factor * max(high, 0.0))),
        )

    def of_cells(self, embedding: Embedding) -> Floats:
        """Return the estimated probability that each answer is right, float64 (n,)."""
        return self.models.of_cells(self._scores(embedding))

    def _scores(self, embedding: Embedding) -> Floats:
        return cell_scores(embedding, self.extractor, self.temperature, self.neighbours)

    def _cross_validate(self, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Return estimates of sets of left-out distortions, and true less estimated, as logits."""
        is_home = self.cells.distortions == HOME
        numbers = rng.permutation(np.unique(self.cells.distortions[~is_home]))
        estimates, errors = [], []
        for left_out in np.array_split(numbers, NUM_FOLDS):
            is_out = np.isin(self.cells.distortions, left_out)
            models = _Models(self.cells.subset(~is_out), rng)
            for drawn in self.cells.subset(is_out | is_home).simulate(
                NUM_SIMULATED // NUM_FOLDS, rng
            ):
                estimates.append(models(drawn.scores))
                errors.append(_logit(drawn.is_right.mean()) - estimates[-1])
        return np.array(estimates), np.array(errors)


class _Models:
    """The cell model and the set model.

    The cell model is a logistic regression from the scores of a cell to a right answer; its mean
    over a set estimates the accuracy. The set model is a ridge regression from mean confidence and
    mean distance of simulated sets to the logit of their accuracy. The first follows the class mix
    better, the second is less biased at home.
    """

    def __init__(self, cells: Cells, rng: np.random.Generator):
        self.of_cell = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
        is_right = cells.is_right.copy()
        if is_right.all() or not is_right.any():  # one answer of the other kind, to be fitted
            is_right[0] = not is_right[0]
        self.of_cell.fit(cells.scores, is_right)
        sets = list(cells.simulate(NUM_FITTED, rng))
        self.of_set = make_pipeline(StandardScaler(), Ridge(3.0))
        self.of_set.fit(
            np.stack([_set_scores(one.scores) for one in sets]),
            [_logit(one.is_right.mean()) for one in sets],
        )

    def __call__(self, scores: Floats) -> float:
        """Return the logit of the estimated accuracy of a set."""
        of_cells = _logit(self.of_cells(scores).mean())
        return 0.5 * (of_cells + float(self.of_set.predict(_set_scores(scores)[None])[0]))

    def of_cells(self, scores: Floats) -> Floats:
        """Return the estimated probability that each answer is right, float64 (n,)."""
        return np.asarray(self.of_cell.predict_proba(scores)[:, 1])


def _set_scores(scores: Floats) -> Floats:
    return np.array([_logit(scores[:, CONFIDENCE].mean()), scores[:, DISTANCE].mean()])


def _logit(share: float) -> float:
    return float(logit(np.clip(share, LEAST, MOST)))
