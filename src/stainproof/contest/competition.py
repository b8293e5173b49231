"""Contest bundles for Codabench: writing one with two phases, and reading its parts."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
import yaml

from stainproof import files
from stainproof.config.parsing import choose
from stainproof.contest.archive import pack, unpack
from stainproof.contest.grader import CONTEST_INPUT, FILES, IMAGES_FILE, LABELS_FILE, Task
from stainproof.contest.settings import Contest, make_contest
from stainproof.data import sources
from stainproof.data.dataset import Dataset
from stainproof.errors import DataError
from stainproof.labels import BLOOD_CLASSES
from stainproof.progress import Track, silent
from stainproof.synthetic import phantoms

COMPETITION_FILE, LOGO_FILE = "competition.yaml", "logo.png"
PHASES = ("Development", "Final")
PAGES = ("overview", "evaluation", "data", "terms")
"""Titles and file names."""
INPUT, REFERENCE = "input_data", "reference_data"
PROGRAMS = ("ingestion_program", "scoring_program")


def competition(
    development: str | Path,
    final: str | Path,
    out: str | Path,
    contest: Contest | None = None,
    *,
    track: Track = silent,
) -> None:
    """Write a contest for Codabench: programs, pages, images and hidden labels.

    Args:
        development: Labelled images for scoring during the contest.
        final: Labelled images for scoring once, at the end.
        out: A `.zip`, or else a folder.
        contest: Title, dates and limits; by default it starts today.
        track: Shows progress.

    Raises:
        DataError: A source cannot be read or has a class that is not the contest's, or `out` cannot
            be written or is not empty.
    """
    sets = [sources.load_test(one, CONTEST_INPUT, track) for one in (development, final)]
    write_bundle(Path(out), dict(zip(PHASES, sets, strict=True)), contest or make_contest())


def write_bundle(out: Path, sets: dict[str, Dataset], contest: Contest) -> None:
    """Write a bundle, a `.zip` or else a folder.

    Args:
        out: What to write.
        sets: Phase -> labelled images of 96 px.
        contest: Title, dates and limits.

    Raises:
        DataError: A set is empty or has a class that is not the contest's, or `out` cannot be
            written or is not empty.
    """
    if out.suffix.lower() == ".zip":
        with tempfile.TemporaryDirectory() as folder, files.atomic_path(out) as part:
            _write_files(Path(folder), sets, contest)
            pack(Path(folder), part)
        return
    with files.new_folder(out) as folder:
        _write_files(folder, sets, contest)


def _write_files(folder: Path, sets: dict[str, Dataset], contest: Contest) -> None:
    for phase, data in sets.items():
        write_data(folder / phase.lower(), data)
    for name in (*PROGRAMS, "starting_kit"):
        shutil.copytree(FILES / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    cells, _ = phantoms.generate(len(BLOOD_CLASSES), seed=0)
    rows = [np.hstack(list(row)) for row in np.split(cells, 2)]
    files.write_picture(folder / LOGO_FILE, np.vstack(rows))
    facts = {**contest.model_dump(), **{name.lower(): len(data) for name, data in sets.items()}}
    for page in PAGES:
        text = (FILES / "pages" / f"{page}.md").read_text(encoding="utf-8")
        files.write_text(folder / "pages" / f"{page}.md", Template(text).substitute(facts))
    text = yaml.safe_dump(_competition(contest), sort_keys=False, allow_unicode=True)
    files.write_text(folder / COMPETITION_FILE, text)


def write_data(folder: Path, data: Dataset) -> Task:
    """Write images and labels of a phase into separate folders.

    Images are ordered by their hashes: the order is the same for the same images, and reveals
    nothing about the labels.

    Raises:
        DataError: The set is empty or has a class that is not the contest's.
    """
    labels = data.labels_in(BLOOD_CLASSES, "the contest")
    hashes = [hashlib.sha256(rgb.tobytes()).digest() for rgb in data.images]
    order = sorted(range(len(data)), key=hashes.__getitem__)
    task = Task(folder / INPUT, folder / REFERENCE)
    task.input_data.mkdir(parents=True)
    np.save(task.input_data / IMAGES_FILE, data.images[order], allow_pickle=False)
    truth = {"classes": BLOOD_CLASSES, "labels": labels[order].tolist()}
    files.write_text(task.reference_data / LABELS_FILE, json.dumps(truth))
    return task


def _competition(contest: Contest) -> dict[str, Any]:
    """Return the content of competition.yaml, in version 2 of Codabench's format."""
    return {
        "version": 2,
        "title": contest.title,
        "description": "Classify blood cells of another laboratory, stain and microscope.",
        "image": LOGO_FILE,
        "terms": "pages/terms.md",
        "docker_image": contest.docker_image,
        "registration_auto_approve": False,
        "make_programs_available": True,
        "make_input_data_available": False,
        "pages": [{"title": page.capitalize(), "file": f"pages/{page}.md"} for page in PAGES],
        "tasks": [
            {
                "index": index,
                "name": phase,
                **{kind: f"{phase.lower()}/{kind}" for kind in (INPUT, REFERENCE)},
                **{program: program for program in PROGRAMS},
            }
            for index, phase in enumerate(PHASES)
        ],
        "phases": _phases(contest),
        "leaderboards": [_leaderboard()],
    }


