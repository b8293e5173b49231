"""One trained network that is open for predictions: its engine, card and temperature."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stainproof.calibration.record import calibration_of
from stainproof.data.images import Images
from stainproof.errors import CheckpointError, first_line
from stainproof.inference.engines import (
    DEFAULT,
    INT8,
    MAX_SUM_ERROR,
    Engine,
    check_probabilities,
    installed,
    open_engine,
)
from stainproof.runs.card import Card
from stainproof.runs.folder import RunFolder


@dataclass(frozen=True)
class Member:
    """One trained network: its engine, its card and its run folder."""

    engine: Engine
    card: Card
    run: RunFolder
    engine_name: str
    """Name in `engines.ENGINES`."""
    temperature: float = 1.0
    """By which the logits are divided, see `calibration.scaling`; 1: not calibrated."""

    def proba(self, images: Images) -> NDArray[np.float32]:
        """Map uint8 (b, size, size, 3) to probabilities float32 (b, classes) in the card's order.

        Raises:
            CheckpointError: The engine fails, or its answer is no distribution over the classes.
        """
        num_classes = len(self.card.classes)
        # a quantised model rounds each probability to 1/255
        allowed = num_classes / 255 if self.engine_name == INT8 else MAX_SUM_ERROR
        try:
            probs = self.engine(images)
        except Exception as error:  # engines raise their own exception types
            raise CheckpointError(
                f"{self.run}: engine {self.engine_name} failed ({first_line(error)})"
            ) from error
        try:
            check_probabilities(probs, (len(images), num_classes), allowed)
        except ValueError as error:
            raise CheckpointError(
                f"{self.run}: probabilities of engine {self.engine_name} {error}"
            ) from error
        return probs


def open_member(run: RunFolder, engine: str, threads: int | None, calibrated: bool) -> Member:
    """Open a run; if its card was replaced meanwhile, as by a training, open it again.

    Args:
        run: The run folder.
        engine: Name in `engines.ENGINES`, or `auto` for the run's own.
        threads: Number of threads; None: one per core.
        calibrated: Whether the calibration of the run is applied, if there is one.

    Raises:
        CheckpointError: The run is incomplete or altered.
        ConfigError: The engine is unknown or not installed.
    """
    while True:
        card = run.read_card()
        name = engine
        if engine == "auto":
            name = card.engine if card.engine in installed() else DEFAULT
        try:
            own = calibration_of(run, card) if calibrated else None
            temperature = own.temperature if own else 1.0
            return Member(open_engine(name, run, card, threads), card, run, name, temperature)
        except CheckpointError:
            if run.read_card() == card:
                raise


def check_members(members: Sequence[Member]) -> None:
    """Raise if networks cannot be combined.

    Raises:
        CheckpointError: They have different classes, or prepare images in different ways.
    """
    first = members[0].card
    for member in members:
        card = member.card
        if set(card.classes) != set(first.classes):
            raise CheckpointError(
                f"members must know the same classes, got {', '.join(first.classes)} "
                f"and {', '.join(card.classes)}"
            )
        ours, usual = card.preprocessing, first.preprocessing
        if ours.fit != usual.fit:
            raise CheckpointError(
                "members must bring oblong images to a square in the same way "
                f"(preprocessing.fit), got {usual.fit} and {ours.fit}"
            )
        if ours.white_point != usual.white_point:
            raise CheckpointError(
                "members must bring images to the same white point "
                f"(preprocessing.white_point), got {usual.white_point} and {ours.white_point}"
            )
