"""HTML page of a ladder: the accuracy of each step beside that of the AN2DL paper."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from stainproof.reports import figures
from stainproof.reports.frame import render_page
from stainproof.search.experiment import Row

TOO_SHORT = "at most one epoch in this time: too little to compare; give a longer --budget"
"""Footnote of such steps."""
WIDTHS_PX = {"wide": 860, "narrow": 370}


@dataclass(frozen=True)
class RungResult:
    """One step and its measured accuracy."""

    title: str
    paper_accuracy: float | None
    """Accuracy of the AN2DL paper on its hidden test set, 0 to 1; absent for steps of our own."""
    row: Row


def render_ladder(results: Sequence[RungResult], source: str) -> str:
    """Return the page as one self-contained HTML text.

    Args:
        results: The steps in their order, at least one.
        source: Name of the training data.
    """
    tests = list(results[0].row.accuracy)
    titles = [result.title for result in results]
    measured = {test: [result.row.accuracy[test] for result in results] for test in tests}
    in_paper = [result.paper_accuracy for result in results]
    return render_page(
        "ladder.html.jinja",
        results=results,
        source=source,
        provenance=results[0].row.provenance,
        tests=tests,
        figures={
            name: Markup(figures.accuracy_by_step(titles, measured, in_paper, width_px=width_px))
            for name, width_px in WIDTHS_PX.items()
        },
        first=results[0].row,
        last=results[-1].row,
        too_short=TOO_SHORT,
    )
