"""One training of a queue, and the row of results it leaves."""

from pydantic import Field

from stainproof.config.presets import make_config
from stainproof.config.schema import Config
from stainproof.provenance import Provenance
from stainproof.runs.artefact import Artefact, Estimate
from stainproof.runs.history import EpochRecord


class Experiment(Artefact):
    """One training to be measured beside others."""

    name: str
    """Unlike any other in its queue; names the run folder too."""
    network: str = "light"
    """Name in `presets.NETWORKS`."""
    schedule: str = "one-cycle"
    """Name in `presets.SCHEDULES`."""
    seed: int = 0
    budget_s: float | None = None
    assignments: tuple[str, ...] = ()
    """Texts such as `augment.recipe=simple`."""

    def config(self) -> Config:
        """Return all settings of the training.

        Raises:
            ConfigError: A name is unknown or a value is out of range.
        """
        return make_config(
            network=self.network,
            schedule=self.schedule,
            seed=self.seed,
            budget_s=self.budget_s,
            assignments=self.assignments,
        )


class Row(Artefact):
    """What an experiment showed."""

    experiment: Experiment
    source: str
    """Name of what was learnt from."""
    num_parameters: int
    num_images: int
    """Learnt from, in training and validation split together."""
    listings: dict[str, str] = Field(default_factory=dict)
    """What was learnt from, and `test` with the name of every test -> hash of names and labels;
    empty in rows of earlier versions."""
    best: EpochRecord
    """The epoch whose weights were measured."""
    num_epochs: int
    minutes: float
    """Of training."""
    precision: str = "float32"
    """Of training steps."""
    accuracy: dict[str, Estimate]
    """Test source -> accuracy."""
    balanced_accuracy: dict[str, Estimate]
    confidence: dict[str, float]
    """Test source -> mean confidence, 0 to 1; needs no label."""
    extra: dict[str, float] = Field(default_factory=dict)
    """What the queue's owner measures besides."""
    provenance: Provenance
