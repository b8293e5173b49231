"""Data -> figure: SVG text to stand inside an HTML page.

Colours are CSS variables of the page (`var(--good, #1f66ad)`), so a figure follows its light or
dark scheme; the value after the comma serves where there is no such page. The palette keeps blue
and orange apart for every kind of colour vision (Okabe and Ito 2008). The same data gives the
same bytes.
"""

import html
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, PercentFormatter

from stainproof.results import Estimate, ReliabilityBin

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
STRONG_SHARE = 0.7
"""Share of a row from which a cell of a confusion matrix bears light text."""

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


@matplotlib.rc_context(STYLE)
def class_counts(counts: Mapping[str, Mapping[str, int]]) -> str:
    """Draw the images of every class as one bar, parted by split.

    Args:
        counts: Split name -> class name -> number of images; all splits name the same classes.
    """
    classes = list(next(iter(counts.values())))
    figure, axes = _figure(520, 70 + 28 * len(classes))
    left = [0] * len(classes)
    for (split, by_class), token in zip(counts.items(), ("quiet", "good", "third"), strict=False):
        widths = [by_class[name] for name in classes]
        rows = range(len(classes))
        bars = axes.barh(rows, widths, 0.66, left, color=COLOURS[token], label=split)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    axes.bar_label(bars, [f"{total:,}" for total in left], padding=6)
    _rows(axes, classes)
    axes.grid(visible=False)
    axes.set_xticks([])
    axes.margins(x=0.12)
    axes.spines[["bottom", "left"]].set_visible(False)
    _legend_above(figure)
    listed = ", ".join(f"{name} {num:,}" for name, num in zip(classes, left, strict=True))
    return _to_svg(figure, f"Bar chart of images by class: {listed}.")


@matplotlib.rc_context(STYLE)
def curve(
    lines: Mapping[str, Sequence[float]],
    kept_epoch: int,
    what: str,
    *,
    colours: Sequence[str] = ("quiet", "good", "bad"),
    percent: bool = False,
) -> str:
    """Draw figures by epoch, with the kept epoch marked.

    Args:
        lines: Name -> one figure an epoch, the first epoch first.
        kept_epoch: Epoch whose weights are kept, counted from 1.
        what: What is drawn, for the alternative text.
        colours: Names in `COLOURS`, one a line.
        percent: Whether the figures are shares, 0 to 1.
    """
    figure, axes = _figure(350, 264)
    axes.axvline(kept_epoch, color=COLOURS["muted"], linewidth=1, linestyle=(0, (2, 3)))
    for (name, values), token in zip(lines.items(), colours, strict=False):
        epochs = range(1, len(values) + 1)
        marker = "o" if len(values) < 4 else ""
        axes.plot(epochs, values, color=COLOURS[token], label=name, marker=marker, markersize=4)
        kept = [values[kept_epoch - 1]] if kept_epoch <= len(values) else []
        axes.plot([kept_epoch] * len(kept), kept, "o", color=COLOURS[token], markersize=6)
    if percent:
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlabel("epoch")
    axes.margins(y=0.08)
    axes.spines["left"].set_visible(False)
    _legend_above(figure)
    ends = ", ".join(f"{name} ends at {values[-1]:.3g}" for name, values in lines.items())
    return _to_svg(figure, f"{what} by epoch: {ends}; epoch {kept_epoch} is kept.")


