"""What a model does with images of things that are no cells, as a text for its card."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.shift.ood import photographs, red_cells, share_unlike, textures
from stainproof.data.images import Images
from stainproof.deployment.home import Home, open_home

NUM_CLASSES = 3
"""Most frequent predicted classes that the text names."""


def describe(run: Path, fields: Path | None = None) -> str:
    """Predict things that are no cells and return what came out.

    Args:
        run: A run with a reference.
        fields: Folder of photographs of smears with `boxes.csv`, for windows without white cells.
    """
    home = open_home(run)
    sets = {"windows of photographs of a flower and a temple": photographs(home),
            "synthetic textures": textures(home)}  # fmt: skip
    if fields:
        sets["windows of blood smears with red cells only"] = red_cells(home, fields)
    sentences = [_sentence(home, name, images) for name, images in sets.items()]
    return (
        "A prediction always names one of the classes, so run stainproof check first, which "
        f"counts images that are unlike the home cells. {' '.join(sentences)}"
    )


def _sentence(home: Home, name: str, images: Images) -> str:
    probs = home.classifier.predict_proba(images)
    unlike = share_unlike(home, home.classifier.features(images))
    return (
        f"Of {len(images)} {name}, check calls {100 * unlike:.0f} % unlike; predicted are "
        f"{_most_frequent(probs.argmax(axis=1), home.classifier.classes)}, with a mean confidence "
        f"of {100 * probs.max(axis=1).mean():.0f} %."
    )


def _most_frequent(predicted: np.ndarray, classes: Sequence[str]) -> str:
    shares = np.bincount(predicted, minlength=len(classes)) / len(predicted)
    most = np.argsort(-shares, kind="stable")[:NUM_CLASSES]
    return ", ".join(f"{classes[k]} ({100 * shares[k]:.0f} %)" for k in most if shares[k])
