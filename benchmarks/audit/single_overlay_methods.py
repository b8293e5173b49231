"""Methods that find single doctored images, compared at one false-positive rate.

.venv-bench/bin/python -m benchmarks.audit.single_overlay_methods --real FOLDER
"""

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, IsolationForest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from benchmarks.audit.doctored import PHOTOGRAPHS, WEIGHTS, photographs
from benchmarks.common.page import made_on, write_section
from stainproof.audit.measurements import SMALL_PX
from stainproof.audit.single_overlays import blend, describe_blending
from stainproof.audit.whitening import Whitener
from stainproof.config.schema import Preprocessing
from stainproof.data import sources
from stainproof.data.images import Images, shrink

NUM_A_CASE = len(PHOTOGRAPHS)
FALSE_SHARE = 0.003
NUM_COMPONENTS = 60

Scores = NDArray[np.float64]


def plant(cells: Images, rng: np.random.Generator) -> tuple[Images, NDArray[np.int64]]:
    """Blend every photograph once at every weight, whole and partial; give the positions."""
    images = cells.copy()
    cases = [(weight, partial) for weight in WEIGHTS for partial in (False, True)]
    chosen = rng.choice(len(cells), (len(cases), NUM_A_CASE), replace=False)
    for (weight, partial), members in zip(cases, chosen, strict=True):
        for index, picture in zip(members, photographs(), strict=True):
            laid = cv2.addWeighted(images[index], 1 - weight, picture, weight, 0)
            top, left = rng.integers(0, laid.shape[0] // 2, size=2) if partial else (0, 0)
            side = laid.shape[0] // 2 if partial else laid.shape[0]
            part = np.s_[top : top + side, left : left + side]
            images[index][part] = laid[part]
    return images, chosen


def learnt(small: Images, features: Any, model: Callable[[], Any]) -> Scores:
    """Score by a model that learns the set's own blends, two folds."""
    whitener = Whitener(small, 0)
    rng = np.random.default_rng(0)
    scores = np.empty(len(small))
    for own, judged in KFold(2, shuffle=True, random_state=0).split(small):
        blended = describe_blending(whitener, np.stack([blend(rgb, rng) for rgb in small[own]]))
        fitted = model().fit(np.concatenate([features[own], blended]), np.repeat([0, 1], len(own)))
        scores[judged] = fitted.decision_function(features[judged])
    return scores


def main(arguments: Sequence[str] | None = None) -> None:
    """Score every image by every method, write recall at the same share of false findings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--real", required=True, help="a folder of sound cells")
    options = parser.parse_args(arguments)
    cells = sources.load(options.real, Preprocessing()).images
    images, chosen = plant(cells, np.random.default_rng(0))
    small = shrink(images, SMALL_PX)
    whitener = Whitener(small, 0)
    features = describe_blending(whitener, small)
    scaled = StandardScaler().fit_transform(features)
    components = PCA(NUM_COMPONENTS, random_state=0).fit(scaled)
    inside = components.transform(scaled)
    scaler = StandardScaler
    methods: dict[str, Callable[[], Scores]] = {
        "energy after whitening": lambda: (whitener.coordinates(small) ** 2).mean(axis=1),
        "residual of 60 principal components": lambda: (
            (scaled - components.inverse_transform(inside)) ** 2
        ).sum(axis=1),
        "distance to the sixth neighbour": lambda: (
            NearestNeighbors(n_neighbors=7).fit(inside).kneighbors(inside)[0][:, -1]
        ),
        "isolation forest": lambda: (
            -IsolationForest(n_estimators=200, random_state=0).fit(inside).score_samples(inside)
        ),
        "own blends, boosted trees": lambda: learnt(
            small, features, lambda: HistGradientBoostingClassifier(max_iter=120, random_state=0)
        ),
        "own blends, logistic regression": lambda: learnt(
            small,
            features,
            lambda: make_pipeline(scaler(), LogisticRegression(C=0.01, max_iter=400)),
        ),
        "own blends, support vector machine": lambda: learnt(
            small, features, lambda: make_pipeline(scaler(), SVC(C=2.0, gamma=2e-4))
        ),
    }
    sound = np.setdiff1d(np.arange(len(small)), chosen)
    heads = [f"{cover} {weight}" for weight in WEIGHTS for cover in ("whole", "partial")]
    rows = [f"| method | {' | '.join(heads)} | seconds |", "|---|" + "---|" * (len(heads) + 1)]
    for name, method in methods.items():
        began = time.perf_counter()
        scores = method()
        seconds = time.perf_counter() - began
        line = np.quantile(scores[sound], 1 - FALSE_SHARE)
        recalls = " | ".join(f"{(scores[members] > line).mean():.2f}" for members in chosen)
        rows.append(f"| {name} | {recalls} | {seconds:.1f} |")
        print(rows[-1], flush=True)
    note = (
        f"Recall of {NUM_A_CASE} images a column, each under a photograph of its own, among "
        f"{len(small):,} cells, where {100 * FALSE_SHARE} % of the sound ones would be named. "
        f"{made_on()}"
    )
    write_section("Ways to find single doctored images", "\n".join([*rows, "", note]))


if __name__ == "__main__":
    main()