@matplotlib.rc_context(STYLE)
def confusion(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> str:
    """Draw a confusion matrix; a stronger colour is a larger share of the row.

    Args:
        counts: Rows are true classes, columns are predictions; a row of zeros is left out.
        classes: Class names.
    """
    rows = [index for index, row in enumerate(counts) if sum(row)]
    figure, axes = _figure(130 + 46 * len(classes), 120 + 38 * len(rows))
    for y, true in enumerate(rows):
        for x, count in enumerate(counts[true]):
            share = count / sum(counts[true])
            token = "cell-right" if x == true else "cell-wrong"
            if count:
                _cell(axes, x, y, COLOURS[token], max(share, 0.1))
            strong = x == true and share > STRONG_SHARE
            axes.text(
                x,
                y,
                f"{count:,}" if count else "·",
                ha="center",
                va="center_baseline",
                color=COLOURS["on-strong" if strong else "ink" if count else "quiet"],
                fontweight="bold" if x == true else "normal",
            )
    axes.set_xlim(-0.5, len(classes) - 0.5)
    _rows(axes, [classes[index] for index in rows])
    axes.set_xticks(range(len(classes)), [_short(name) for name in classes])
    axes.tick_params("x", rotation=40)
    for label in axes.get_xticklabels():
        label.set(ha="right", rotation_mode="anchor", color=COLOURS["ink"])
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.grid(visible=False)
    axes.spines[["bottom", "left"]].set_visible(False)
    right = sum(row[index] for index, row in enumerate(counts))
    total = sum(sum(row) for row in counts)
    return _to_svg(figure, f"Confusion matrix: {right:,} of {total:,} images on the diagonal.")


@matplotlib.rc_context(STYLE)
def reliability(bins: Sequence[ReliabilityBin]) -> str:
    """Draw accuracy against confidence, and below it how many images have that confidence.

    Args:
        bins: The bins that hold images (Guo et al. 2017, figure 1).
    """
    figure = Figure((440 / POINTS_AN_INCH, 430 / POINTS_AN_INCH), layout="constrained")
    axes, strip = figure.subplots(2, 1, sharex=True, height_ratios=(5, 1))
    confidences = [item.confidence for item in bins]
    accuracies = [item.accuracy for item in bins]
    numbers = [item.num_images for item in bins]
    axes.plot([0, 1], [0, 1], color=COLOURS["muted"], linewidth=1, linestyle=(0, (2, 3)))
    axes.text(
        0.03, 0.055, "as sure as right", rotation=45, rotation_mode="anchor",
        transform_rotates_text=True, color=COLOURS["muted"], fontsize=11,
    )  # fmt: skip
    axes.vlines(confidences, confidences, accuracies, color=COLOURS["bad"], linewidth=5, alpha=0.35)
    sizes = [16 + 80 * num / max(numbers) for num in numbers]
    axes.scatter(confidences, accuracies, sizes, color=COLOURS["good"], linewidths=0, zorder=3)
    axes.set_ylabel("accuracy")
    axes.set_ylim(-0.02, 1.04)
    strip.bar(confidences, numbers, 0.045, color=COLOURS["quiet"])
    strip.set_ylabel("images")
    strip.set_xlabel("confidence")
    strip.set_yticks([max(numbers)], [f"{max(numbers):,}"])
    for part in (axes, strip):
        part.set_xlim(0, 1.04)
        part.spines["left"].set_visible(False)
    percent = PercentFormatter(1.0, decimals=0, symbol=" %")
    axes.yaxis.set_major_formatter(percent)
    strip.xaxis.set_major_formatter(percent)
    points = ", ".join(f"{item.confidence:.0%} sure, {item.accuracy:.0%} right" for item in bins)
    return _to_svg(figure, f"Reliability diagram: {points}.")


@matplotlib.rc_context(STYLE)
def sensitivities(sources: Sequence[tuple[str, Mapping[str, Estimate]]]) -> str:
    """Draw the sensitivity of every class on every source, with its interval.

    Args:
        sources: Name of the source, and class name -> sensitivity of the classes it holds.
    """
    classes = list(dict.fromkeys(name for _, by_class in sources for name in by_class))
    step = 0.72 / max(len(sources), 1)
    figure, axes = _figure(620, 80 + max(30, 16 * len(sources)) * len(classes))
    for rank, (source, by_class) in enumerate(sources):
        colour = COLOURS[SERIES[rank % len(SERIES)]]
        shift = (rank - (len(sources) - 1) / 2) * step
        rows = [classes.index(name) + shift for name in by_class]
        found = by_class.values()
        axes.hlines(rows, [e.low for e in found], [e.high for e in found], color=colour, alpha=0.55)
        marker, label = MARKERS[rank % len(MARKERS)], _short(source)
        axes.plot([e.value for e in found], rows, marker, color=colour, markersize=6, label=label)
    for row in range(1, len(classes)):
        axes.axhline(row - 0.5, color=COLOURS["line"], linewidth=0.8)
    _rows(axes, classes)
    axes.grid(visible=False)
    axes.grid(visible=True, axis="x", linestyle=(0, (2, 3)))
    axes.set_xlim(-0.01, 1.02)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    axes.spines["left"].set_visible(False)
    _legend_above(figure)
    names = ", ".join(source for source, _ in sources)
    return _to_svg(figure, f"Sensitivity of each class on {names}; the tables below hold it.")


def _figure(width_px: float, height_px: float) -> tuple[Figure, Axes]:
    size = (width_px / POINTS_AN_INCH, height_px / POINTS_AN_INCH)
    figure = Figure(size, layout="constrained")
    return figure, figure.subplots()


def _rows(axes: Axes, names: Sequence[str]) -> None:
    """Name the rows of a chart, the first at the top."""
    axes.set_yticks(range(len(names)), [_short(name) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    for label in axes.get_yticklabels():
        label.set_color(COLOURS["ink"])


def _cell(axes: Axes, x: int, y: int, colour: str, opacity: float) -> None:
    corner = (x - 0.47, y - 0.47)
    axes.add_patch(Rectangle(corner, 0.94, 0.94, color=colour, alpha=opacity, linewidth=0))


def _legend_above(figure: Figure) -> None:
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if len(labels) > 1:
        ncols = min(len(labels), MAX_LEGEND_COLUMNS)
        figure.legend(handles, labels, loc="outside upper left", ncols=ncols)


def _short(name: str) -> str:
    return name if len(name) <= MAX_NAME_LENGTH else name[: MAX_NAME_LENGTH - 1] + "…"


def _to_svg(figure: Figure, alt: str) -> str:
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
