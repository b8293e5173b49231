"""Style of all figures, and their conversion to SVG text that is embedded in an HTML page.

Colours are CSS variables of the page (`var(--good, #1f66ad)`), so a figure follows its light or
dark scheme; the value after the comma is the fallback outside such a page. Blue and orange can be
told apart with every kind of colour vision (Okabe and Ito 2008). The same data give the same bytes.
"""

import html
import io
import re
import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

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
"""CSS variable of the page -> its colour in the light scheme (`style.css`)."""

SERIES = ("good", "bad", "third", "fourth", "quiet")
MARKERS = "osD^vP"
POINTS_PER_INCH = 72
MAX_LINE_LENGTH = 20
"""Characters of a name on one line of an axis."""
MAX_LEGEND_COLUMNS = 4
CHARACTER_PX, LEGEND_HANDLE_PX = 6.8, 40
MIN_SCALE, MAX_SCALE = 0.75, 1.2
"""Range in which a page may scale a figure, so that its text stays readable."""
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
    """Return a new figure with one pair of axes."""
    size = (width_px / POINTS_PER_INCH, height_px / POINTS_PER_INCH)
    figure = Figure(size, layout="constrained")
    return figure, figure.subplots()


def label_rows(axes: Axes, names: Sequence[str]) -> None:
    """Label the rows of a chart, the first at the top; a long name takes two lines."""
    axes.set_yticks(range(len(names)), [wrapped(name) for name in names], linespacing=0.95)
    axes.set_ylim(len(names) - 0.5, -0.5)
    for label in axes.get_yticklabels():
        label.set_color(COLOURS["ink"])


def percent_axis(axis: Axis) -> None:
    """Show the values of an axis, shares of 0 to 1, as percentages."""
    axis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))


def legend_above(figure: Figure) -> None:
    """Put the legend above the axes, if there is more than one entry."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if len(labels) > 1:
        entry_px = LEGEND_HANDLE_PX + CHARACTER_PX * max(map(len, labels))
        num_fitting = int(figure.get_figwidth() * POINTS_PER_INCH / entry_px)
        ncols = max(1, min(len(labels), MAX_LEGEND_COLUMNS, num_fitting))
        figure.legend(handles, labels, loc="outside upper left", ncols=ncols)


def wrapped(name: str) -> str:
    """Return a name on at most two lines of `MAX_LINE_LENGTH` characters, the rest cut."""
    return "\n".join(textwrap.wrap(name, MAX_LINE_LENGTH, max_lines=2, placeholder="…"))


def shortened(name: str) -> str:
    """Return a name on one line of at most `MAX_LINE_LENGTH` characters, the rest cut."""
    return name if len(name) <= MAX_LINE_LENGTH else name[: MAX_LINE_LENGTH - 1] + "…"


def to_svg(figure: Figure, alt: str) -> str:
    """Return the figure as an `<svg>` element without references to other files.

    Args:
        figure: A figure drawn in the colours of `COLOURS`.
        alt: What it shows, for screen readers.
    """
    buffer = io.StringIO()
    no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with matplotlib.rc_context({"svg.hashsalt": alt}):
        figure.savefig(buffer, format="svg", transparent=True, metadata=no_metadata)
    svg = buffer.getvalue()
    body = svg[svg.index(">", svg.index("<svg")) + 1 :]
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", body, flags=re.DOTALL)
    body = re.sub(r'<g id="[^"]*"', "<g", body).replace("xlink:href", "href")
    body = re.sub(r"<!--.*?-->\s*", "", body, flags=re.DOTALL)
    for token, colour in COLOURS.items():
        body = body.replace(colour, f"var(--{token}, {colour})")
    width, height = (POINTS_PER_INCH * inches for inches in figure.get_size_inches())
    return (
        f'<svg role="img" aria-label="{html.escape(alt)}" viewBox="0 0 {width:g} {height:g}" '
        f'style="min-width: {MIN_SCALE * width:.0f}px; max-width: {MAX_SCALE * width:.0f}px">'
        f"{body.strip()}"
    )
