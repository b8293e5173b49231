"""Results: `check.json` of a check and `adaptation.json` of an adapted run."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stainproof.provenance import Provenance
from stainproof.runs.artefact import SCHEMA_VERSION, Artefact, Described, Estimate

CHECK_FILE, CHECK_PAGE_FILE = "check.json", "check.html"
ADAPTATION_FILE = "adaptation.json"
NOTHING = "nothing"
"""The candidate that leaves the network as it is."""
Verdict = Literal["fit", "label 32 cells first", "not fit"]


class DriftTest(Artefact):
    """One two-sample test."""

    name: str
    """`features` (all of them), `component K` (a principal component of the features), or a
    measured property."""
    p_value: float
    """Corrected for the number of tests (Holm 1979)."""
    shift: float
    """Difference of the medians in standard deviations of the home cells; of `features`, the
    estimated squared maximum mean discrepancy."""


class Drift(Artefact):
    """Whether new images have the distribution of the home laboratory."""

    p_value: float
    """Smallest corrected p-value: under 0.05 in at most 5 % of samples of the home laboratory."""
    num_images: int
    tests: tuple[DriftTest, ...]
    """The smallest p-value first."""

    @property
    def moved(self) -> tuple[DriftTest, ...]:
        """Tests with a corrected p-value below 0.05."""
        return tuple(test for test in self.tests if test.p_value < 0.05)


class ClassMix(Artefact):
    """Estimated share of one class."""

    name: str
    share: Estimate
    """Estimated, with a 95 % bootstrap interval over images."""
    predicted: float
    """Share of the images that the network assigns to the class."""


class UnlikeImage(Artefact):
    """An image that is unlike the home cells."""

    name: str
    distance: float
    """Distance to the tenth nearest home cell, above the threshold."""
    predicted: str


class ClassEstimate(Artefact):
    """What to expect of the images that the network assigns to one class."""

    name: str
    num_predicted: int
    expected_precision: float | None
    """Estimated share of right answers among them; None if there are none."""


class CheckResult(Described):
    """What to expect of a run on unlabelled images."""

    schema_version: int = Field(SCHEMA_VERSION, ge=SCHEMA_VERSION, le=SCHEMA_VERSION)
    images: tuple[str, ...]
    """Paths and globs, as given."""
    num_images: int
    """Images that were checked."""
    num_left_out: int
    """Readable images beyond the largest number that is checked; a random subset was drawn."""
    num_unreadable: int
    weights_sha256: str
    lab: str
    """What the laboratory profile changed; empty without one."""
    expected_accuracy: Estimate
    """With a 90 % interval."""
    home_accuracy: float
    """Accuracy on the home cells of the reference."""
    classes: tuple[ClassEstimate, ...]
    drift: Drift
    class_mix: tuple[ClassMix, ...]
    unlike_share: float
    """Share of images that are unlike the home cells; about 1 % of home cells are."""
    unlike_threshold: float
    unlike: tuple[UnlikeImage, ...]
    """All of them, the most unlike first."""
    verdict: Verdict
    reasons: tuple[str, ...]
    """Sentences that explain the verdict."""
    seed: int
    provenance: Provenance

    def describe(self) -> dict[str, str]:
        """Return verdict and estimates as text."""
        return {
            "verdict": self.verdict,
            "images": f"{self.num_images}",
            "expected accuracy": f"{self.expected_accuracy.percent()}, 90 % interval",
            "drift": f"p = {self.drift.p_value:.3g}",
            "unlike the home cells": f"{100 * self.unlike_share:.1f} %",
        }


@dataclass(frozen=True)
class Checked:
    """A result with the measurements that the page shows."""

    result: CheckResult
    properties: NDArray[np.float32]
    """float32 (n, 7) of the new images."""
    distances: NDArray[np.float64]
    """float64 (n,): to the home cells."""
    chances: NDArray[np.float64]
    """float64 (n,): estimated probability that each answer is right."""


class Candidate(Artefact):
    """One way to adapt, as measured by cross-validation on the labelled cells."""

    name: str
    balanced_accuracy: float
    """Of cells that it was not fitted on."""
    log_loss: float
    """Balanced over the classes, of the same cells."""
    home_balanced_accuracy: float
    """Of home cells that it was not fitted on, except that a few of their distorted copies were."""
    refused: str = ""
    """Why it was not chosen although its loss is lower than that of the chosen one."""


class Adaptation(Described):
    """How a run was adapted: `adaptation.json`."""

    schema_version: int = Field(SCHEMA_VERSION, ge=SCHEMA_VERSION, le=SCHEMA_VERSION)
    from_weights_sha256: str
    """Hash of the weights of the run that was adapted."""
    source: str
    class_counts: dict[str, int]
    """Class of the run -> number of labelled cells."""
    names: tuple[str, ...]
    """The labelled cells."""
    data_sha256: str
    lab: str
    """What the laboratory profile changed; empty without one."""
    chosen: str
    """Name of the chosen candidate."""
    candidates: tuple[Candidate, ...]
    seed: int
    notes: tuple[str, ...]
    provenance: Provenance

    @property
    def is_changed(self) -> bool:
        """Whether the adapted run differs from the one before."""
        return self.chosen != NOTHING

    def describe(self) -> dict[str, str]:
        """Return choice and cross-validated figures as text."""
        by_name = {one.name: one for one in self.candidates}
        before, after = by_name[NOTHING], by_name[self.chosen]
        facts = {"labelled cells": f"{len(self.names)} of {self.source}", "chosen": self.chosen}
        for name in ("balanced_accuracy", "home_balanced_accuracy"):
            values = (100 * getattr(one, name) for one in (before, after))
            facts[name.replace("_", " ")] = "{:.1f} % before, {:.1f} % after".format(*values)
        return facts


class UnlabelledAdaptation(Described):
    """How a run was adapted without labels: `adaptation.json`."""

    schema_version: int = Field(SCHEMA_VERSION, ge=SCHEMA_VERSION, le=SCHEMA_VERSION)
    from_weights_sha256: str
    """Hash of the weights of the run that was adapted."""
    images: tuple[str, ...]
    """Paths and globs, as given."""
    num_images: int
    num_left_out: int
    """Readable images beyond the largest number; a random subset was drawn."""
    num_unreadable: int
    used_counts: dict[str, int]
    """Predicted class -> number of cells that the last layer was refitted on."""
    num_changed: int
    """Images that the adapted run assigns to another class."""
    home_balanced_accuracy_before: float
    home_balanced_accuracy: float
    """Of home cells that it was not fitted on, except that a few of their distorted copies were."""
    lab: str
    """What the laboratory profile changed; empty without one."""
    seed: int
    provenance: Provenance

    def describe(self) -> dict[str, str]:
        """Return numbers of images and the accuracy at home as text."""
        before, after = self.home_balanced_accuracy_before, self.home_balanced_accuracy
        return {
            "images": f"{self.num_images} of {', '.join(self.images)}",
            "refitted on": f"{sum(self.used_counts.values())} confident predictions",
            "assigned to another class": f"{self.num_changed}",
            "home balanced accuracy": f"{100 * before:.1f} % before, {100 * after:.1f} % after",
        }
