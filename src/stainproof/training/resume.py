"""Settings of a new or resumed run: what may change on resume, and checks before long work."""

from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from stainproof.config.parsing import Settings, make_settings
from stainproof.config.schema import Config
from stainproof.errors import ConfigError
from stainproof.models.backbones import with_backbone_preprocessing
from stainproof.models.fine_tuning import load_start
from stainproof.models.network import build_network, check_network
from stainproof.runs.folder import RunFolder
from stainproof.training.checkpoint import read_position
from stainproof.training.progressive_resizing import training_sizes_px

KEPT = (
    "seed",
    "preprocessing",
    "source",
    "split",
    "network",
    "augment.validation",
    "training.start_from",
)
"""Settings that a resumed run cannot change."""
PLATEAU_RATE = "training.learning_rate"
"""A resumed run on a plateau schedule cannot change this either: it may have been reduced already.
"""


@dataclass(frozen=True)
class Start:
    """How a training starts in its folder."""

    config: Config
    resume: bool = False
    """Whether it goes on after the last epoch of the run."""
    again: bool = False
    """Whether a run began here before, so that the images must be those it began with."""
    notes: tuple[str, ...] = ()
    """What is continued or changed, to be told."""


def resolve_start(run: RunFolder, config: Config, resume: bool, audited: bool) -> Start:
    """Return the settings of a training and where it starts; refuse to overwrite a run.

    The settings of a run that was stopped are compared with those that its last epoch was trained
    with, so that changes in `config.toml` are noticed. Without `resume`, a run that was stopped
    goes on if no setting differs: after its last epoch, or anew if it finished none.

    Args:
        run: The run folder.
        config: The requested settings.
        resume: Whether the run exists and is to be continued, perhaps with other settings.
        audited: Whether an audit will determine which images the run leaves out.

    Raises:
        CheckpointError: There is nothing to resume, or what is resumed was altered.
        ConfigError: The folder contains a run that is finished or has other settings, the network
            cannot be built, an audit is requested on resume or present without being requested, or
            a resumed run would change a setting that it cannot change.
    """
    config = with_backbone_preprocessing(config)
    if resume:
        if audited:
            raise ConfigError(
                "--audit: not allowed with --resume; a run keeps the audit it began with"
            )
        kept = _trained_with(run)
        _check_kept(kept, config)
        changes = [f"changed for the rest of the run: {one}" for one in _changes(kept, config)]
        return Start(config, resume=True, again=True, notes=tuple(changes))
    if run.has_begun():
        return _start_again(run, config, audited)
    run.check_unused()
    if not audited and (run.audit / "audit.csv").exists():
        raise ConfigError(
            f"{run}: has the audit of a run that was not started; add --audit, or remove it"
        )
    check_network(config, training_sizes_px(config))
    if start_from := config.training.start_from:
        load_start(build_network(config, num_classes=1), start_from, classes=("",))
    return Start(config)


def _start_again(run: RunFolder, config: Config, audited: bool) -> Start:
    """Return how the same training goes on.

    Raises:
        ConfigError: The settings differ from those that the run was stopped with.
    """
    can_resume = run.state.exists()
    changes = _changes(_trained_with(run) if can_resume else run.read_config(), config)
    if audited != (run.audit / "audit.csv").exists():
        changes.append(f"--audit: {not audited} -> {audited}")
    if changes:
        advice = "add --resume, or choose" if can_resume else "choose"
        raise ConfigError(
            f"{run}: already holds a run with other settings ({changes[0]}); {advice} another --out"
        )
    if not can_resume:
        return Start(config, again=True, notes=(f"{run}: finished no epoch; begins anew",))
    epoch = read_position(run.state).epoch
    note = f"{run}: goes on after epoch {epoch}, where it was stopped"
    return Start(config, resume=True, again=True, notes=(note,))


def _trained_with(run: RunFolder) -> Config:
    """Return the settings that the last epoch of a run was trained with."""
    run.check(run.state, run.history, run.best)
    settings = read_position(run.state).settings
    return make_settings(Config, settings) if settings else run.read_resumed_config()


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
