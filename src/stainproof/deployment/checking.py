"""Check unlabelled images: drift, accuracy to expect, class mix, unlike images, verdict."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from stainproof import provenance
from stainproof.deployment.class_mix import estimate_class_mix
from stainproof.deployment.drift import find_drift
from stainproof.deployment.embedding import Embedding, embed
from stainproof.deployment.expected_accuracy import AccuracyEstimator
from stainproof.deployment.home import Home
from stainproof.deployment.images import UnlabelledImages
from stainproof.deployment.properties import measure_properties
from stainproof.deployment.result import Checked, CheckResult, ClassEstimate, UnlikeImage
from stainproof.deployment.verdict import judge
from stainproof.progress import Track, silent
from stainproof.text import printable


def check_images(
    home: Home,
    images: UnlabelledImages,
    given: Sequence[str],
    *,
    lab: str = "",
    seed: int = 0,
    track: Track = silent,
) -> Checked:
    """Check unlabelled images against the home laboratory of a run.

    Args:
        home: The run with its reference.
        images: The images.
        given: Paths and globs that they come from.
        lab: What the laboratory profile changed; empty without one.
        seed: Seed of subsets, permutations and bootstraps.
        track: Shows progress.
    """
    found = embed(home.classifier, images.rgb, track, "computing features")
    properties = measure_properties(images.rgb)
    checker = Checker(home, seed)
    return checker(
        found,
        properties,
        images.names,
        given,
        num_left_out=images.num_left_out,
        num_unreadable=len(images.errors),
        lab=lab,
    )


class Checker:
    """Checks sets of images against the home laboratory of a run; fitted once for all sets."""

    def __init__(self, home: Home, seed: int = 0):
        """Fit what does not depend on the images.

        Args:
            home: The run with its reference.
            seed: Seed of subsets, permutations and bootstraps.
        """
        self.home, self.seed = home, seed
        self.temperature = home.temperature
        extractor = home.classifier.extractor
        self.estimator = AccuracyEstimator(home.reference, extractor, self.temperature, seed)

    def is_unlike(self, found: Embedding) -> NDArray[np.bool_]:
        """Return which images are unlike the home cells, bool (n,)."""
        neighbours = self.estimator.neighbours
        return np.asarray(neighbours(found.features) > neighbours.threshold)

    def __call__(
        self,
        found: Embedding,
        properties: NDArray[np.float32],
        names: Sequence[str],
        given: Sequence[str],
        *,
        num_left_out: int = 0,
        num_unreadable: int = 0,
        lab: str = "",
    ) -> Checked:
        """Check a set of images.

        Args:
            found: Their features.
            properties: float32 (n, 7), see `properties.PROPERTIES`.
            names: Their n names.
            given: Paths and globs that they come from.
            num_left_out: Readable images that are not among them.
            num_unreadable: Images that could not be read.
            lab: What the laboratory profile changed; empty without one.
        """
        classifier, reference = self.home.classifier, self.home.reference
        accuracy, chances = self.estimator(found), self.estimator.of_cells(found)
        logits = classifier.extractor.logits(found.features)
        labels = logits.argmax(axis=1)
        drift = find_drift(
            reference.home.features, found.features, reference.properties, properties, self.seed
        )
        distances = self.estimator.neighbours(found.features)
        is_unlike = self.is_unlike(found)
        classes = tuple(
            _of_class(name, chances[labels == k]) for k, name in enumerate(classifier.classes)
        )
        verdict, reasons = judge(accuracy, drift, float(is_unlike.mean()), classes, len(labels))
        result = CheckResult(
            images=tuple(map(printable, given)),
            num_images=len(labels),
            num_left_out=num_left_out,
            num_unreadable=num_unreadable,
            weights_sha256=classifier.weights_sha256,
            lab=lab,
            expected_accuracy=accuracy,
            home_accuracy=_home_accuracy(self.home),
            classes=classes,
            drift=drift,
            class_mix=estimate_class_mix(
                softmax(logits / self.temperature, axis=1),
                self.home.training_mix,
                classifier.classes,
                self.seed,
            ),
            unlike_share=float(is_unlike.mean()),
            unlike_threshold=self.estimator.neighbours.threshold,
            unlike=tuple(
                UnlikeImage(
                    name=names[index],
                    distance=float(distances[index]),
                    predicted=classifier.classes[labels[index]],
                )
                for index in np.argsort(-distances, kind="stable")[: int(is_unlike.sum())]
            ),
            verdict=verdict,
            reasons=reasons,
            seed=self.seed,
            provenance=provenance.collect(),
        )
        return Checked(result, properties, distances, chances)


def _of_class(name: str, chances: NDArray[np.float64]) -> ClassEstimate:
    expected = float(chances.mean()) if len(chances) else None
    return ClassEstimate(name=name, num_predicted=len(chances), expected_precision=expected)


def _home_accuracy(home: Home) -> float:
    reference: Embedding = home.reference.home
    labels = home.classifier.extractor.logits(reference.features).argmax(axis=1)
    return float((labels == home.reference.labels).mean())
