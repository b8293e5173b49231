"""Presets: named networks and schedules, and functions that build a `Config`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stainproof.config.parsing import (
    Assignments,
    assign,
    choose,
    make_settings,
    parse_assignments,
    parse_duration,
    read_toml,
)
from stainproof.config.recipes import Recipe
from stainproof.config.schema import MAX_EPOCHS, NO_LAYERS, Config, InferenceConfig
from stainproof.errors import ConfigError

PLAIN: dict[str, Any] = {"units": 1, "skip": False, "dropout": 0.1}
"""One unit a block, no skip connection: what `stainproof search` found best for small networks."""
PAPER: dict[str, Any] = {"stem": (60, 120), "stages": (240, 480), "dropout": 0.6}
"""The network of the AN2DL paper (section 2; 1,932,920 parameters)."""
NETWORKS: dict[str, dict[str, Any]] = {
    "tiny": {**PLAIN, "stem": (8, 16, 64), "stages": (48,), "hidden": 0},
    "small": {**PLAIN, "stem": (8, 16, 128), "stages": (96,), "hidden": 64},
    "large": {"stem": (24, 48, 96), "stages": (288, 448)},
    "an2dl": PAPER,
    "light": {},
    "light-inception": {"skip": False},
    "an2dl-simple": {"stem": (32, 64, 128), "stages": (), "dropout": 0.5},
    "an2dl-inception": {**PAPER, "skip": False},
    "an2dl-residual": {**PAPER, "unit": "conv", "stages": (128, 256)},
}
"""Name -> difference from `light`, the default of `NetworkConfig`. The names that begin with
`an2dl` are the networks of the AN2DL paper (sections 2 and 4). Our own networks reduce the
resolution early, where a filter costs most, and have multiples of 8 filters.
"""

SCHEDULES: dict[str, dict[str, dict[str, Any]]] = {
    "an2dl": {
        "split": {"val_fraction": 0.2},
        "augment": {
            "recipe": "randaugment",
            "mix": "cutmix",
            "validation": "randaugment",
        },
        "training": {
            "schedule": "plateau",
            "epochs": 1000,
            "stop_patience": 40,
            "optimizer": "adam",
            "learning_rate": 1e-3,
            "weight_decay": 0.0,
            "batch_size": 128,
            "label_smoothing": 0.0,
            "ema_decay": 0.0,
        },
    },
    "one-cycle": {"split": {}, "augment": {}, "training": {}},
}
"""Name -> difference of split, augmentation and training from `one-cycle`, the default, which is
for training on CPUs. `an2dl`: section 3 of the AN2DL paper.
"""

PRESETS: dict[str, tuple[str, str]] = {
    "tiny": ("tiny", "one-cycle"),
    "small": ("small", "one-cycle"),
    "light": ("light", "one-cycle"),
    "large": ("large", "one-cycle"),
    "an2dl": ("an2dl", "an2dl"),
    "an2dl-simple": ("an2dl-simple", "an2dl"),
    "an2dl-inception": ("an2dl-inception", "an2dl"),
    "an2dl-residual": ("an2dl-residual", "an2dl"),
}
"""Preset -> its network and its schedule."""

REPLACED: dict[str, tuple[str, ...]] = {
    "augment.recipe": tuple(
        f"augment.{name}" for name in Recipe.model_fields if name != "pictures"
    ),
    "network.backbone": (
        *(f"network.{name}" for name in NO_LAYERS),
        "preprocessing.mean",
        "preprocessing.std",
    ),
}
"""Setting -> settings that are reset when it is assigned."""


def make_config(
    preset: str = "light",
    *,
    network: str | None = None,
    schedule: str | None = None,
    seed: int = 0,
    budget_s: float | None = None,
    assignments: Assignments = (),
) -> Config:
    """Build the settings of a run from a preset and single assignments.

    Args:
        preset: Name in `PRESETS`; determines the network and the schedule.
        network: Name in `NETWORKS` that replaces the preset's.
        schedule: Name in `SCHEDULES` that replaces the preset's.
        seed: Seed of all random numbers, 0 to 2^31 - 1.
        budget_s: Training time in seconds, above zero; replaces the schedule's number of epochs.
        assignments: Texts such as `training.epochs=3`, or a mapping such as
            `{"training.epochs": 3}`, applied last.

    Raises:
        ConfigError: A name or key is unknown or a value is out of range.
    """
    preset_network, preset_schedule = choose(PRESETS, preset, "preset")
    tree: dict[str, Any] = {
        "preset": preset,
        "seed": seed,
        "network": dict(choose(NETWORKS, network or preset_network, "network")),
        **{
            group: dict(values)
            for group, values in choose(SCHEDULES, schedule or preset_schedule, "schedule").items()
        },
    }
    if budget_s is not None:
        tree["training"] |= limits_of(budget_s)
    _assign_all(tree, assignments)
    return make_settings(Config, tree, "setting")


def choose_config(
    config: Config | str | Path | None = None,
    *,
    preset: str | None = None,
    network: str | None = None,
    schedule: str | None = None,
    budget: str | float | None = None,
    seed: int | None = None,
    assignments: Assignments = (),
    kept: Config | None = None,
    start: Config | None = None,
) -> Config:
    """Build the settings of a training from what `train` takes, in Python and as a command.

    Args:
        config: Settings, or the TOML file of them; excludes `preset`, `network` and `schedule`.
        preset: Name in `PRESETS`; by default `light`.
        network: Name in `NETWORKS` that replaces the preset's.
        schedule: Name in `SCHEDULES` that replaces the preset's.
        budget: Training time, such as `90s`, `20m`, `1h30m`, or a number of seconds.
        seed: Seed of all random numbers; by default that of `config`, else 0.
        assignments: As in `make_config`, applied last.
        kept: Settings of the run that is resumed; with them only `budget` and `assignments` are
            allowed.
        start: Settings of a fine-tuning; exclude `config`, `preset`, `network` and `schedule`.

    Raises:
        ConfigError: An argument contradicts another one, is unknown or is out of range.
    """
    fixed = {"preset": preset, "network": network, "schedule": schedule}
    if kept is not None:
        given_anew: dict[str, object] = {"seed": seed, "config": config, "start_from": start}
        _refuse({**fixed, **given_anew}, "a resumed run keeps its own")
    elif start is not None:
        _refuse(
            fixed | {"config": config}, "a fine-tuned run keeps the network that it starts from"
        )
    elif config is not None:
        _refuse(fixed, "config says it")
    given: dict[str, Any] = {} if seed is None else {"seed": seed}
    if budget is not None:
        limits = limits_of(parse_duration(budget))
        given |= {f"training.{key}": value for key, value in limits.items()}
    given |= dict(parse_assignments(assignments))
    if base := kept or start:
        return with_assignments(base, given)
    if config is None:
        return make_config(
            "light" if preset is None else preset,
            network=network,
            schedule=schedule,
            assignments=given,
        )
    if isinstance(config, str | Path):
        config = read_config(Path(config))
    if not isinstance(config, Config):
        kind = type(config).__name__
        raise ConfigError(f"config must be a Config or the path of a TOML file, got {kind}")
    return with_assignments(config, given)


def _refuse(arguments: Mapping[str, object], reason: str) -> None:
    for name, value in arguments.items():
        if value is not None:
            raise ConfigError(f"{name}: not allowed here; {reason}")


def limits_of(budget_s: float) -> dict[str, float]:
    """Return the settings that end a training after a time instead of a number of epochs."""
    return {"budget_s": budget_s, "epochs": MAX_EPOCHS}


def read_config(path: Path) -> Config:
    """Read settings from a TOML file.

    Raises:
        ConfigError: The file is missing, is not TOML, or has an unknown key or an invalid value.
    """
    return make_settings(Config, read_toml(path), f"{path}: setting")


def with_assignments(config: Config, assignments: Assignments) -> Config:
    """Return the settings with assignments such as `training.epochs=3` applied.

    Raises:
        ConfigError: A key is unknown or a value is out of range.
    """
    tree = config.model_dump() | {
        "preprocessing": config.preprocessing.model_dump(exclude_unset=True)
    }
    _assign_all(tree, assignments)
    return make_settings(Config, tree, "setting")


def make_inference_config(
    tta: str = "none", filter: str = "none", cutoff: float = 0.5
) -> InferenceConfig:
    """Build the settings of inference; see `InferenceConfig`.

    Raises:
        ConfigError: A name is unknown or the cutoff is out of range.
    """
    return make_settings(InferenceConfig, {"tta": tta, "filter": filter, "cutoff": cutoff})


def _assign_all(tree: dict[str, Any], assignments: Assignments) -> None:
    """Apply the assignments; first those that reset other settings."""
    pairs = parse_assignments(assignments)
    for key, value in sorted(pairs, key=lambda pair: pair[0] not in REPLACED):
        assign(tree, key, value, REPLACED)
