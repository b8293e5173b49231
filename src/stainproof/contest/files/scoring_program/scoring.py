"""Compare the predictions of a submission with the labels.

python3 scoring.py INPUT OUTPUT

Reads INPUT/ref/labels.json (the true labels) and INPUT/res/predictions.txt (one label per line).
Writes OUTPUT/scores.json (the columns of the leaderboard) and OUTPUT/confusion.json (counts; rows
are true classes, columns are predicted classes).
"""

import json
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

MAX_LINE_BYTES = 4
"""Largest length of one prediction, including its line end."""


def main(reference: Path, predictions: Path, output: Path) -> None:
    """Write the scores; exit with one line and code 1 if the predictions are invalid."""
    truth = json.loads((reference / "labels.json").read_text(encoding="utf-8"))
    classes, labels = truth["classes"], np.array(truth["labels"], dtype=np.int64)
    try:
        predicted = read_predictions(predictions / "predictions.txt", len(labels), len(classes))
    except (OSError, ValueError) as error:
        sys.exit(f"scoring: {error}")
    confusion = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(confusion, (labels, predicted), 1)
    (output / "confusion.json").write_text(json.dumps(confusion.tolist()), encoding="ascii")
    (output / "scores.json").write_text(json.dumps(scores(confusion, classes)), encoding="ascii")


def read_predictions(path: Path, num_images: int, num_classes: int) -> NDArray[np.int64]:
    """Return the predicted labels, int64 (n,), from a file that an untrusted program wrote."""
    if path.is_symlink() or not path.is_file():
        raise ValueError("predictions.txt is missing")
    if path.stat().st_size > MAX_LINE_BYTES * num_images:
        raise ValueError(f"predictions.txt contains more than {num_images} labels")
    lines = path.read_bytes().split()
    if len(lines) != num_images:
        raise ValueError(f"predictions.txt must contain {num_images} labels, got {len(lines)}")
    if not all(line.isdigit() and int(line) < num_classes for line in lines):
        raise ValueError(f"predictions.txt must contain labels from 0 to {num_classes - 1}")
    return np.array([int(line) for line in lines], dtype=np.int64)


def scores(confusion: NDArray[np.int64], classes: list[str]) -> dict[str, float]:
    """Return the accuracy and the sensitivity of every class that has images."""
    correct, num_images = np.diagonal(confusion), confusion.sum(axis=1)
    sensitivity = {
        name: int(hits) / int(num)
        for name, hits, num in zip(classes, correct, num_images, strict=True)
        if num
    }
    return {"accuracy": int(correct.sum()) / int(num_images.sum()), **sensitivity}


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    main(folder / "ref", folder / "res", Path(sys.argv[2]))
