"""Several runs as one folder that answers as one."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from stainproof import files
from stainproof.errors import CheckpointError, ConfigError
from stainproof.models.predictor import Classifier, refuse_ensemble
from stainproof.models.voting import VOTINGS
from stainproof.results import (
    BEST_FILE,
    CARD_FILE,
    CONFIG_FILE,
    ENSEMBLE_FILE,
    INT8_FILE,
    MEMBERS_FOLDER,
    ONNX_FILE,
    Ensemble,
)
from stainproof.settings import check_known

NEEDED = (CARD_FILE, CONFIG_FILE, BEST_FILE, ONNX_FILE)


def make_ensemble(runs: Sequence[Path], out: Path, voting: str) -> Ensemble:
    """Copy what answers of every run into one folder.

    Args:
        runs: Two run folders or more; their networks, image sizes and order of classes may differ.
        out: Folder to make.
        voting: `soft`: the mean of the probabilities; `hard`: a vote each.

    Raises:
        ConfigError: There are fewer than two runs, or the voting is unknown.
        CheckpointError: A run cannot be used, or they do not know the same classes.
        DataError: The folder holds something already.
    """
    if len(runs) < 2:
        raise ConfigError(f"an ensemble needs two runs or more, got {len(runs)}")
    check_known(voting, VOTINGS, "voting")
    names = tuple(f"{rank}-{run.resolve().name}" for rank, run in enumerate(runs))
    ensemble = Ensemble(voting=voting, members=names)
    for run in runs:
        refuse_ensemble(run, "name its runs instead")
    with files.new_folder(out) as folder:
        for run, name in zip(runs, names, strict=True):
            member = folder / MEMBERS_FOLDER / name
            member.mkdir(parents=True)
            for file in (*NEEDED, INT8_FILE):
                if file in NEEDED or (run / file).exists():
                    _copy(run / file, member / file)
        ensemble.write(folder / ENSEMBLE_FILE)
        Classifier.load(folder)
    return ensemble


def _copy(file: Path, to: Path) -> None:
    try:
        shutil.copyfile(file, to)
    except OSError as error:
        raise CheckpointError(f"{file}: missing or unreadable; not a finished run") from error
