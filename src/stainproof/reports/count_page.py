"""HTML page of a differential count: percentages with intervals, doubtful cells, how it is read."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

from stainproof.evaluation.count_result import UNCLASSIFIED, ClassCount, Count
from stainproof.reports.frame import picture_uri, render_page
from stainproof.runs.artefact import Estimate

if TYPE_CHECKING:
    from stainproof.evaluation.counter import UnsureCell

COUNT_PAGE_FILE = "count.html"


@dataclass(frozen=True)
class Row:
    """One class of the table."""

    name: str
    count: ClassCount
    estimate: Estimate | None
    """Its share of the white cells with the interval, 0 to 1; None if it has no bar."""
    is_unsettled: bool


def render_count(count: Count, source: str, unsure: "Sequence[UnsureCell]") -> str:
    """Return the page of a differential count as one self-contained HTML text.

    Args:
        count: The count.
        source: Name of the images, the title of the page.
        unsure: The least sure cells, the least sure first.
    """
    rows = [_row(name, one, count) for name, one in count.classes.items()]
    return render_page(
        "count.html.jinja",
        source=source,
        provenance=count.provenance,
        count=count,
        white=sorted(
            (row for row in rows if row.count.kind == "white"), key=lambda row: -row.count.num
        ),
        apart=[row for row in rows if row.count.kind == "apart"],
        unclassified=next(row for row in rows if row.name == UNCLASSIFIED),
        verdict=_verdict(count),
        pictures=[(cell, picture_uri(Image.fromarray(cell.rgb))) for cell in unsure],
    )


def _row(name: str, one: ClassCount, count: Count) -> Row:
    estimate = None
    if one.kind != "apart" and None not in (one.percent, one.low, one.high):
        shares = {"value": one.percent, "low": one.low, "high": one.high}
        estimate = Estimate(**{key: (value or 0.0) / 100 for key, value in shares.items()})
    return Row(name, one, estimate, name in count.unsettled)


def _verdict(count: Count) -> str:
    """Return the most frequent white cells as one sentence."""
    if not count.num_white:
        return "No white cell among these images."
    white = [(one.num, name, one) for name, one in count.classes.items() if one.kind == "white"]
    shown = sorted((row for row in white if row[0]), key=lambda row: -row[0])[:3]
    parts = [
        f"{name} {one.percent:.0f} % ({one.low:.0f} to {one.high:.0f})" for _, name, one in shown
    ]
    return f"{count.num_white:,} white cells: {', '.join(parts)}."
