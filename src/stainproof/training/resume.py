"""Settings of a new or resumed run: what may change on resume, and checks before long work."""

from operator import attrgetter
from typing import Any

from stainproof.config.parsing import Settings, make_settings
from stainproof.config.schema import Config
from stainproof.errors import ConfigError
from stainproof.models.backbones import with_backbone_preprocessing
from stainproof.models.network import check_network
from stainproof.runs.folder import RunFolder
from stainproof.training.checkpoint import read_position
from stainproof.training.progressive_resizing import training_sizes_px

KEPT = ("seed", "preprocessing", "source", "split", "network", "augment.validation")
"""Settings that a resumed run cannot change."""
PLATEAU_RATE = "training.learning_rate"
"""A resumed run on a plateau schedule cannot change this either: it may have been reduced already.
"""


def resolve_config(
    run: RunFolder, config: Config, resume: bool, audited: bool
) -> tuple[Config, list[str]]:
    """Return the settings of a training, and what a resumed run changes; refuse to overwrite a run.

    A resumed run is compared with the settings that its last epoch was trained with, so that
    changes in `config.toml` are noticed.

    Args:
        run: The run folder.
        config: The requested settings.
        resume: Whether the run exists and is to be continued.
        audited: Whether an audit will determine which images the run leaves out.

    Raises:
        CheckpointError: There is nothing to resume, or what is resumed was altered.
        ConfigError: The folder contains a run, the network cannot be built, an audit is requested
            on resume or present without being requested, or a resumed run would change a setting
            that it cannot change.
    """
    if resume:
        if audited:
            raise ConfigError(
                "--audit: not allowed with --resume; a run keeps the audit it began with"
            )
        run.check(run.state, run.history)
        trained_with = read_position(run.state).settings
        kept = make_settings(Config, trained_with) if trained_with else run.read_resumed_config()
        config = with_backbone_preprocessing(config)
        _check_kept(kept, config)
        return config, [f"changed for the rest of the run: {one}" for one in _changes(kept, config)]
    run.check_unused()
    if not audited and (run.audit / "audit.csv").exists():
        raise ConfigError(
            f"{run}: has the audit of a run that was not started; add --audit, or remove it"
        )
    config = with_backbone_preprocessing(config)
    check_network(config, training_sizes_px(config))
    return config, []


def _check_kept(kept: Config, asked: Config) -> None:
    """Check that a resumed run changes no setting that must stay.

    Raises:
        ConfigError: One of them differs.
    """
    for key in KEPT if kept.training.schedule == "one-cycle" else (*KEPT, PLATEAU_RATE):
        changes = _changes(attrgetter(key)(kept), attrgetter(key)(asked), key)
        if changes:
            raise ConfigError(
                f"{changes[0]}: a resumed run keeps its own; leave it, or begin a new run"
            )


def _changes(kept: Any, asked: Any, key: str = "") -> list[str]:
    """Return the settings that differ, such as `training.epochs: 3 -> 5`."""
    if not isinstance(kept, Settings):
        return [] if kept == asked else [f"{key}: {kept} -> {asked}"]
    return [
        change
        for name in type(kept).model_fields
        for change in _changes(
            getattr(kept, name), getattr(asked, name), ".".join(filter(None, (key, name)))
        )
    ]
