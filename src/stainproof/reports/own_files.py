"""Files that a report shows: only those in the run folder itself, and only decoded pictures.

A run folder may come from somebody else. A link in it, or a class named `../..`, must not bring a
file of this machine into a page that is passed on.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from stainproof import files
from stainproof.data.image_file import open_image
from stainproof.errors import CheckpointError, DataError
from stainproof.evaluation.corrupted_result import CORRUPTIONS_FILE, CorruptionEvaluation
from stainproof.evaluation.result import EVALUATION_FILE, MISTAKES_FOLDER, Evaluation
from stainproof.reports.frame import picture_uri
from stainproof.runs.folder import RunFolder

if TYPE_CHECKING:
    from stainproof.data.images import Images


def read_settings(run: RunFolder) -> str:
    """Return the text of `config.toml`.

    Raises:
        CheckpointError: The file is missing or a link.
        ConfigError: It does not hold settings.
    """
    _check_own(run.config, run.path)
    run.read_config()
    return run.read(run.config).decode("utf-8", "replace")


def read_evaluation(run: RunFolder, folder: Path) -> Evaluation:
    """Read the evaluation in a folder, which may lie outside the run folder.

    Raises:
        CheckpointError: The file is missing, a link or damaged.
    """
    _check_own(folder / EVALUATION_FILE, _root(run, folder))
    return Evaluation.read(folder / EVALUATION_FILE)


def read_corruptions(run: RunFolder, folder: Path) -> CorruptionEvaluation:
    """Read the evaluation on corrupted images in a folder.

    Raises:
        CheckpointError: The file is missing, a link or damaged.
    """
    _check_own(folder / CORRUPTIONS_FILE, _root(run, folder))
    return CorruptionEvaluation.read(folder / CORRUPTIONS_FILE)


def pictures_of(run: RunFolder, folder: Path, result: Evaluation) -> list[str]:
    """Return the pictures of an evaluation's mistakes as data URIs.

    Raises:
        CheckpointError: One of them is missing, a link or no image.
    """
    pictures = (folder / MISTAKES_FOLDER / mistake.picture for mistake in result.mistakes)
    return [read_picture(path, _root(run, folder)) for path in pictures]


def mistaken_images(run: RunFolder, folder: Path, result: Evaluation) -> "list[Images]":
    """Return the images of an evaluation's mistakes, uint8 (height, width, 3) each.

    Raises:
        CheckpointError: One of them is missing, a link or no image.
    """
    root = _root(run, folder)
    paths = (folder / MISTAKES_FOLDER / mistake.picture for mistake in result.mistakes)
    return [np.asarray(_read_own(path, root)) for path in paths]


def read_picture(path: Path, root: Path) -> str:
    """Return an image in a folder as a data URI; it is decoded and encoded again.

    Raises:
        CheckpointError: It is missing, a link or no image.
    """
    return picture_uri(_read_own(path, root))


def _read_own(path: Path, root: Path) -> Image.Image:
    """Return an image in a folder, decoded.

    Raises:
        CheckpointError: It is missing, a link or no image.
    """
    _check_own(path, root)
    try:
        with open_image(path) as picture:
            return picture.convert("RGB")
    except DataError as error:
        raise CheckpointError(str(error)) from error


def _root(run: RunFolder, folder: Path) -> Path:
    """Return the folder that the files of an evaluation must be in: the run's, or its own."""
    return run.path if folder.is_relative_to(run.path) else folder


def _check_own(path: Path, root: Path) -> None:
    try:
        files.check_own(path, root)
    except DataError as error:
        raise CheckpointError(str(error)) from error
