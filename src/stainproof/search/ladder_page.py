"""The ladder as one HTML file: what each step brought, beside the report's figures."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from stainproof.reports import figures
from stainproof.reports.frame import read_template
from stainproof.search.experiment import Row

TEMPLATE_FILE = "ladder.html.jinja"


@dataclass(frozen=True)
class RungResult:
    """One step and what it showed."""

    what: str
    reported: float | None
    """The report's accuracy on its hidden set, 0 to 1; absent for steps of our own."""
    row: Row


def render_ladder(results: Sequence[RungResult], source: str) -> str:
    """Return the page as one self-contained HTML text.

    Args:
        results: The steps in their order, at least one.
        source: Name of what was learnt from.
    """
    tests = list(results[0].row.accuracy)
    figure = figures.steps(
        [result.what for result in results],
        {test: [result.row.accuracy[test] for result in results] for test in tests},
        [result.reported for result in results],
    )
    return read_template(TEMPLATE_FILE).render(
        results=results,
        source=source,
        tests=tests,
        figure=Markup(figure),
        first=results[0].row,
        last=results[-1].row,
    )
