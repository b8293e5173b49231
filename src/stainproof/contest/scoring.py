"""Scoring of a submission by the programs of a contest."""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from stainproof import files, provenance
from stainproof.contest.competition import is_bundle, open_task, write_data
from stainproof.contest.grader import CONTEST_INPUT, Task, grade
from stainproof.contest.results import Score
from stainproof.contest.sandbox import DEFAULT_TIME_LIMIT_S, Limits, check_sandbox
from stainproof.data import sources
from stainproof.errors import ConfigError
from stainproof.evaluation import metrics
from stainproof.evaluation.intervals import proportion
from stainproof.progress import Track, silent


def score(
    submission: str | Path,
    on: str | Path,
    out: str | Path | None = None,
    *,
    phase: str | None = None,
    time_limit_s: float | None = None,
    python: str | Path = sys.executable,
    unfenced: bool = False,
    track: Track = silent,
) -> Score:
    """Score a submission as Codabench does, with the contest's own programs, on this machine.

    Args:
        submission: A zip with model.py at its top level. It is untrusted and runs in a sandbox,
            which needs bubblewrap.
        on: A bundle that `competition` made, or labelled images.
        out: A JSON file for the result; by default none is written.
        phase: Phase of a bundle; by default `development`.
        time_limit_s: Seconds for all images; by default the bundle's limit, or ten minutes.
        python: The Python interpreter that runs it, with the packages that the submission needs.
        unfenced: Whether to run it without the sandbox; it can then read your files and use the
            network.
        track: Shows progress.

    Raises:
        ConfigError: There is no such phase, Python interpreter or sandbox.
        DataError: The bundle or the source cannot be used.
        SubmissionError: The zip is malformed, or the submission fails or predicts in a wrong form.
    """
    place, zipped = Path(on), Path(submission)
    limits = Limits(python=Path(python), fenced=not unfenced)
    check_sandbox(limits)
    if out:
        files.check_writable(Path(out))
    if is_bundle(place):
        name = phase or "development"
        with open_task(place, name) as (task, limit_s):
            limits = replace(limits, time_limit_s=time_limit_s or limit_s)
            result = _score(zipped, task, f"{place.stem}, {name.lower()}", limits)
    elif phase is not None:
        raise ConfigError(f"phase {phase!r}: {on} is not a contest bundle and has no phases")
    else:
        data = sources.load_test(on, CONTEST_INPUT, track)
        with tempfile.TemporaryDirectory(prefix="stainproof-") as folder:
            task = write_data(Path(folder), data)
            limits = replace(limits, time_limit_s=time_limit_s or DEFAULT_TIME_LIMIT_S)
            result = _score(zipped, task, data.source, limits)
    if out:
        result.write(Path(out))
    return result


def _score(submission: Path, task: Task, source: str, limits: Limits) -> Score:
    graded = grade(submission, task, limits)
    num_correct, num = int(graded.confusion.trace()), int(graded.confusion.sum())
    return Score(
        submission=submission.name,
        submission_sha256=files.sha256_of(submission),
        source=source,
        num_images=num,
        classes=graded.classes,
        accuracy=proportion(num_correct, num),
        per_class=metrics.per_class(graded.confusion, graded.classes),
        confusion=tuple(tuple(row) for row in graded.confusion.tolist()),
        seconds=graded.usage.seconds,
        peak_mb=graded.usage.peak_mb,
        sandboxed=graded.usage.sandboxed,
        provenance=provenance.collect(),
    )
