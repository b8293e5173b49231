"""Ensembles: several runs in one folder whose predictions are combined."""

from collections.abc import Sequence
from pathlib import Path

from stainproof import files
from stainproof.config.parsing import check_known
from stainproof.errors import CheckpointError, ConfigError
from stainproof.inference.classifier import Classifier
from stainproof.inference.voting import VOTINGS
from stainproof.runs.ensemble import Ensemble, refuse_ensemble
from stainproof.runs.folder import RunFolder
from stainproof.runs.shipped import find_run
from stainproof.shift.lab import Lab, read_lab
from stainproof.shift.stored_lab import store_lab


def ensemble(
    runs: Sequence[str | Path],
    out: str | Path,
    *,
    voting: str = "soft",
    lab: Lab | str | Path | None = None,
) -> Ensemble:
    """Combine several runs in one folder, which every command takes like a run folder.

    Args:
        runs: Two runs or shipped models or more; networks, image sizes and the order of classes
            may differ.
        out: Folder to make; the files needed for inference are copied into it.
        voting: `soft`: the mean of the probabilities; `hard`: one vote for each network.
        lab: A laboratory profile or its file, which is stored: everything that predicts with the
            ensemble applies it, unless another profile is given.

    Raises:
        ConfigError: There are fewer than two runs, or the voting is unknown.
        CheckpointError: A run or the profile cannot be used, or the runs have different classes.
        DataError: The folder is not empty.
    """
    if len(runs) < 2:
        raise ConfigError(f"an ensemble needs two runs or more, got {len(runs)}")
    check_known(voting, VOTINGS, "voting")
    profile = read_lab(lab)
    folders = [RunFolder(find_run(run)) for run in runs]
    names = tuple(f"{rank}-{run.path.resolve().name}" for rank, run in enumerate(folders))
    combined = Ensemble(voting=voting, members=names)
    for run in folders:
        refuse_ensemble(run.path, "name its runs instead")
        run.check_not_in_training()
        for file in (run.card, run.config, run.best, run.onnx):
            if not file.exists():
                raise CheckpointError(f"{file}: missing; not a finished run")
    with files.new_folder(Path(out)) as folder:
        for run, member in zip(folders, combined.folders(folder), strict=True):
            kept = (run.config, run.best, run.onnx, run.int8, run.calibration, run.training_hashes)
            RunFolder(member).copy_files(run, *kept, run.card)
        if profile:
            sha256 = store_lab(profile, folder)
            combined = combined.model_copy(update={"lab_sha256": sha256})
        combined.write_into(folder)
        Classifier.load(folder)
    return combined
