"""A run folder: who may write to it, and what it says of the images it was begun on."""

from operator import attrgetter
from pathlib import Path
from typing import Any

from stainproof import files
from stainproof.config import Config
from stainproof.data.cleaning import AUDIT_FILE
from stainproof.data.findings import files_to_drop, read_csv
from stainproof.data.split import Split
from stainproof.errors import CheckpointError, ConfigError
from stainproof.models.backbones import with_own_input
from stainproof.models.network import check_network
from stainproof.presets import make_config, read_config
from stainproof.results import AUDIT_FOLDER, CARD_FILE, CONFIG_FILE, SPLITS_FILE, STATE_FILE
from stainproof.settings import Settings
from stainproof.training.teacher import open_teacher

KEPT = ("seed", "input", "split", "network", "augment.validation")
"""Settings that a resumed run keeps."""
PLATEAU_RATE = "training.learning_rate"
"""Kept too where validation loss drives it: it has already fallen from there."""


def settle(run: Path, config: Config | None, resume: bool, audited: bool) -> Config:
    """Return the settings to train by, and refuse to write over a run.

    Args:
        run: The run folder.
        config: What was asked for; by default the preset `quick`, with `resume` the run's own.
        resume: Whether the run is there already, to go on with.
        audited: Whether an audit is to say what the run leaves out.

    Raises:
        CheckpointError: There is nothing to resume.
        ConfigError: The folder holds a run, the network cannot be built so, or the teacher cannot
            be used; or there would be an audit that was not asked for, or two; or a resumed run is
            to become another.
    """
    if resume:
        if audited:
            raise ConfigError(
                "--audit: not allowed with --resume; a run keeps the audit it began with"
            )
        if not (run / STATE_FILE).exists():
            raise CheckpointError(f"{run}: no {STATE_FILE} in it; there is nothing to resume")
        kept = read_config(run / CONFIG_FILE)
        config = with_own_input(config or kept)
        _check_kept(kept, config)
        return config
    check_free(run)
    if not audited and (run / AUDIT_FOLDER / AUDIT_FILE).exists():
        raise ConfigError(
            f"{run}: holds the audit of a run that was not begun; add --audit, or remove it"
        )
    config = with_own_input(config or make_config())
    check_network(config)
    if config.training.teacher:
        open_teacher(config.training.teacher)
    return config


def _check_kept(kept: Config, asked: Config) -> None:
    """Refuse what the weights and the choice of the best epoch so far do not allow.

    Raises:
        ConfigError: A setting that a resumed run keeps is another one.
    """
    for key in KEPT if kept.training.schedule == "one-cycle" else (*KEPT, PLATEAU_RATE):
        changed = _first_change(key, attrgetter(key)(kept), attrgetter(key)(asked))
        if changed:
            raise ConfigError(
                f"{changed}: a resumed run keeps its own; leave it, or begin a new run"
            )


def _first_change(key: str, kept: Any, asked: Any) -> str:
    """Return the dotted key of the first setting that differs; nothing where none does."""
    if not isinstance(kept, Settings):
        return key if kept != asked else ""
    changes = (
        _first_change(f"{key}.{name}", getattr(kept, name), getattr(asked, name))
        for name in type(kept).model_fields
    )
    return next(filter(None, changes), "")


def check_free(run: Path) -> None:
    """Refuse to write over a run.

    Raises:
        ConfigError: The folder holds a run, or is a file.
    """
    if run.is_file():
        raise ConfigError(f"{run}: is a file; --out names the folder to make")
    if (run / STATE_FILE).exists():
        raise ConfigError(f"{run}: already holds a run; add --resume, or choose another --out")
    if (run / CARD_FILE).exists():
        raise ConfigError(f"{run}: already holds a run; choose another --out")
    if (run / CONFIG_FILE).exists():
        raise ConfigError(
            f"{run}: holds the settings of a run that finished no epoch; remove it, or choose "
            "another --out"
        )


def left_out(run: Path) -> set[str]:
    """Return the names of the images that the run's audit drops, if it has one.

    Raises:
        DataError: The audit cannot be read.
    """
    path = run / AUDIT_FOLDER / AUDIT_FILE
    return files_to_drop(read_csv(path)) if path.exists() else set()


def check_split(run: Path, split: Split) -> None:
    """Make sure that the run was begun on these images in this split.

    Raises:
        CheckpointError: It was not.
    """
    path = run / SPLITS_FILE
    if not path.exists() or files.sha256_of(path) != split.sha256():
        raise CheckpointError(f"{path}: the run was begun on other images or another split")
