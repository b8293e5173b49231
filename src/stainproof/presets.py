"""Settings by name: the report's networks and schedules, ours, and single assignments on top."""

from datetime import date
from pathlib import Path
from typing import Any

from stainproof.config import MOST_EPOCHS, NO_LAYERS, Answering, Config, Contest
from stainproof.recipes import Recipe
from stainproof.settings import assign, choose, key_of, make_settings, read_toml

PLAIN: dict[str, Any] = {"units": 1, "skip": False, "dropout": 0.1}
"""One unit a block without a skip, as `stainproof search` made its smallest networks."""
NETWORKS: dict[str, dict[str, Any]] = {
    "tiny": {**PLAIN, "stem": (8, 16, 64), "stages": (48,), "hidden": 0},
    "small": {**PLAIN, "stem": (8, 16, 128), "stages": (96,), "hidden": 64},
    "large": {"stem": (24, 48, 96), "stages": (288, 448), "dropout": 0.2},
    "reference": {},
    "light": {"stem": (16, 32, 96), "stages": (144,), "dropout": 0.2},
    "light-inception": {"stem": (16, 32, 96), "stages": (144,), "dropout": 0.2, "skip": False},
    "simple": {"stem": (32, 64, 128), "stages": (), "dropout": 0.5},
    "inception": {"skip": False},
    "residual": {"unit": "conv", "stages": (128, 256)},
}
"""The report's networks (sections 2 and 4) and ours for CPUs, `tiny`, `small` and `large`, each as
its difference from the reference network. Ours make images small early, where a filter costs most,
and have filters in multiples of 8."""

SCHEDULES: dict[str, dict[str, dict[str, Any]]] = {
    "report": {
        "split": {},
        "augment": {
            "recipe": "randaugment",
            "mix": "cutmix",
            "validation": "randaugment",
        },
        "training": {},
    },
    "quick": {
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
"""`report`: section 3 of the report; `quick`: for people without a GPU."""

PRESETS: dict[str, tuple[str, str]] = {
    "quick": ("light", "quick"),
    "tiny": ("tiny", "quick"),
    "small": ("small", "quick"),
    "light": ("light", "quick"),
    "large": ("large", "quick"),
    "report": ("reference", "report"),
    "reference": ("reference", "report"),
    "simple": ("simple", "report"),
    "inception": ("inception", "report"),
    "residual": ("residual", "report"),
}
"""Every preset names a network and a schedule."""

REPLACED: dict[str, tuple[str, ...]] = {
    "augment.recipe": tuple(
        f"augment.{name}" for name in Recipe.model_fields if name != "pictures"
    ),
    "network.backbone": (*(f"network.{name}" for name in NO_LAYERS), "input.mean", "input.std"),
}
"""Choice -> settings of the choice before that it drops."""


def make_config(
    preset: str = "quick",
    *,
    network: str | None = None,
    schedule: str | None = None,
    seed: int = 0,
    budget_s: float | None = None,
    assignments: tuple[str, ...] = (),
) -> Config:
    """Build the settings of a run from named presets and single assignments.

    Args:
        preset: Name in `PRESETS`; gives the network and the schedule.
        network: Name in `NETWORKS` that replaces the preset's.
        schedule: Name in `SCHEDULES` that replaces the preset's.
        seed: Seed of everything random, 0 to 2^31 - 1.
        budget_s: Seconds of training, above zero; they take the place of the schedule's epochs.
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
    """Return the settings of a training that ends with its time, however many epochs that are."""
    return {"budget_s": budget_s, "epochs": MOST_EPOCHS}


def read_config(path: Path) -> Config:
    """Read settings from a TOML file.

    Raises:
        ConfigError: The file is missing, is no TOML, or has an unknown key or a bad value.
    """
    return make_settings(Config, read_toml(path), f"{path}: setting")


def with_assignments(config: Config, assignments: tuple[str, ...]) -> Config:
    """Return the settings with texts such as `training.epochs=3` applied.

    Raises:
        ConfigError: A key is unknown or a value is out of range.
    """
    tree = config.model_dump() | {"input": config.input.model_dump(exclude_unset=True)}
    _assign_all(tree, assignments)
    return make_settings(Config, tree, "setting")


def make_answering(views: str = "one", filter: str = "none", cutoff: float = 0.5) -> Answering:
    """Build the settings of prediction; see `Answering`.

    Raises:
        ConfigError: A name is unknown or the cutoff out of range.
    """
    return make_settings(Answering, {"views": views, "filter": filter, "cutoff": cutoff})


def make_contest(assignments: tuple[str, ...] = ()) -> Contest:
    """Build the settings of a contest, which starts today unless they say otherwise.

    Args:
        assignments: Texts such as `start=2026-12-01`.

    Raises:
        ConfigError: A key is unknown or a value is out of range.
    """
    tree: dict[str, Any] = {"start": date.today()}
    for assignment in assignments:
        assign(tree, assignment, {})
    return make_settings(Contest, tree)


def _assign_all(tree: dict[str, Any], assignments: tuple[str, ...]) -> None:
    """Apply the assignments, choices first, since they drop what was chosen before."""
    for assignment in sorted(assignments, key=lambda text: key_of(text) not in REPLACED):
        assign(tree, assignment, REPLACED)
