"""What a submission is worth, by the programs of a contest."""

import tempfile
from pathlib import Path

from stainproof import files, provenance
from stainproof.data.imageset import ImageSet
from stainproof.delivery.codabench.competition import open_task, write_data
from stainproof.delivery.codabench.grader import Task, grade
from stainproof.delivery.codabench.sandbox import USUAL_LIMIT_S, Bounds
from stainproof.evaluation import metrics
from stainproof.results import Score


def score_on_bundle(
    submission: Path, bundle: Path, phase: str, time_limit_s: float | None, python: Path
) -> Score:
    """Score a submission on a phase of a bundle.

    Args:
        submission: The zip.
        bundle: A folder or a zip.
        phase: Name of the phase.
        time_limit_s: Seconds for all images; nothing: the bundle's own limit.
        python: The Python that runs the submission.

    Raises:
        ConfigError: There is no such phase or no such Python.
        DataError: The bundle is incomplete.
        SubmissionError: The zip is malformed, or the submission does not answer as it must.
    """
    with open_task(bundle, phase) as (task, usual_limit_s):
        bounds = Bounds(time_limit_s or usual_limit_s, python)
        return _score(submission, task, f"{bundle.stem}, {phase.lower()}", bounds)


def score_on_images(
    submission: Path, data: ImageSet, time_limit_s: float | None, python: Path
) -> Score:
    """Score a submission on labelled images of 96 px, as if they were a contest's.

    Args:
        submission: The zip.
        data: The images.
        time_limit_s: Seconds for all images; nothing: ten minutes.
        python: The Python that runs the submission.

    Raises:
        ConfigError: There is no such Python.
        DataError: The set is empty or has a class that is not the contest's.
        SubmissionError: The zip is malformed, or the submission does not answer as it must.
    """
    with tempfile.TemporaryDirectory(prefix="stainproof-") as folder:
        task = write_data(Path(folder), data)
        return _score(submission, task, data.source, Bounds(time_limit_s or USUAL_LIMIT_S, python))


def _score(submission: Path, task: Task, source: str, bounds: Bounds) -> Score:
    marks = grade(submission, task, bounds)
    num_right, num = int(marks.confusion.trace()), int(marks.confusion.sum())
    return Score(
        submission=submission.name,
        submission_sha256=files.sha256_of(submission),
        source=source,
        num_images=num,
        classes=marks.classes,
        accuracy=metrics.proportion(num_right, num),
        per_class=metrics.per_class(marks.confusion, marks.classes),
        confusion=tuple(tuple(row) for row in marks.confusion.tolist()),
        seconds=marks.usage.seconds,
        peak_mb=marks.usage.peak_mb,
        locked=marks.usage.locked,
        provenance=provenance.collect(),
    )
