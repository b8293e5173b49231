"""Checks of unlabelled cells: do they look like the cells that the model was trained on?"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from stainproof.data.images import Images
from stainproof.deployment.embedding import Embedding, embed
from stainproof.deployment.home import home_of
from stainproof.deployment.properties import measure_properties
from stainproof.deployment.result import CheckResult, Verdict
from stainproof.deployment.verdict import MIN_IMAGES
from stainproof.errors import DataError
from stainproof.inference.classifier import Classifier
from stainproof.runs.artefact import Estimate
from stainproof.serve.batching import BusyError
from stainproof.serve.store import Store

if TYPE_CHECKING:
    from stainproof.deployment.checking import Checker

MEASURED_AT_ONCE = 128
"""Cells that are in memory at once."""
NO_REFERENCE = (
    "this model has no reference of held-out cells, so nothing can be checked; make one with: "
    "stainproof check MODEL IMAGES --reference CELLS"
)
_Row = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]


class SessionCheck(BaseModel):
    """The check of the cells of a session."""

    num_cells: int
    num_needed: int = MIN_IMAGES
    """Cells from which there is a verdict."""
    unlike: list[int]
    """Ids of the cells that are unlike the training cells."""
    verdict: Verdict | None = None
    reasons: list[str] = []
    expected_accuracy: Estimate | None = None
    """With a 90 % interval."""
    drift_p_value: float | None = None


class Checks:
    """Checks cells of one model, one set at a time."""

    def __init__(self, classifier: Classifier):
        """Read the reference of the model, if it has one.

        Raises:
            CheckpointError: The reference is damaged, was altered or belongs to other weights.
        """
        self._home = home_of(classifier)
        self._lab = classifier.lab.describe() if classifier.lab else ""
        self._rows: dict[int, _Row] = {}  # id of a cell -> features, those mirrored, properties
        self._last: SessionCheck | None = None
        self._lock = Lock()

    @property
    def is_possible(self) -> bool:
        """Whether the model has a reference."""
        return self._home is not None

    def of_images(
        self, names: Sequence[str], squares: Sequence[Images], num_refused: int
    ) -> CheckResult:
        """Check images of one laboratory.

        Args:
            names: Their names.
            squares: The images as the network takes them.
            num_refused: Files beside them that could not be used.

        Raises:
            DataError: The model has no reference, or there are too few images.
            BusyError: Another check is running.
        """
        if self._home is None:
            raise DataError(NO_REFERENCE)
        if len(squares) < MIN_IMAGES:
            raise DataError(
                f"a check needs {MIN_IMAGES} images or more, got {len(squares)} that can be used"
            )
        with self._alone():
            rgb = np.stack(squares)
            found = embed(self._home.classifier, rgb)
            properties = measure_properties(rgb)
            checked = self._checker(
                found, properties, names, names, num_unreadable=num_refused, lab=self._lab
            )
        return checked.result

    def of_session(self, store: Store, to_input: Callable[[bytes], Images]) -> SessionCheck | None:
        """Check all cells of a session; None if the model has no reference or there is no cell.

        Features are computed once for each cell.

        Args:
            store: The session.
            to_input: Decodes a picture and brings it to the input of the network.

        Raises:
            BusyError: Another check is running.
            DataError: A picture of the session cannot be read.
        """
        ids = [cell.id for cell in store.cells()]
        if self._home is None or not ids:
            return None
        with self._alone():
            if self._last is None or self._last.num_cells != len(ids):
                self._measure(store, [one for one in ids if one not in self._rows], to_input)
                self._last = self._check(ids)
            return self._last

    @cached_property
    def _checker(self) -> "Checker":
        from stainproof.deployment.checking import Checker

        assert self._home
        return Checker(self._home)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._lock.acquire(blocking=False):
            raise BusyError
        try:
            yield
        finally:
            self._lock.release()

    def _measure(
        self, store: Store, ids: Sequence[int], to_input: Callable[[bytes], Images]
    ) -> None:
        assert self._home
        for start in range(0, len(ids), MEASURED_AT_ONCE):
            some = ids[start : start + MEASURED_AT_ONCE]
            rgb = np.stack([_input_of(one, to_input, store.picture(one) or b"") for one in some])
            found = embed(self._home.classifier, rgb)
            rows = zip(found.features, found.mirrored, measure_properties(rgb), strict=True)
            self._rows.update(zip(some, rows, strict=True))

    def _check(self, ids: Sequence[int]) -> SessionCheck:
        features, mirrored, properties = (
            np.stack(part) for part in zip(*(self._rows[one] for one in ids), strict=True)
        )
        found = Embedding(features, mirrored)
        is_unlike = self._checker.is_unlike(found)
        unlike = [one for one, unlike in zip(ids, is_unlike, strict=True) if unlike]
        if len(ids) < MIN_IMAGES:
            return SessionCheck(num_cells=len(ids), unlike=unlike)
        names = [str(one) for one in ids]
        result = self._checker(found, properties, names, names, lab=self._lab).result
        return SessionCheck(
            num_cells=len(ids),
            unlike=unlike,
            verdict=result.verdict,
            reasons=list(result.reasons),
            expected_accuracy=result.expected_accuracy,
            drift_p_value=result.drift.p_value,
        )


def _input_of(cell: int, to_input: Callable[[bytes], Images], picture: bytes) -> Images:
    try:
        return to_input(picture)
    except DataError as error:
        raise DataError(f"cell {cell}: {error}") from error
