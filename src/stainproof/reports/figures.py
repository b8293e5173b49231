"""Data -> figure, as SVG text."""

from collections.abc import Mapping, Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, PercentFormatter

from stainproof.evaluation.result import ReliabilityBin
from stainproof.reports.drawing import (
    COLOURS,
    MARKERS,
    POINTS_AN_INCH,
    SERIES,
    STYLE,
    legend_above,
    name_rows,
    new_figure,
    short,
    to_svg,
)
from stainproof.runs.artefact import Estimate

STRONG_SHARE = 0.7
"""Share of a row from which a cell of a confusion matrix bears light text."""


@matplotlib.rc_context(STYLE)
def class_counts(counts: Mapping[str, Mapping[str, int]]) -> str:
    """Draw the images of every class as one bar, parted by split.

    Args:
        counts: Split name -> class name -> number of images; all splits name the same classes.
    """
    classes = list(next(iter(counts.values())))
    figure, axes = new_figure(520, 70 + 28 * len(classes))
    left = [0] * len(classes)
    for (split, by_class), token in zip(counts.items(), ("quiet", "good", "third"), strict=False):
        widths = [by_class[name] for name in classes]
        rows = range(len(classes))
        bars = axes.barh(rows, widths, 0.66, left, color=COLOURS[token], label=split)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    axes.bar_label(bars, [f"{total:,}" for total in left], padding=6)
    name_rows(axes, classes)
    axes.grid(visible=False)
    axes.set_xticks([])
    axes.margins(x=0.12)
    axes.spines[["bottom", "left"]].set_visible(False)
    legend_above(figure)
    listed = ", ".join(f"{name} {num:,}" for name, num in zip(classes, left, strict=True))
    return to_svg(figure, f"Bar chart of images by class: {listed}.")


@matplotlib.rc_context(STYLE)
def curve(
    lines: Mapping[str, Sequence[float]],
    kept_epoch: int | None,
    what: str,
    *,
    colours: Sequence[str] = ("quiet", "good", "bad"),
    percent: bool = False,
) -> str:
    """Draw figures by epoch, with the kept epoch marked, if one is.

    Args:
        lines: Name -> one figure an epoch, the first epoch first.
        kept_epoch: Epoch whose weights are kept, counted from 1; nothing where they are a mean.
        what: What is drawn, for the alternative text.
        colours: Names in `COLOURS`, one a line.
        percent: Whether the figures are shares, 0 to 1.
    """
    figure, axes = new_figure(350, 264)
    if kept_epoch:
        axes.axvline(kept_epoch, color=COLOURS["muted"], linewidth=1, linestyle=(0, (2, 3)))
    for (name, values), token in zip(lines.items(), colours, strict=False):
        epochs = range(1, len(values) + 1)
        marker = "o" if len(values) < 4 else ""
        axes.plot(epochs, values, color=COLOURS[token], label=name, marker=marker, markersize=4)
        if kept_epoch and kept_epoch <= len(values):
            kept = values[kept_epoch - 1]
            axes.plot(kept_epoch, kept, "o", color=COLOURS[token], markersize=6)
    if percent:
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlabel("epoch")
    axes.margins(y=0.08)
    axes.spines["left"].set_visible(False)
    legend_above(figure)
    ends = ", ".join(f"{name} ends at {values[-1]:.3g}" for name, values in lines.items())
    kept_one = f"; epoch {kept_epoch} is kept" if kept_epoch else ""
    return to_svg(figure, f"{what} by epoch: {ends}{kept_one}.")


