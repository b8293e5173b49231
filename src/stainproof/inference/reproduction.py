"""Train a run again and compare the results, with its teacher if it had one."""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from stainproof.progress import Track, silent
from stainproof.runs.ensemble import refuse_ensemble
from stainproof.runs.folder import RunFolder
from stainproof.runs.shipped import find_run, refuse_shipped

if TYPE_CHECKING:
    from stainproof.runs.check import Check
    from stainproof.training.loop import Step


def reproduce(
    run: str | Path,
    source: str | Path,
    out: str | Path | None = None,
    *,
    track: Track = silent,
    on_step: "Callable[[Step], None]" = lambda step: None,
) -> "list[Check]":
    """Train a run again with its settings, seed, threads and precision; compare the results.

    Args:
        run: The run folder.
        source: The images that it was trained on.
        out: Folder for the new weights and history; by default they are removed.
        track: Shows progress.
        on_step: Called after every training step.

    Returns:
        Checks of images, history and weights; `training.reproduction` says what is compared.

    Raises:
        CheckpointError: The run cannot be read, or was trained on other images.
        ConfigError: `out` contains a run.
        DataError: The source cannot be read.
    """
    from stainproof.inference.teacher import load_teacher
    from stainproof.training.reproduction import reproduce_training

    folder = RunFolder(find_run(run))
    folder.check_exists()
    refuse_ensemble(folder.path, "reproduce its runs")
    refuse_shipped(folder.path, "its model card names the command that repeats it")
    folder.check_not_in_training()
    named = folder.read_config().training.teacher
    teacher = partial(load_teacher, named) if named else None
    with tempfile.TemporaryDirectory() as temporary:
        again = RunFolder(out or temporary)
        return reproduce_training(
            folder, source, again, load_teacher=teacher, track=track, on_step=on_step
        )
