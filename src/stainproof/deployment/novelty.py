"""Out-of-distribution scores: how unlike the home cells an image is."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp
from sklearn.neighbors import NearestNeighbors

NUM_NEIGHBOURS = 10
MAX_HOME_SHARE = 0.01
"""Share of held-out home cells that the threshold calls unlike the home cells."""
Floats = NDArray[np.float32]


def energy(logits: Floats) -> NDArray[np.float64]:
    """Return the energy score of each row (Liu et al. 2020); larger: more unlike."""
    return np.asarray(-logsumexp(logits, axis=1))


class NeighbourDistance:
    """Distance to the k-th nearest home cell on normalised features (Sun et al. 2022)."""

    def __init__(self, home: Floats):
        """Index the features of home cells, float32 (N, d)."""
        self.index = NearestNeighbors(n_neighbors=min(NUM_NEIGHBOURS, len(home) - 1))
        self.index.fit(normalised(home))
        distances, _ = self.index.kneighbors()  # without the cell itself
        self.of_home: NDArray[np.float64] = distances[:, -1]
        """Distances of the home cells to each other, float64 (N,)."""
        self.threshold = float(np.quantile(self.of_home, 1 - MAX_HOME_SHARE))

    def __call__(self, features: Floats) -> NDArray[np.float64]:
        """Return the distances of n images, float64 (n,), 0 to 2."""
        distances, _ = self.index.kneighbors(normalised(features))
        return np.asarray(distances[:, -1])


class ClassDistance:
    """Mahalanobis distance to the nearest class mean with a shared covariance (Lee et al. 2018)."""

    def __init__(self, home: Floats, labels: NDArray[np.int64]):
        """Fit means and covariance of home cells, float32 (N, d), int64 (N,)."""
        self.means = np.stack([home[labels == k].mean(axis=0) for k in np.unique(labels)])
        nearest = np.searchsorted(np.unique(labels), labels)
        within = (home - self.means[nearest]).astype(np.float64)
        covariance = within.T @ within / len(home)
        covariance += 1e-3 * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
        self.whitening = np.linalg.cholesky(np.linalg.inv(covariance))

    def __call__(self, features: Floats) -> NDArray[np.float64]:
        """Return the distances of n images, float64 (n,)."""
        offsets = features[:, None] - self.means
        return np.asarray(np.linalg.norm(offsets @ self.whitening, axis=2).min(axis=1))


def normalised(features: Floats) -> Floats:
    """Return features with rows of length 1."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.maximum(lengths, 1e-9), dtype=np.float32)
