"""The one tiny configuration of the tests: trains on a hundred cells in about a second."""

from stainproof.config.presets import make_config
from stainproof.config.schema import Config

TINY_TRAINING = (
    "preprocessing.size_px=32",
    "training.epochs=2",
    "training.threads=1",
    "training.precision=float32",
    "augment.recipe=d4",
)
TINY = (*TINY_TRAINING, "network.stem=[8,16]", "network.stages=[24]", "network.blocks=1")


def tiny_config(*assignments: str, seed: int = 0, budget_s: float | None = None) -> Config:
    """Return the settings of a tiny training, with assignments applied last."""
    return make_config(seed=seed, budget_s=budget_s, assignments=(*TINY, *assignments))


def set_options(*assignments: str) -> list[str]:
    """Return assignments as command-line options."""
    return [word for assignment in assignments for word in ("--set", assignment)]
