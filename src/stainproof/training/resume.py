"""Settings of a new or resumed run: what may change on resume, and checks before long work."""

from operator import attrgetter
from typing import Any

from stainproof.config.parsing import Settings
from stainproof.config.schema import Config
from stainproof.errors import ConfigError
from stainproof.models.backbones import with_backbone_preprocessing
from stainproof.models.network import check_network
from stainproof.runs.folder import RunFolder
from stainproof.training.progressive_resizing import training_sizes_px

KEPT = ("seed", "preprocessing", "split", "network", "augment.validation")
"""Settings that a resumed run cannot change."""
PLATEAU_RATE = "training.learning_rate"
"""A resumed run on a plateau schedule cannot change this either: it may have been reduced already.
"""


def resolve_config(run: RunFolder, config: Config, resume: bool, audited: bool) -> Config:
    """Return the settings of a training; refuse to overwrite a run.

    Args:
        run: The run folder.
        config: The requested settings.
        resume: Whether the run exists and is to be continued.
        audited: Whether an audit will determine which images the run leaves out.

    Raises:
        CheckpointError: There is nothing to resume.
        ConfigError: The folder contains a run, the network cannot be built, an audit is requested
            on resume or present without being requested, or a resumed run would change a setting
            that it cannot change.
    """
    if resume:
        if audited:
            raise ConfigError(
                "--audit: not allowed with --resume; a run keeps the audit it began with"
            )
        kept = run.read_resumed_config()
        config = with_backbone_preprocessing(config)
        _check_kept(kept, config)
        return config
    run.check_unused()
    if not audited and (run.audit / "audit.csv").exists():
        raise ConfigError(
            f"{run}: has the audit of a run that was not started; add --audit, or remove it"
        )
    config = with_backbone_preprocessing(config)
    check_network(config, training_sizes_px(config))
    return config


def _check_kept(kept: Config, asked: Config) -> None:
    """Check that a resumed run changes no setting that must stay.

    Raises:
        ConfigError: One of them differs.
    """
    for key in KEPT if kept.training.schedule == "one-cycle" else (*KEPT, PLATEAU_RATE):
        changed = _first_change(key, attrgetter(key)(kept), attrgetter(key)(asked))
        if changed:
            raise ConfigError(
                f"{changed}: a resumed run keeps its own; leave it, or begin a new run"
            )


def _first_change(key: str, kept: Any, asked: Any) -> str:
    """Return the dotted key of the first setting that differs; empty if none does."""
    if not isinstance(kept, Settings):
        return key if kept != asked else ""
    changes = (
        _first_change(f"{key}.{name}", getattr(kept, name), getattr(asked, name))
        for name in type(kept).model_fields
    )
    return next(filter(None, changes), "")
