"""A run folder: who may write to it, and what it says of the images it was begun on."""

from pathlib import Path

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


def settle(run: Path, config: Config | None, resume: bool, audited: bool) -> Config:
    """Return the settings to train by, and refuse to write over a run.

    Args:
        run: The run folder.
        config: What was asked for; by default the preset `quick`, with `resume` the run's own.
        resume: Whether the run is there already, to go on with.
        audited: Whether an audit is to say what the run leaves out.

    Raises:
        CheckpointError: There is nothing to resume.
        ConfigError: The folder holds a run, or the network cannot be built so; or there would be
            an audit that was not asked for, or two.
    """
    if resume:
        if audited:
            raise ConfigError(
                "--audit: not allowed with --resume; a run keeps the audit it began with"
            )
        if not (run / STATE_FILE).exists():
            raise CheckpointError(f"{run}: no {STATE_FILE} in it; there is nothing to resume")
        return with_own_input(config or read_config(run / CONFIG_FILE))
    check_free(run)
    if not audited and (run / AUDIT_FOLDER / AUDIT_FILE).exists():
        raise ConfigError(
            f"{run}: holds the audit of a run that was not begun; add --audit, or remove it"
        )
    config = with_own_input(config or make_config())
    check_network(config)
    return config


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