def _phases(contest: Contest) -> list[dict[str, Any]]:
    switch = contest.start + timedelta(days=contest.days)
    ends = (contest.start, switch, switch + timedelta(days=contest.final_days))
    common = {"execution_time_limit": contest.time_limit_s, "hide_prediction_output": True}
    only = (
        {"max_submissions_per_day": contest.submissions_a_day, "starting_kit": "starting_kit"},
        {"max_submissions": 1, "hide_output": True},
    )
    return [
        {
            "index": index,
            "name": phase,
            "start": f"{ends[index]} 00:00:00",
            "end": f"{ends[index + 1]} 00:00:00",
            **common,
            **only[index],
            "tasks": [index],
        }
        for index, phase in enumerate(PHASES)
    ]


def _leaderboard() -> dict[str, Any]:
    columns = [
        {"title": name, "key": name, "index": index, "sorting": "desc", "precision": 4}
        for index, name in enumerate(("accuracy", *BLOOD_CLASSES))
    ]
    return {
        "title": "Results",
        "key": "main",
        "submission_rule": "Force_Best",
        "columns": columns,
    }


def is_bundle(path: Path) -> bool:
    """Return whether a path is a contest bundle rather than a source of images."""
    return path.suffix.lower() == ".zip" or files.exists(path / COMPETITION_FILE)


@contextmanager
def open_task(bundle: Path, phase: str) -> Iterator[tuple[Task, float]]:
    """Provide the folders of a phase and its time limit in seconds inside a `with` block.

    Args:
        bundle: A folder, or a zip that is unpacked.
        phase: Name of the phase, case-insensitive.

    Raises:
        ConfigError: There is no such phase.
        DataError: The bundle is incomplete.
        SubmissionError: The zip is malformed.
    """
    with tempfile.TemporaryDirectory(prefix="stainproof-") as temporary:
        folder = bundle if bundle.is_dir() else Path(temporary)
        if folder is not bundle:
            unpack(bundle, folder)
        try:
            task, limit_s = _find_task(folder, phase)
        except (OSError, ValueError, LookupError, TypeError, yaml.YAMLError) as error:
            raise DataError(f"{bundle}: {COMPETITION_FILE} is missing or incomplete") from error
        for part in vars(task).values():
            if not part.is_dir():
                raise DataError(f"{bundle}: no folder {part.relative_to(folder)} in it")
        yield task, limit_s


def _find_task(folder: Path, phase: str) -> tuple[Task, float]:
    competition = yaml.safe_load((folder / COMPETITION_FILE).read_text(encoding="utf-8"))
    phases = {str(one["name"]).lower(): one for one in competition["phases"]}
    tasks = {one["index"]: one for one in competition["tasks"]}
    chosen = choose(phases, phase.lower(), "phase")
    task = tasks[chosen["tasks"][0]]
    places = [folder / task[kind] for kind in (INPUT, REFERENCE, *PROGRAMS)]
    if not all(place.resolve().is_relative_to(folder.resolve()) for place in places):
        raise ValueError("a folder lies outside of the bundle")
    return Task(*places), float(chosen["execution_time_limit"])
