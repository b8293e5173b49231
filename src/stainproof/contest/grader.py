"""A contest's grader on this machine: run a submission, then score its predictions."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stainproof.config.schema import Preprocessing
from stainproof.contest.archive import unpack
from stainproof.contest.sandbox import Limits, Usage, run_program
from stainproof.contest.scratch import scratch_folder
from stainproof.errors import DataError, SubmissionError

FILES = Path(__file__).parent / "files"
INGESTION, SCORING = FILES / "ingestion_program", FILES / "scoring_program"
IMAGES_FILE, LABELS_FILE = "images.npy", "labels.json"
PREDICTIONS_FILE, CONFUSION_FILE = "predictions.txt", "confusion.json"
MODEL_FILE = "model.py"
CONTEST_INPUT = Preprocessing(size_px=96)
"""Preprocessing of a contest's images."""


@dataclass(frozen=True)
class Task:
    """The folders of a contest's phase."""

    input_data: Path
    """Holds `images.npy`, all that a submission is given."""
    reference_data: Path
    """Holds `labels.json`."""
    ingestion_program: Path = INGESTION
    scoring_program: Path = SCORING


@dataclass(frozen=True)
class GradingResult:
    """Confusion matrix and resource usage of a submission."""

    classes: tuple[str, ...]
    confusion: NDArray[np.int64]
    """(classes, classes) counts; rows are true classes."""
    usage: Usage
    """Duration of inference."""


def run_submission(
    submission: Path, task: Task, limits: Limits, name: str = ""
) -> tuple[bytes, Usage]:
    """Run a submission in an empty folder of its own.

    Args:
        submission: A zip with model.py at its top level.
        task: Holds the images and the ingestion program.
        limits: What the submission may use.
        name: Begins the message of an error; by default the path.

    Returns:
        The file of predictions, unchecked, and the resource usage of inference.

    Raises:
        SubmissionError: The zip is malformed, or the submission fails or writes no predictions.
    """
    name = name or str(submission)
    with scratch_folder() as folder:
        app = folder / "app"
        unpack(submission, app / "ingested_program")
        _check_model(submission, app / "ingested_program")
        shutil.copytree(task.ingestion_program, app / "program")
        shutil.copytree(task.input_data, app / "input_data")
        (app / "output").mkdir()
        predictions, usage = run_program(folder, limits, name, PREDICTIONS_FILE)
        if predictions is None:
            raise SubmissionError(f"{name}: ended without readable predictions")
        return predictions, usage


def grade(submission: Path, task: Task, limits: Limits) -> GradingResult:
    """Run a submission, then compare its predictions with the labels, which it cannot access.

    Args:
        submission: A zip with model.py at its top level.
        task: A phase of a contest.
        limits: What the submission may use.

    Raises:
        DataError: The bundle defines no classes, or its programs write no confusion matrix.
        SubmissionError: As of `run_submission`, or it does not predict one label for each image.
    """
    path = task.reference_data / LABELS_FILE
    truth = _parse_json(path.read_bytes() if path.is_file() else None, LABELS_FILE)
    if not isinstance(truth, dict) or not isinstance(truth.get("classes"), list):
        raise DataError(f"the contest's {LABELS_FILE} defines no classes")
    predictions, usage = run_submission(submission, task, limits)
    with scratch_folder() as folder:
        app = folder / "app"
        shutil.copytree(task.scoring_program, app / "program")
        shutil.copytree(task.reference_data, app / "input" / "ref")
        (app / "input" / "res").mkdir()
        (app / "input" / "res" / PREDICTIONS_FILE).write_bytes(predictions)
        (app / "output").mkdir()
        own = Limits(fenced=limits.fenced)
        written, _ = run_program(folder, own, str(submission), CONFUSION_FILE)
    counts = _parse_json(written, CONFUSION_FILE)
    num = len(truth["classes"])
    try:
        confusion = np.array(counts, dtype=np.int64)
    except (TypeError, ValueError, OverflowError):
        confusion = np.empty(0, dtype=np.int64)
    if confusion.shape != (num, num):
        raise DataError(f"the contest's programs wrote no {num} by {num} confusion matrix")
    return GradingResult(tuple(map(str, truth["classes"])), confusion, usage)


def _parse_json(content: bytes | None, name: str) -> Any:
    try:
        return json.loads(content or b"")
    except (ValueError, RecursionError) as error:
        raise DataError(f"the contest's {name} cannot be read") from error


def _check_model(submission: Path, folder: Path) -> None:
    """Raise if a submission has no model.py at its top level, and name the folder that has one."""
    if (folder / MODEL_FILE).is_file():
        return
    deeper = next(iter(sorted(folder.rglob(MODEL_FILE))), None)
    hint = f"; it is in {deeper.parent.name}/: zip the contents of that folder" if deeper else ""
    raise SubmissionError(f"{submission}: no {MODEL_FILE} at the top level of the zip{hint}")
