"""How every figure looks, and how it becomes SVG text to stand inside an HTML page.

Colours are CSS variables of the page (`var(--good, #1f66ad)`), so a figure follows its light or
dark scheme; the value after the comma serves where there is no such page. The palette keeps blue
and orange apart for every kind of colour vision (Okabe and Ito 2008). The same data gives the
same bytes.
"""

import html
import io
import re
from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = {
    "ink": "#1b2431",
    "muted": "#586374",
    "line": "#dde2e8",
    "quiet": "#8592a4",
    "good": "#1f66ad",
    "bad": "#c9570c",
    "third": "#0b7a68",
    "fourth": "#7b4fa2",
    "cell-right": "#17548f",
    "cell-wrong": "#c9570d",
    "on-strong": "#fdfdfe",
}
"""CSS variable of the page -> its colour in the light scheme."""

SERIES = ("good", "bad", "third", "fourth", "quiet")
MARKERS = "osD^vP"
POINTS_AN_INCH = 72
MAX_NAME_LENGTH = 18
MAX_LEGEND_COLUMNS = 4
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 12,
    "text.color": COLOURS["ink"],
    "text.parse_math": False,
    "axes.edgecolor": COLOURS["line"],
    "axes.labelcolor": COLOURS["muted"],
    "axes.labelsize": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": COLOURS["line"],
    "grid.linewidth": 0.8,
    "xtick.color": COLOURS["muted"],
    "ytick.color": COLOURS["muted"],
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "legend.frameon": False,
    "legend.handlelength": 1.2,
    "legend.handletextpad": 0.5,
    "legend.columnspacing": 1.4,
    "legend.borderpad": 0,
    "legend.fontsize": 12,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "svg.fonttype": "none",
}


def new_figure(width_px: float, height_px: float) -> tuple[Figure, Axes]:
    """Begin a figure of one pair of axes."""
    size = (width_px / POINTS_AN_INCH, height_px / POINTS_AN_INCH)
    figure = Figure(size, layout="constrained")
    return figure, figure.subplots()


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Name the rows of a chart, the first at the top."""
    axes.set_yticks(range(len(names)), [short(name) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    for label in axes.get_yticklabels():
        label.set_color(COLOURS["ink"])


def legend_above(figure: Figure) -> None:
    """Put the legend over the axes, where there is more than one thing to tell apart."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if len(labels) > 1:
        ncols = min(len(labels), MAX_LEGEND_COLUMNS)
        figure.legend(handles, labels, loc="outside upper left", ncols=ncols)


def short(name: str) -> str:
    """Return the name, cut where it is long."""
    return name if len(name) <= MAX_NAME_LENGTH else name[: MAX_NAME_LENGTH - 1] + "…"


def to_svg(figure: Figure, alt: str) -> str:
    """Write the figure as an `<svg>` element without outside references."""
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with matplotlib.rc_context({"svg.hashsalt": alt}):
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    svg = buffer.getvalue()
    body = svg[svg.index(">", svg.index("<svg")) + 1 :]
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", body, flags=re.DOTALL)
    body = re.sub(r'<g id="[^"]*"', "<g", body).replace("xlink:href", "href")
    for token, colour in COLOURS.items():
        body = body.replace(colour, f"var(--{token}, {colour})")
    width, height = (POINTS_AN_INCH * inches for inches in figure.get_size_inches())
    return (
        f'<svg role="img" aria-label="{html.escape(alt)}" viewBox="0 0 {width:g} {height:g}" '
        f'style="max-width: {width:g}px">{body.strip()}'
    )
