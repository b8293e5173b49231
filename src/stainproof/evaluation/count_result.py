"""The result of a differential count: numbers and percentages of each class with intervals."""

from typing import Literal

from pydantic import Field

from stainproof.provenance import Provenance
from stainproof.runs.artefact import SCHEMA_VERSION, Artefact, Described

COUNT_FILE = "count.json"
UNCLASSIFIED = "unclassified"
THRESHOLD = 0.5
"""Default of the probability below which an unconfirmed cell is unclassified."""
MARGIN_POINTS = 5.0
"""Default of the half width of an interval, in percentage points, that settles a class."""
Kind = Literal["white", "apart", "unclassified"]


class ClassCount(Artefact):
    """The cells of one class."""

    num: int
    """Cells that are counted as this class: predicted with a probability of the threshold or more,
    or confirmed."""
    percent: float | None
    """`num` in percent of the white cells, unclassified cells included; of a class that is no white
    cell, the number per 100 white cells. None without a white cell."""
    low: float | None
    high: float | None
    """95 % interval of the percentage in the blood. It joins the counting noise and the errors of
    the model, and always includes `percent`."""
    corrected: float | None
    """Percentage that the measured errors of the model let expect; None for `unclassified`."""
    num_confirmed: int
    """Cells of this class that a person has confirmed."""
    kind: Kind
    """Whether it is a class of white cells, a class apart from them, or `unclassified`."""

    @property
    def half_width(self) -> float:
        """Half the width of the interval in percentage points."""
        return 0.5 * ((self.high or 0.0) - (self.low or 0.0))


class Count(Described):
    """A differential count."""

    schema_version: int = Field(SCHEMA_VERSION, ge=SCHEMA_VERSION, le=SCHEMA_VERSION)
    num_cells: int
    """All cells, white or not."""
    num_white: int
    """White cells, unclassified cells included."""
    num_confirmed: int
    """Cells whose class a person has confirmed or corrected."""
    num_unreadable: int = 0
    """Images that could not be read; they are not counted."""
    classes: dict[str, ClassCount]
    """All classes of the model and all that a person has named; the last is `unclassified`."""
    threshold: float
    """Probability below which an unconfirmed cell is unclassified."""
    margin_points: float
    """Half width of an interval, in percentage points, that settles a class of white cells."""
    unsettled: tuple[str, ...]
    """Classes of white cells whose interval is wider than twice the margin."""
    num_more: int | None
    """Further white cells that would settle all classes, if they are like these and as many of them
    are confirmed; 0 if all are settled, None if 15 times as many would not be enough."""
    errors_from: str
    """Name of the labelled cells on which the errors of the model were measured."""
    num_errors_cells: int
    """Number of these cells."""
    assumption: str
    """On what the intervals rest, as a sentence."""
    warnings: tuple[str, ...]
    lab: str = ""
    """What the laboratory profile changes in the images; empty without one."""
    weights_sha256: str = ""
    seed: int
    """Seed of the draws behind the intervals."""
    provenance: Provenance

    @property
    def needed(self) -> str:
        """Return how many more cells settle the count, as a sentence."""
        within = f"within {self.margin_points:g} points of the percentage on either side"
        if not self.unsettled:
            return f"Every interval of white cells is {within}."
        if self.num_more is None:
            return (
                f"More cells alone would not bring every interval {within}: the errors of the "
                "model are too frequent or too little known. Confirming the cells would."
            )
        return (
            f"About {self.num_more:,} more white cells like these would bring every interval "
            f"{within}."
        )

    def describe(self) -> dict[str, str]:
        """Return numbers and percentages with their intervals as text."""
        facts = {"white cells": f"{self.num_white}, {self.num_confirmed} of all cells confirmed"}
        for name, one in self.classes.items():
            if one.percent is None or one.low is None or one.high is None:
                facts[name] = f"{one.num}"
                continue
            unit = "per 100 white cells" if one.kind == "apart" else "%"
            facts[name] = f"{one.num}: {one.percent:.1f} {unit} ({one.low:.1f} to {one.high:.1f})"
        return facts | {"warning": "; ".join(self.warnings) or "none"}
