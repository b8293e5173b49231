"""The plan of a search: images, search space, and the settings that all trials share."""

import uuid
from pathlib import Path
from typing import Any

from pydantic import Field

from stainproof.config.parsing import key_of
from stainproof.config.presets import make_config
from stainproof.data import sources
from stainproof.errors import ConfigError
from stainproof.inference.teacher import load_teacher
from stainproof.progress import Track
from stainproof.provenance import without_password
from stainproof.runs.artefact import SCHEMA_VERSION, Artefact
from stainproof.search.space import read_space

OWN_OPTIONS = ("seed", "training.budget_s")


class Plan(Artefact):
    """The plan of a search; all processes that share a folder must agree on it."""

    schema_version: int = Field(SCHEMA_VERSION, ge=SCHEMA_VERSION, le=SCHEMA_VERSION)
    name: str
    """Unique name of the study in its storage."""
    storage: str
    """Address of the storage without a password; empty for SQLite in the folder."""
    source: str
    """Name of the training source."""
    num_images: int
    listing_sha256: str
    """Hash of file names and labels."""
    classes: tuple[str, ...]
    space: dict[str, Any]
    fixed: tuple[str, ...]
    """Assignments that all trials share."""
    budget_s: float
    """Seconds of each training."""
    seed: int

    def check_same(self, other: "Plan", folder: Path) -> None:
        """Check that another plan is the same.

        Raises:
            ConfigError: It differs; the message names the first option that does.
        """
        images = ("source", "num_images", "listing_sha256", "classes")
        fixed = " ".join(self.fixed) or "none"
        for option, fields, kept in (
            ("DATA", images, f" ({self.num_images} images of {self.source})"),
            ("--space", ("space",), ""),
            ("--set", ("fixed",), f" ({fixed})"),
            ("--budget", ("budget_s",), f" ({self.budget_s:g}s)"),
            ("--seed", ("seed",), f" ({self.seed})"),
            ("--storage", ("storage",), f" ({self.storage or 'none'})"),
        ):
            if any(getattr(self, field) != getattr(other, field) for field in fields):
                raise ConfigError(
                    f"{folder}: holds a search with another {option}{kept}; "
                    "give the same one, or choose another --out"
                )


def make_plan(
    source: str | Path,
    storage: str,
    space: Path | None,
    fixed: tuple[str, ...],
    budget_s: float,
    seed: int,
    track: Track,
) -> Plan:
    """Return the plan of a search, with a new name for its study.

    Args:
        source: Training images.
        storage: Address of a database; empty for SQLite in the folder.
        space: TOML file of the search space; None: our own.
        fixed: Assignments that all trials share.
        budget_s: Seconds of each training.
        seed: Seed of the sampler and of every training.
        track: Shows progress.

    Raises:
        ConfigError: A setting is invalid.
        DataError: The source cannot be listed.
    """
    for one in fixed:
        if key_of(one) in OWN_OPTIONS:
            raise ConfigError(f"--set {one}: has an option of its own, --seed or --budget")
    config = make_config(seed=seed, budget_s=budget_s, assignments=fixed)
    if config.augment.validation == "none":
        raise ConfigError(
            "augment.validation: a search needs an augmented validation set, got none"
        )
    if config.training.teacher:
        load_teacher(config.training.teacher)
    listing = sources.list_source(source, track, options=config.source)
    return Plan(
        name=f"stainproof-{uuid.uuid4().hex}",
        storage=without_password(storage),
        source=listing.source,
        num_images=len(listing),
        listing_sha256=listing.sha256(),
        classes=listing.classes,
        space=read_space(space, fixed).tree,
        fixed=fixed,
        budget_s=budget_s,
        seed=seed,
    )
