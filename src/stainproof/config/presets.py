"""Presets: named networks and schedules, and functions that build a `Config`."""

from pathlib import Path
from typing import Any

from stainproof.config.parsing import assign, choose, key_of, make_settings, read_toml
from stainproof.config.recipes import Recipe
from stainproof.config.schema import MAX_EPOCHS, NO_LAYERS, Config, InferenceConfig

PLAIN: dict[str, Any] = {"units": 1, "skip": False, "dropout": 0.1}
"""One unit a block, no skip connection: what `stainproof search` found best for small networks."""
NETWORKS: dict[str, dict[str, Any]] = {
    "tiny": {**PLAIN, "stem": (8, 16, 64), "stages": (48,), "hidden": 0},
    "small": {**PLAIN, "stem": (8, 16, 128), "stages": (96,), "hidden": 64},
    "large": {"stem": (24, 48, 96), "stages": (288, 448), "dropout": 0.2},
    "an2dl": {},
    "light": {"stem": (16, 32, 96), "stages": (144,), "dropout": 0.2},
    "light-inception": {"stem": (16, 32, 96), "stages": (144,), "dropout": 0.2, "skip": False},
    "an2dl-simple": {"stem": (32, 64, 128), "stages": (), "dropout": 0.5},
    "an2dl-inception": {"skip": False},
    "an2dl-residual": {"unit": "conv", "stages": (128, 256)},
}
"""Name -> difference from the network of the AN2DL paper (sections 2 and 4 of the paper for the
names that begin with `an2dl`). Our own networks reduce the resolution early, where a filter costs
most, and have multiples of 8 filters.
"""

SCHEDULES: dict[str, dict[str, dict[str, Any]]] = {
    "an2dl": {
        "split": {},
        "augment": {
            "recipe": "randaugment",
            "mix": "cutmix",
            "validation": "randaugment",
        },
        "training": {},
    },
    "one-cycle": {
        "split": {"val_fraction": 0.1},
        "augment": {},
        "training": {
            "schedule": "one-cycle",
            "epochs": 30,
            "stop_patience": 0,
            "optimizer": "muon",
            "learning_rate": 8e-3,
            "weight_decay": 0.02,
            "batch_size": 64,
            "label_smoothing": 0.1,
            "ema_decay": 0.995,
        },
    },
}
"""Name -> settings of split, augmentation and training. `an2dl`: section 3 of the AN2DL paper;
`one-cycle`: for training on CPUs.
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
    assignments: tuple[str, ...] = (),
) -> Config:
    """Build the settings of a run from a preset and single assignments.

    Args:
        preset: Name in `PRESETS`; determines the network and the schedule.
        network: Name in `NETWORKS` that replaces the preset's.
        schedule: Name in `SCHEDULES` that replaces the preset's.
        seed: Seed of all random numbers, 0 to 2^31 - 1.
        budget_s: Training time in seconds, above zero; replaces the schedule's number of epochs.
        assignments: Texts such as `training.epochs=3`, applied last.

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


def limits_of(budget_s: float) -> dict[str, float]:
    """Return the settings that end a training after a time instead of a number of epochs."""
    return {"budget_s": budget_s, "epochs": MAX_EPOCHS}


def read_config(path: Path) -> Config:
    """Read settings from a TOML file.

    Raises:
        ConfigError: The file is missing, is not TOML, or has an unknown key or an invalid value.
    """
    return make_settings(Config, read_toml(path), f"{path}: setting")


def with_assignments(config: Config, assignments: tuple[str, ...]) -> Config:
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


def _assign_all(tree: dict[str, Any], assignments: tuple[str, ...]) -> None:
    """Apply the assignments; first those that reset other settings."""
    for assignment in sorted(assignments, key=lambda text: key_of(text) not in REPLACED):
        assign(tree, assignment, REPLACED)
