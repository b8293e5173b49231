"""A run folder: who may write to it, and what it says of the images it was begun on."""

from operator import attrgetter
from typing import Any

from stainproof.config.parsing import Settings
from stainproof.config.presets import make_config
from stainproof.config.schema import Config
from stainproof.errors import CheckpointError, ConfigError
from stainproof.models.backbones import with_backbone_preprocessing
from stainproof.models.network import check_network
from stainproof.runs.folder import RunFolder
from stainproof.training.progressive_resizing import training_sizes_px

KEPT = ("seed", "preprocessing", "split", "network", "augment.validation")
"""Settings that a resumed run keeps."""
PLATEAU_RATE = "training.learning_rate"
"""Kept too where validation loss drives it: it has already fallen from there."""


def resolve_config(run: RunFolder, config: Config | None, resume: bool, audited: bool) -> Config:
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
        if not run.state.exists():
            raise CheckpointError(f"{run}: no {run.state.name} in it; there is nothing to resume")
        kept = run.read_config()
        config = with_backbone_preprocessing(config or kept)
        _check_kept(kept, config)
        return config
    run.check_unused()
    if not audited and (run.audit / "audit.csv").exists():
        raise ConfigError(
            f"{run}: holds the audit of a run that was not begun; add --audit, or remove it"
        )
    config = with_backbone_preprocessing(config or make_config())
    check_network(config, training_sizes_px(config))
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
