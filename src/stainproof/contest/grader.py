"""A contest's grader on this machine: a submission answers, then its answers are scored."""

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stainproof.config.schema import Preprocessing
from stainproof.contest.archive import unpack
from stainproof.contest.sandbox import Bounds, Usage, run_program
from stainproof.errors import DataError, SubmissionError

FILES = Path(__file__).parent / "files"
INGESTION, SCORING = FILES / "ingestion_program", FILES / "scoring_program"
IMAGES_FILE, LABELS_FILE = "images.npy", "labels.json"
PREDICTIONS_FILE, CONFUSION_FILE = "predictions.txt", "confusion.json"
MODEL_FILE = "model.py"
CONTEST_INPUT = Preprocessing(size_px=96)
"""Size and shape of a contest's images."""
MOST_BYTES = 64 * 2**20
"""Of a file of predictions; a label takes two."""


@dataclass(frozen=True)
class Task:
    """What a phase of a contest consists of, a folder each."""

    input_data: Path
    """`images.npy`: all that a submission is given."""
    reference_data: Path
    """`labels.json`."""
    ingestion_program: Path = INGESTION
    scoring_program: Path = SCORING


@dataclass(frozen=True)
class GradingResult:
    """What a submission is worth."""

    classes: tuple[str, ...]
    confusion: NDArray[np.int64]
    """(classes, classes) counts; rows are true classes."""
    usage: Usage
    """What inference took."""


def answer(submission: Path, task: Task, bounds: Bounds, who: str = "") -> tuple[bytes, Usage]:
    """Let a submission answer in an empty folder of its own.

    Args:
        submission: A zip with model.py at its top.
        task: Gives the images and the ingestion program.
        bounds: What the submission may take.
        who: Begins the message of an error; by default the path.

    Returns:
        The file of predictions, as it is, and what inference took.

    Raises:
        SubmissionError: The zip is malformed, or the submission fails or does not answer.
    """
    who = who or str(submission)
    with tempfile.TemporaryDirectory(prefix="stainproof-") as folder:
        app = Path(folder) / "app"
        unpack(submission, app / "ingested_program")
        _check_model(submission, app / "ingested_program")
        shutil.copytree(task.ingestion_program, app / "program")
        shutil.copytree(task.input_data, app / "input_data")
        (app / "output").mkdir()
        usage = run_program(Path(folder), bounds, who)
        path = app / "output" / PREDICTIONS_FILE
        if path.is_symlink() or not path.is_file() or path.stat().st_size > MOST_BYTES:
            raise SubmissionError(f"{who}: ended without predictions that can be read")
        return path.read_bytes(), usage


def grade(submission: Path, task: Task, bounds: Bounds) -> GradingResult:
    """Let a submission answer, then compare its answers with the labels, which it never sees.

    Args:
        submission: A zip with model.py at its top.
        task: A phase of a contest.
        bounds: What the submission may take.

    Raises:
        DataError: The bundle names no classes, or its programs leave no counts.
        SubmissionError: As of `answer`, or the answers are not one label for every image.
    """
    truth = _read_json(task.reference_data / LABELS_FILE)
    if not isinstance(truth, dict) or not isinstance(truth.get("classes"), list):
        raise DataError(f"the contest's {LABELS_FILE} names no classes")
    predictions, usage = answer(submission, task, bounds)
    with tempfile.TemporaryDirectory(prefix="stainproof-") as folder:
        app = Path(folder) / "app"
        shutil.copytree(task.scoring_program, app / "program")
        shutil.copytree(task.reference_data, app / "input" / "ref")
        (app / "input" / "res").mkdir()
        (app / "input" / "res" / PREDICTIONS_FILE).write_bytes(predictions)
        (app / "output").mkdir()
        run_program(Path(folder), Bounds(), str(submission))
        counts = _read_json(app / "output" / CONFUSION_FILE)
    num = len(truth["classes"])
    try:
        confusion = np.array(counts, dtype=np.int64)
    except (TypeError, ValueError, OverflowError):
        confusion = np.empty(0, dtype=np.int64)
    if confusion.shape != (num, num):
        raise DataError(f"the contest's programs left no table of {num} by {num} counts")
    return GradingResult(tuple(map(str, truth["classes"])), confusion, usage)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"the contest's {path.name} cannot be read") from error


def _check_model(submission: Path, folder: Path) -> None:
    """Refuse a submission without model.py at its top, and say where it is instead."""
    if (folder / MODEL_FILE).is_file():
        return
    deeper = next(iter(sorted(folder.rglob(MODEL_FILE))), None)
    hint = f"; it lies in {deeper.parent.name}/: zip what is in that folder" if deeper else ""
    raise SubmissionError(f"{submission}: no {MODEL_FILE} at the top of the zip{hint}")
