"""The differential count of a review or of the images of a request."""

from collections import OrderedDict
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from stainproof.evaluation.count import count_cells
from stainproof.evaluation.count_result import MARGIN_POINTS, ClassCount, Count
from stainproof.evaluation.misclassification import ErrorCounts
from stainproof.inference.classifier import Classifier
from stainproof.serve.haematology import loinc_codes
from stainproof.serve.review import Review

NUM_KEPT = 8
"""Counts that are kept until their cells change."""
NO_MARGIN = 100.0
"""With it, `count_cells` leaves out the slow search for the number of cells that are enough."""


class Summary(BaseModel):
    """A differential count; the fields are those of `count.json`."""

    classes: dict[str, ClassCount]
    """White cells, classes apart from them per 100 white cells, and `unclassified`."""
    num_cells: int
    num_white: int
    num_confirmed: int
    threshold: float
    errors_from: str
    num_errors_cells: int
    assumption: str
    warnings: list[str]
    loinc: dict[str, str]
    """Class -> LOINC code, for the classes that have one."""


class Counting:
    """Counts cells of one model, with the errors that were measured for it."""

    def __init__(self, classifier: Classifier, errors: ErrorCounts):
        self._classifier, self._errors = classifier, errors
        self._known: OrderedDict[tuple[int, int], Summary] = OrderedDict()
        self._lock = Lock()

    def of_images(self, probs: NDArray[np.float32]) -> Summary:
        """Count predicted images, float32 (N, classes), one or more."""
        return self._summary(self._count(probs, {}, NO_MARGIN))

    def of_review(self, review: Review) -> Summary | None:
        """Count the cells of a review; None without a cell."""
        key = (review.reviewer, review.store.num_changes)
        with self._lock:  # several requests for one count wait for it
            if key not in self._known:
                if not review.store.num_cells():
                    return None
                self._known[key] = self._summary(self._count(*review.evidence(), NO_MARGIN))
                while len(self._known) > NUM_KEPT:
                    self._known.popitem(last=False)
            return self._known[key]

    def whole(self, review: Review) -> Count:
        """Count the cells of a review, with the number of further cells that would be enough.

        Raises:
            DataError: There is no cell.
        """
        return self._count(*review.evidence(), MARGIN_POINTS)

    def _count(
        self, probs: NDArray[np.float32], confirmed: dict[int, str], margin_points: float
    ) -> Count:
        return count_cells(
            probs,
            self._classifier.classes,
            self._errors,
            confirmed=confirmed,
            margin_points=margin_points,
            weights_sha256=self._classifier.weights_sha256,
        )

    def _summary(self, count: Count) -> Summary:
        fields = {name: getattr(count, name) for name in Summary.model_fields if name != "loinc"}
        return Summary(**fields, loinc=loinc_codes(self._classifier.classes))
