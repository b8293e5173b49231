"""What a search is about: the images, the space, and all that its trials have in common."""

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
    """What a search is about; processes that share a folder must agree on it."""

    schema_version: int = Field(SCHEMA_VERSION, ge=SCHEMA_VERSION, le=SCHEMA_VERSION)
    name: str
    """Of the study in its storage, like no other's."""
    storage: str
    """Its address without a password; empty for SQLite in the folder."""
    source: str
    """Name of what is learnt from."""
    num_images: int
    listing_sha256: str
    """Of file names and labels."""
    classes: tuple[str, ...]
    space: dict[str, Any]
    fixed: tuple[str, ...]
    """Assignments that every trial shares."""
    budget_s: float
    """Of each trial."""
    seed: int

    def check_same(self, other: "Plan", folder: Path) -> None:
        """Say in what another plan differs.

        Raises:
            ConfigError: It does.
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
    """Return what a search of these images is about, with a name for its study.

    Args:
        source: Images to learn from.
        storage: Address of a database; empty for SQLite in the folder.
        space: TOML file of what to search; nothing for our own.
        fixed: Assignments that every trial shares.
        budget_s: Seconds of each training.
        seed: Of the proposals and of every training.
        track: Shows how the source is listed.

    Raises:
        ConfigError: A setting does not fit.
        DataError: The source cannot be listed.
    """
    for one in fixed:
        if key_of(one) in OWN_OPTIONS:
            raise ConfigError(f"--set {one}: has an option of its own, --seed or --budget")
    config = make_config(seed=seed, budget_s=budget_s, assignments=fixed)
    if config.augment.validation == "none":
        raise ConfigError("augment.validation: a search needs changed validation images, got none")
    if config.training.teacher:
        load_teacher(config.training.teacher)
    place, part = sources.split_off_part(str(source))
    listing = sources.list_source(place, track)
    return Plan(
        name=f"stainproof-{uuid.uuid4().hex}",
        storage=without_password(storage),
        source=listing.source,
        num_images=len(listing),
        listing_sha256=listing.sha256(part),
        classes=listing.classes,
        space=read_space(space, fixed).tree,
        fixed=fixed,
        budget_s=budget_s,
        seed=seed,
    )
