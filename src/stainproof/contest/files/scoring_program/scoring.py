"""Compares a submission's answers with the truth.

python3 scoring.py INPUT OUTPUT

Reads INPUT/ref/labels.json (the truth) and INPUT/res/predictions.txt (one number a line), and
writes OUTPUT/scores.json (a figure a column of the leaderboard) and OUTPUT/confusion.json (counts:
a row a true class, a column a predicted one).
"""

import json
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

LONGEST_LINE = 4
"""Bytes of one answer, its end of line included."""


def main(truth: Path, answers: Path, output: Path) -> None:
    """Write the scores; end with one line and code 1 where the answers cannot be read."""
    reference = json.loads((truth / "labels.json").read_text(encoding="utf-8"))
    classes, labels = reference["classes"], np.array(reference["labels"], dtype=np.int64)
    try:
        predicted = read_predictions(answers / "predictions.txt", len(labels), len(classes))
    except (OSError, ValueError) as error:
        sys.exit(f"scoring: {error}")
    confusion = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(confusion, (labels, predicted), 1)
    (output / "confusion.json").write_text(json.dumps(confusion.tolist()), encoding="ascii")
    (output / "scores.json").write_text(json.dumps(scores(confusion, classes)), encoding="ascii")


def read_predictions(path: Path, num_images: int, num_classes: int) -> NDArray[np.int64]:
    """Return the answers, int64 (n,); they come from a program that nobody has checked."""
    if path.is_symlink() or not path.is_file():
        raise ValueError("there is no predictions.txt")
    if path.stat().st_size > LONGEST_LINE * num_images:
        raise ValueError(f"predictions.txt holds more than {num_images} labels")
    lines = path.read_bytes().split()
    if len(lines) != num_images:
        raise ValueError(f"predictions.txt must hold {num_images} labels, got {len(lines)}")
    if not all(line.isdigit() and int(line) < num_classes for line in lines):
        raise ValueError(f"predictions.txt must hold labels from 0 to {num_classes - 1}")
    return np.array([int(line) for line in lines], dtype=np.int64)


def scores(confusion: NDArray[np.int64], classes: list[str]) -> dict[str, float]:
    """Return the accuracy, and of every class with images the share that was recognised."""
    right, present = np.diagonal(confusion), confusion.sum(axis=1)
    by_class = {
        name: int(hits) / int(num)
        for name, hits, num in zip(classes, right, present, strict=True)
        if num
    }
    return {"accuracy": int(right.sum()) / int(present.sum()), **by_class}


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    main(folder / "ref", folder / "res", Path(sys.argv[2]))