@matplotlib.rc_context(STYLE)
def confusion(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> str:
    """Draw a confusion matrix; a stronger colour is a larger share of the row.

    Args:
        counts: Rows are true classes, columns are predictions; a row of zeros is left out.
        classes: Class names.
    """
    rows = [index for index, row in enumerate(counts) if sum(row)]
    figure, axes = new_figure(130 + 46 * len(classes), 120 + 38 * len(rows))
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
    name_rows(axes, [classes[index] for index in rows])
    axes.set_xticks(range(len(classes)), [short(name) for name in classes])
    axes.tick_params("x", rotation=40)
    for label in axes.get_xticklabels():
        label.set(ha="right", rotation_mode="anchor", color=COLOURS["ink"])
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.grid(visible=False)
    axes.spines[["bottom", "left"]].set_visible(False)
    right = sum(row[index] for index, row in enumerate(counts))
    total = sum(sum(row) for row in counts)
    return to_svg(figure, f"Confusion matrix: {right:,} of {total:,} images on the diagonal.")


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
    return to_svg(figure, f"Reliability diagram: {points}.")


@matplotlib.rc_context(STYLE)
def sensitivities(sources: Sequence[tuple[str, Mapping[str, Estimate]]]) -> str:
    """Draw the sensitivity of every class on every source, with its interval.

    Args:
        sources: Name of the source, and class name -> sensitivity of the classes it holds.
    """
    classes = list(dict.fromkeys(name for _, by_class in sources for name in by_class))
    step = 0.72 / max(len(sources), 1)
    figure, axes = new_figure(620, 80 + max(30, 16 * len(sources)) * len(classes))
    for rank, (source, by_class) in enumerate(sources):
        colour = COLOURS[SERIES[rank % len(SERIES)]]
        shift = (rank - (len(sources) - 1) / 2) * step
        rows = [classes.index(name) + shift for name in by_class]
        found = by_class.values()
        axes.hlines(rows, [e.low for e in found], [e.high for e in found], color=colour, alpha=0.55)
        marker, label = MARKERS[rank % len(MARKERS)], short(source)
        axes.plot([e.value for e in found], rows, marker, color=colour, markersize=6, label=label)
    for row in range(1, len(classes)):
        axes.axhline(row - 0.5, color=COLOURS["line"], linewidth=0.8)
    name_rows(axes, classes)
    axes.grid(visible=False)
    axes.grid(visible=True, axis="x", linestyle=(0, (2, 3)))
    axes.set_xlim(-0.01, 1.02)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    axes.spines["left"].set_visible(False)
    legend_above(figure)
    names = ", ".join(source for source, _ in sources)
    return to_svg(figure, f"Sensitivity of each class on {names}; the tables below hold it.")


@matplotlib.rc_context(STYLE)
def steps(
    names: Sequence[str],
    measured: Mapping[str, Sequence[Estimate]],
    reported: Sequence[float | None],
) -> str:
    """Draw accuracies step by step, each with its interval, beside figures reported elsewhere.

    Args:
        names: What each step is, the first at the top.
        measured: Test source -> accuracy a step.
        reported: Figure a step, 0 to 1; nothing where there is none.
    """
    figure, axes = new_figure(720, 90 + 46 * len(names))
    for rank, (source, estimates) in enumerate(measured.items()):
        colour = COLOURS[SERIES[rank % len(SERIES)]]
        shift = 0.6 / len(measured) * (rank - (len(measured) - 1) / 2)
        rows = [row + shift for row in range(len(names))]
        lows, highs = [e.low for e in estimates], [e.high for e in estimates]
        axes.hlines(rows, lows, highs, color=colour, alpha=0.55, linewidth=3)
        values = [e.value for e in estimates]
        marker = MARKERS[rank % len(MARKERS)]
        axes.plot(values, rows, marker, color=colour, markersize=6, label=short(source))
    known = [(value, row) for row, value in enumerate(reported) if value is not None]
    axes.plot(
        [value for value, _ in known], [row for _, row in known], "|",
        color=COLOURS["muted"], markersize=16, markeredgewidth=2, label="the report, hidden set",
    )  # fmt: skip
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    for label in axes.get_yticklabels():
        label.set_color(COLOURS["ink"])
    axes.grid(visible=False)
    axes.grid(visible=True, axis="x", linestyle=(0, (2, 3)))
    axes.set_xlim(0, 1.01)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    axes.spines["left"].set_visible(False)
    legend_above(figure)
    ends = ", ".join(f"{source} {values[-1].value:.1%}" for source, values in measured.items())
    return to_svg(figure, f"Accuracy step by step; the last step: {ends}.")


def _cell(axes: Axes, x: int, y: int, colour: str, opacity: float) -> None:
    corner = (x - 0.47, y - 0.47)
    axes.add_patch(Rectangle(corner, 0.94, 0.94, color=colour, alpha=opacity, linewidth=0))
