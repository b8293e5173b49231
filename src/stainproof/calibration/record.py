"""The calibration of a run: its temperature, and its predictions on the images it was fitted on."""

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stainproof.calibration.error import expected_calibration_error
from stainproof.calibration.scaling import MAX_TEMPERATURE, MIN_TEMPERATURE, scale
from stainproof.provenance import Provenance, collect
from stainproof.runs.artefact import SCHEMA_VERSION, Described
from stainproof.runs.card import Card
from stainproof.runs.ensemble import is_ensemble
from stainproof.runs.folder import RunFolder

MAX_IMAGES = 100_000
"""Most images whose confidence is stored; of more a random subset is."""
_SEED = 0
"""Of the subset."""

Share = Annotated[float, Field(ge=0, le=1)]


class Calibration(Described):
    """The file `calibration.json`."""

    schema_version: int = Field(SCHEMA_VERSION, ge=SCHEMA_VERSION, le=SCHEMA_VERSION)
    source: str
    """Name of the images that it was fitted on."""
    num_images: int = Field(ge=1)
    """Number of images whose confidence is stored: all, or 100,000 of them."""
    temperature: float = Field(ge=MIN_TEMPERATURE, le=MAX_TEMPERATURE)
    """By which logits are divided, see `scaling.scale`."""
    prior_temperature: float | None = Field(None, ge=MIN_TEMPERATURE, le=MAX_TEMPERATURE)
    """Temperature before the fit, to which few images keep close; None: fitted after training."""
    error_before: Share
    """Expected calibration error on these images without calibration."""
    error_after: Share
    right: tuple[Share, ...] = Field(max_length=MAX_IMAGES)
    """Calibrated confidence of every right prediction on these images, ascending."""
    wrong: tuple[Share, ...] = Field(max_length=MAX_IMAGES)
    """Calibrated confidence of every wrong prediction, ascending."""
    notes: tuple[str, ...] = ()
    provenance: Provenance

    def describe(self) -> dict[str, str]:
        """Return source, temperature and calibration error as text."""
        before, after = 100 * self.error_before, 100 * self.error_after
        return {
            "fitted on": f"{self.source}, {self.num_images:,} images",
            "temperature": f"{self.temperature:.3f}",
            "expected calibration error": f"{before:.1f} % before, {after:.1f} % after",
        }


def make_calibration(
    labels: NDArray[np.int64],
    probs: NDArray[np.floating],
    temperature: float,
    source: str,
    notes: tuple[str, ...] = (),
    prior_temperature: float | None = None,
) -> Calibration:
    """Return the calibration that a temperature gives on labelled images.

    Of more than 100,000 images a random subset of so many is described, always the same one; the
    notes say so.

    Args:
        labels: int64 (N,), true classes.
        probs: (N, classes), uncalibrated.
        temperature: See `scaling.fit_temperature`.
        source: Name of the images.
        notes: What was left out or changed.
        prior_temperature: See `Calibration`.
    """
    if len(labels) > MAX_IMAGES:
        notes = (*notes, f"{MAX_IMAGES:,} of {len(labels):,} images are stored, drawn at random")
        chosen = np.random.default_rng(_SEED).choice(len(labels), MAX_IMAGES, replace=False)
        labels, probs = labels[chosen], probs[chosen]
    calibrated = scale(probs, temperature)
    is_right = calibrated.argmax(axis=1) == labels
    confidence = calibrated.max(axis=1).astype(np.float64)
    return Calibration(
        source=source,
        num_images=len(labels),
        temperature=temperature,
        prior_temperature=prior_temperature,
        error_before=expected_calibration_error(labels, probs),
        error_after=expected_calibration_error(labels, calibrated),
        right=tuple(np.sort(confidence[is_right]).tolist()),
        wrong=tuple(np.sort(confidence[~is_right]).tolist()),
        notes=notes,
        provenance=collect(),
    )


def read_calibration(run: RunFolder) -> Calibration | None:
    """Read the calibration of a run or an ensemble; None if it has none, as in older runs.

    Raises:
        CheckpointError: It is damaged or was altered.
    """
    if is_ensemble(run.path):
        if not run.calibration.exists():
            return None
        return Calibration.parse(run.read(run.calibration), run.calibration)
    return calibration_of(run, run.read_card())


def calibration_of(run: RunFolder, card: Card) -> Calibration | None:
    """Read the calibration that a card names; None if it names none.

    Raises:
        CheckpointError: It is missing, damaged or was altered.
    """
    if not card.calibration_sha256:
        return None
    content = run.read_named(run.calibration, card.calibration_sha256)
    return Calibration.parse(content, run.calibration)


def write_calibration(run: RunFolder, calibration: Calibration) -> None:
    """Write the calibration of a run or an ensemble, whose probabilities it applies to from then.

    Raises:
        CheckpointError: The folder has no card, or it is damaged.
    """
    if is_ensemble(run.path):
        run.put_bytes(run.calibration, calibration.to_json())
        run.settle()
        return
    card = run.read_card()
    sha256 = run.write_model(run.calibration, calibration.to_json())
    run.write_card(card.model_copy(update={"calibration_sha256": sha256}))
