"""What a reviewer sees and decides: cells with their classes, the count, the agreement."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from stainproof.evaluation.count_result import THRESHOLD, UNCLASSIFIED
from stainproof.evaluation.intervals import difference, proportion
from stainproof.runs.artefact import Estimate
from stainproof.serve.records import Decision, StoredCell
from stainproof.serve.store import REVIEWERS, Store
from stainproof.serve.uncertainty import UNCERTAIN_BELOW


class CellView(BaseModel):
    """A cell as a reviewer sees it; a hidden prediction is not sent."""

    id: int
    name: str
    label: str | None
    """The reviewer's class, else the predicted one, or `unclassified` if that has a probability
    below the threshold of the count; None if it is hidden."""
    predicted: str | None
    probs: list[float] | None
    """In the order of the model's classes."""
    is_reviewed: bool
    is_uncertain: bool
    is_disputed: bool
    """Whether the other reviewer gave another class; shown once both have decided."""
    has_field: bool
    """Whether it was cut from a photograph of a smear."""


class Agreement(BaseModel):
    """How far the reviewers agree with each other and with the model."""

    num_both: int
    """Cells that both reviewers decided."""
    num_equal: int
    kappa: float | None
    """Cohen's kappa (Cohen 1960); None if it is not defined."""
    shown: Estimate | None
    """Share of this reviewer's first decisions that equal the prediction, where it was shown."""
    num_shown: int
    blind: Estimate | None
    """The same where the prediction was hidden: the model's accuracy as this reviewer judges it."""
    num_blind: int
    anchoring: Estimate | None
    """`shown` minus `blind`: how much the prediction draws the reviewer."""


@dataclass(frozen=True)
class Review:
    """One reviewer's view of a session."""

    store: Store
    classes: Sequence[str]
    reviewer: int
    uncertain_below: float = UNCERTAIN_BELOW
    """See `uncertainty.Uncertainty`."""

    def views(self, ids: Iterable[int] | None = None) -> list[CellView]:
        """Return all cells, or some of them, as the reviewer sees them."""
        own = self.store.decisions(self.reviewer)
        other = self.store.decisions(other_than(self.reviewer))
        is_blind = self.store.is_blind
        return [
            self._view(cell, own.get(cell.id), other.get(cell.id), is_blind)
            for cell in self.store.cells(ids)
        ]

    def _view(
        self, cell: StoredCell, own: Decision | None, other: Decision | None, is_blind: bool
    ) -> CellView:
        hidden = is_blind and cell.is_blind and own is None
        predicted = None if hidden else self._predicted(cell)
        is_sure = cell.probs.max() >= THRESHOLD
        return CellView(
            id=cell.id,
            name=cell.name,
            label=own.label if own else predicted if is_sure or hidden else UNCLASSIFIED,
            predicted=predicted,
            probs=None if hidden else [round(p, 4) for p in cell.probs.tolist()],
            is_reviewed=own is not None,
            is_uncertain=not hidden and bool(cell.probs.max() < self.uncertain_below),
            is_disputed=own is not None and other is not None and own.label != other.label,
            has_field=cell.has_field,
        )

    def decide(self, ids: Sequence[int], label: str | None) -> list[int]:
        """Give cells a class, or confirm the class that each one has or is predicted.

        Args:
            ids: Ids of cells; unknown ones are left out.
            label: A class or `unclassified`; None confirms. A cell whose predicted class is hidden
                cannot be confirmed and is left out.

        Returns:
            The ids of the cells that were decided.
        """
        own = self.store.decisions(self.reviewer)
        is_blind = self.store.is_blind
        labels = {}
        for cell in self.store.cells(ids):
            shown = own[cell.id].was_shown if cell.id in own else not (is_blind and cell.is_blind)
            if label is not None:
                labels[cell.id] = (label, shown)
            elif cell.id in own:
                labels[cell.id] = (own[cell.id].label, shown)
            elif shown:
                labels[cell.id] = (self._predicted(cell), shown)
        if labels:
            self.store.decide(self.reviewer, labels)
        return list(labels)

    def evidence(self) -> tuple[NDArray[np.float32], dict[int, str]]:
        """Return what the count is made of.

        A cell whose prediction is hidden is given as unclassified, so that the count does not tell
        its class.

        Returns:
            Probabilities float32 (cells, classes), and position -> class that the reviewer gave.
        """
        cells = self.store.cells()
        own = self.store.decisions(self.reviewer)
        is_blind = self.store.is_blind
        confirmed = {
            index: own[cell.id].label if cell.id in own else UNCLASSIFIED
            for index, cell in enumerate(cells)
            if cell.id in own or (is_blind and cell.is_blind)
        }
        empty = np.empty((0, len(self.classes)), dtype=np.float32)
        return np.array([cell.probs for cell in cells]) if cells else empty, confirmed

    def _predicted(self, cell: StoredCell) -> str:
        return self.classes[int(cell.probs.argmax())]

    def agreement(self) -> Agreement:
        """Return the agreement of both reviewers, and of this one with the model."""
        own = self.store.decisions(self.reviewer)
        other = self.store.decisions(other_than(self.reviewer))
        pairs = [(own[cell].label, other[cell].label) for cell in own if cell in other]
        first = self.store.decisions(self.reviewer, first=True)
        predicted = {cell.id: self._predicted(cell) for cell in self.store.cells(first)}
        right: dict[bool, list[bool]] = {True: [], False: []}
        for cell, decision in first.items():
            right[decision.was_shown].append(decision.label == predicted[cell])
        shown, blind = (
            proportion(sum(found), len(found)) if found else None
            for found in (right[True], right[False])
        )
        return Agreement(
            num_both=len(pairs),
            num_equal=sum(a == b for a, b in pairs),
            kappa=cohens_kappa(pairs),
            shown=shown,
            num_shown=len(right[True]),
            blind=blind,
            num_blind=len(right[False]),
            anchoring=difference(shown, blind) if shown and blind else None,
        )


def other_than(reviewer: int) -> int:
    """Return the other reviewer."""
    return REVIEWERS[0] if reviewer == REVIEWERS[1] else REVIEWERS[1]


def cohens_kappa(pairs: Sequence[tuple[str, str]]) -> float | None:
    """Return Cohen's kappa of two raters (Cohen 1960, Educ. Psychol. Meas. 20).

    Args:
        pairs: The classes that the raters gave each item.

    Returns:
        1 for full agreement, 0 for chance; None without items, or if both used one class only.
    """
    num = len(pairs)
    if not num:
        return None
    agreed = sum(a == b for a, b in pairs) / num
    names = {name for pair in pairs for name in pair}
    firsts, seconds = ([pair[i] for pair in pairs] for i in (0, 1))
    by_chance = sum(firsts.count(name) * seconds.count(name) for name in names) / num**2
    return None if by_chance == 1 else (agreed - by_chance) / (1 - by_chance)
