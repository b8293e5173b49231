"""The shipped models with their cards and evaluations."""

from dataclasses import dataclass

from stainproof.evaluation.result import EVALUATION_FILE, Evaluation
from stainproof.runs.card import Card
from stainproof.runs.folder import RunFolder
from stainproof.runs.shipped import installed_models, model_folder


@dataclass(frozen=True)
class ShippedModel:
    """A trained model that is part of the package."""

    name: str
    """The name, which can be given instead of a run folder."""
    card: Card
    num_bytes: int
    """Size of all its files."""
    evaluations: tuple[Evaluation, ...]
    """Those of its own validation and test images first."""


def shipped_models() -> list[ShippedModel]:
    """Return the models that are part of this installation, the smallest first.

    Raises:
        CheckpointError: A file of one is damaged or was altered.
    """
    return [_read(name) for name in installed_models()]


def _read(name: str) -> ShippedModel:
    run = RunFolder(model_folder(name))
    found = (folder / EVALUATION_FILE for folder in run.evaluation_folders())
    return ShippedModel(
        name=name,
        card=run.read_card(),
        num_bytes=sum(path.stat().st_size for path in run.path.rglob("*") if path.is_file()),
        evaluations=tuple(Evaluation.read(path) for path in found if path.exists()),
    )
