"""What was found in a field at standard magnification, before it is measured in its pixels."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from stainproof.cells.background import Mask
from stainproof.cells.view import RED_CELL_PX

Kind = Literal["white", "platelet"]


@dataclass(frozen=True)
class Found:
    """A cell in the view of a field."""

    kind: Kind
    """White cell (any nucleated cell) or platelet."""
    window: tuple[slice, slice]
    """Rows and columns."""
    mask: Mask
    """Its body within the window."""
    margin: float
    """Blurred edge around the body, in red-cell diameters."""
    score: float
    """From 0.5, just accepted, to 1."""

    def box(self) -> tuple[float, float, float, float]:
        """Return x0, y0, x1, y1 with the margin, in pixels of the view."""
        top, left = self.window[0].start, self.window[1].start
        rows, columns = (np.flatnonzero(self.mask.any(axis=axis)) for axis in (1, 0))
        edge_px = self.margin * RED_CELL_PX
        return (
            left + float(columns[0]) - edge_px,
            top + float(rows[0]) - edge_px,
            left + float(columns[-1]) + 1 + edge_px,
            top + float(rows[-1]) + 1 + edge_px,
        )
