"""Shipped models: trained models in the package, whose names can be given instead of a run folder.

A shipped model is a folder `shipped/NAME` of the package. It has the files of a run folder that
inference and fine-tuning need: card, settings, weights, ONNX model, hashes of the training images,
evaluations, model card and manifest. It is only read.
"""

from pathlib import Path

from stainproof.errors import CheckpointError, ConfigError
from stainproof.runs.ensemble import ENSEMBLE_FILE
from stainproof.runs.folder import RunFolder

SHIPPED_NAMES = ("stainproof-light", "stainproof")
"""Names of the shipped models, the smallest first."""
SHIPPED_FOLDER = Path(__file__).parents[1] / "shipped"


def find_run(run: str | Path) -> Path:
    """Return the folder of a run, which is named by its path or is a shipped model.

    A run folder or an ensemble in the current directory that has the name of a shipped model is
    preferred to it; any other folder or file of that name is not.

    Args:
        run: Path of a run folder, or a name in `SHIPPED_NAMES`.

    Raises:
        CheckpointError: The shipped model is not part of this installation.
    """
    path = Path(run)
    is_run = (path / "card.json").exists() or (path / ENSEMBLE_FILE).exists()
    if str(path) not in SHIPPED_NAMES or is_run:
        return path
    if str(path) not in installed_models():
        here = ", ".join(installed_models()) or "none"
        raise CheckpointError(
            f"{path}: no such run folder, and the shipped model of this name is not part of this "
            f"installation; shipped models here: {here}"
        )
    return model_folder(str(path))


def model_folder(name: str) -> Path:
    """Return the folder of a shipped model, which need not exist."""
    return SHIPPED_FOLDER / name


def installed_models() -> tuple[str, ...]:
    """Return the names of the shipped models that are part of this installation."""
    return tuple(name for name in SHIPPED_NAMES if RunFolder(model_folder(name)).card.exists())


def default_model() -> str:
    """Return the name of the largest shipped model of this installation.

    Raises:
        ConfigError: There is none.
    """
    if not (names := installed_models()):
        raise ConfigError("no model: name a run folder; this installation has no shipped model")
    return names[-1]


def is_shipped(folder: Path) -> bool:
    """Return whether a folder is that of a shipped model."""
    return folder.resolve().parent == SHIPPED_FOLDER.resolve()


def evaluations_of(run: RunFolder) -> Path:
    """Return the folder of a run's evaluations; of a shipped model, one that can be written to."""
    return Path("evaluations") / run.path.name if is_shipped(run.path) else run.evaluations


def refuse_shipped(folder: Path, hint: str) -> None:
    """Raise an error if a folder is a shipped model where a run of the user is needed.

    Args:
        folder: The folder, as `find_run` returns it.
        hint: What to do instead, for the message.

    Raises:
        CheckpointError: The folder is a shipped model.
    """
    if is_shipped(folder):
        raise CheckpointError(f"{folder.name}: is a shipped model, which is only read; {hint}")
