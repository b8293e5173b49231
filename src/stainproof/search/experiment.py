"""One experiment of a queue, and its row of results."""

from pydantic import Field

from stainproof.config.presets import make_config
from stainproof.config.schema import Config
from stainproof.provenance import Provenance
from stainproof.runs.artefact import Artefact, Estimate
from stainproof.runs.history import EpochRecord


class Experiment(Artefact):
    """One training whose result is compared with others."""

    name: str
    """Unique within its queue; also the name of the run folder."""
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
    """The result of an experiment."""

    experiment: Experiment
    source: str
    """Name of the training source."""
    num_parameters: int
    num_images: int
    """Number of images in training and validation split together."""
    listings: dict[str, str] = Field(default_factory=dict)
    """Name of the training source, and `test` with the name of every test -> hash of names and
    labels; empty in rows of earlier versions.
    """
    best: EpochRecord
    """The epoch whose weights were evaluated."""
    num_epochs: int
    minutes: float
    """Training time."""
    precision: str = "float32"
    """Precision of training steps."""
    accuracy: dict[str, Estimate]
    """Test source -> accuracy."""
    balanced_accuracy: dict[str, Estimate]
    confidence: dict[str, float]
    """Test source -> mean confidence, 0 to 1."""
    extra: dict[str, float] = Field(default_factory=dict)
    """Further values measured by the owner of the queue."""
    provenance: Provenance

    @property
    def is_too_short(self) -> bool:
        """Whether training ended in or after its first epoch."""
        return self.num_epochs <= 1
