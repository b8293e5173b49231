"""Read files of schema version 2: rename their keys and values to those of version 3."""

from typing import Any

Tree = dict[str, Any]

PRESETS = {
    "quick": "light",
    "report": "an2dl",
    "reference": "an2dl",
    "simple": "an2dl-simple",
    "inception": "an2dl-inception",
    "residual": "an2dl-residual",
}
KEYS: dict[str, dict[str, str]] = {
    "audit": {
        "near_reach": "near_duplicate_deviations",
        "doctored_reach": "doctored_threshold",
        "outlier_reach": "outlier_threshold",
        "least_belief": "min_label_probability",
    },
    "augment": {
        "picks": "num_ops",
        "width": "mixture_width",
        "clustered": "family_probability",
        "shuffled": "shuffle_probability",
        "balance": "class_balance",
    },
    "training": {"teacher_share": "distillation_weight"},
}
"""Group of settings -> key of version 2 -> key of version 3."""
VALUES: dict[str, dict[str, str]] = {
    "recipe": {"turns": "d4"},
    "validation": {"turns": "d4"},
    "policy": {"each": "independent", "some": "randaugment", "chains": "augmix"},
    "class_balance": {"prior": "none", "even": "oversample"},
}
"""Setting of `augment` -> value of version 2 -> value of version 3."""
OPERATIONS = {
    "turn": "d4",
    "swap_amplitude": "amplitude_swap",
    "swap_detail": "detail_swap",
    "stretch": "aspect_ratio",
    "white": "white_balance",
    "shuffle_channels": "channel_shuffle",
    "shift_channels": "rgb_shift",
    "smooth_colour": "tone_curve",
    "posterise": "posterize",
    "solarise": "solarize",
    "equalise": "equalize",
    "stretch_levels": "autocontrast",
    "motion": "motion_blur",
    "resample": "downscale",
    "salt": "salt_and_pepper",
    "turns": "symmetries",
    "light": "tone",
    "focus": "sharpness",
    "storage": "compression",
}
"""Operation or family of operations of version 2 -> of version 3."""
RECORD_KEYS = {
    "val_shifted_accuracy": "val_augmented_accuracy",
    "val_shifted_loss": "val_augmented_loss",
}


def upgrade_record(tree: Tree) -> Tree:
    """Return a record of `history.jsonl` with the keys of version 3."""
    return _renamed(tree, RECORD_KEYS)


def upgrade_card(tree: Tree) -> Tree:
    """Return the tree of a `card.json` of version 2 or 3 as one of version 3."""
    if tree.get("schema_version") != 2:
        return tree
    upgraded = _renamed(tree, {"input": "preprocessing"}) | {"schema_version": 3}
    if isinstance(tree.get("best"), dict):
        upgraded["best"] = upgrade_record(tree["best"])
    return upgraded


def upgrade_audit(tree: Tree) -> Tree:
    """Return the tree of an `audit.json` of version 2 or 3 as one of version 3."""
    if tree.get("schema_version") != 2:
        return tree
    keys = {"apart_from": "compared_with", "apart": "two_sample_auc"}
    settings = _renamed(tree.get("settings", {}), KEYS["audit"])
    return _renamed(tree, keys) | {"schema_version": 3, "settings": settings}


def upgrade_config(tree: Tree) -> Tree:
    """Return the tree of a `config.toml` of version 2 or 3 as one of version 3.

    A file of version 2 has the group `input`, which version 3 calls `preprocessing`.
    """
    if "input" not in tree:
        return tree
    upgraded = _renamed(tree, {"input": "preprocessing"})
    upgraded["preset"] = PRESETS.get(tree.get("preset", ""), tree.get("preset", "light"))
    for group, keys in KEYS.items():
        upgraded[group] = _renamed(tree.get(group, {}), keys)
    augment = upgraded["augment"]
    for key, values in VALUES.items():
        if key in augment:
            augment[key] = values.get(augment[key], augment[key])
    if "operations" in augment:
        augment["operations"] = _renamed(augment["operations"], OPERATIONS)
    if "without" in augment:
        augment["without"] = [OPERATIONS.get(name, name) for name in augment["without"]]
    return upgraded


def _renamed(tree: Tree, keys: dict[str, str]) -> Tree:
    return {keys.get(key, key): value for key, value in tree.items()}
