"""Figures of the run report and of the ladder page: data in, SVG text out."""

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
    POINTS_PER_INCH,
    SERIES,
    STYLE,
    label_rows,
    legend_above,
    new_figure,
    percent_axis,
    shortened,
    to_svg,
)
from stainproof.runs.artefact import Estimate

STRONG_SHARE = 0.7
"""Share of a row above which the text of a diagonal cell of a confusion matrix is light."""
DASHED = (0, (2, 3))


@matplotlib.rc_context(STYLE)
def class_counts(counts: Mapping[str, Mapping[str, int]]) -> str:
    """Draw the number of images of every class as one bar, divided by split.

    Args:
        counts: Split name -> class name -> number of images; all splits have the same classes.
    """
    classes = list(next(iter(counts.values())))
    figure, axes = new_figure(440, 70 + 28 * len(classes))
    left = [0] * len(classes)
    for (split, by_class), token in zip(counts.items(), ("quiet", "good", "third"), strict=False):
        widths = [by_class[name] for name in classes]
        rows = range(len(classes))
        bars = axes.barh(rows, widths, 0.66, left, color=COLOURS[token], label=split)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    axes.bar_label(bars, [f"{total:,}" for total in left], padding=6)
    label_rows(axes, classes)
    axes.grid(visible=False)
    axes.set_xticks([])
    axes.margins(x=0.14)
    axes.spines[["bottom", "left"]].set_visible(False)
    legend_above(figure)
    listed = ", ".join(f"{name} {num:,}" for name, num in zip(classes, left, strict=True))
    return to_svg(figure, f"Bar chart of images by class: {listed}.")


@matplotlib.rc_context(STYLE)
def curve(
    lines: Mapping[str, Sequence[float]],
    selected_epoch: int | None,
    what: str,
    *,
    colours: Sequence[str] = ("quiet", "good", "bad"),
    percent: bool = False,
) -> str:
    """Draw metrics by epoch, with the selected epoch marked, if there is one.

    Args:
        lines: Name -> one value an epoch, the first epoch first.
        selected_epoch: Epoch whose weights are used, counted from 1; absent if they are a mean.
        what: What is drawn, for the alternative text.
        colours: Names in `COLOURS`, one a line.
        percent: Whether the values are shares, 0 to 1.
    """
    figure, axes = new_figure(350, 270)
    if selected_epoch:
        axes.axvline(selected_epoch, color=COLOURS["muted"], linewidth=1, linestyle=DASHED)
    for (name, values), token in zip(lines.items(), colours, strict=False):
        epochs = range(1, len(values) + 1)
        marker = "o" if len(values) < 4 else ""
        axes.plot(epochs, values, color=COLOURS[token], label=name, marker=marker, markersize=4)
        if selected_epoch and selected_epoch <= len(values):
            selected = values[selected_epoch - 1]
            axes.plot(selected_epoch, selected, "o", color=COLOURS[token], markersize=6)
    if percent:
        percent_axis(axes.yaxis)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlabel("epoch")
    axes.margins(y=0.08)
    axes.spines["left"].set_visible(False)
    legend_above(figure)
    ends = ", ".join(f"{name} ends at {values[-1]:.3g}" for name, values in lines.items())
    selection = f"; epoch {selected_epoch} is selected" if selected_epoch else ""
    return to_svg(figure, f"{what} by epoch: {ends}{selection}.")


@matplotlib.rc_context(STYLE)
def confusion(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> str:
    """Draw a confusion matrix; a stronger colour is a larger share of the row.

    Args:
        counts: Rows are true classes, columns are predictions; a row of zeros is left out. There
            may be more columns than rows: the further ones are no true class.
        classes: Names of the columns; the rows have the first of them.
    """
    rows = [index for index, row in enumerate(counts) if sum(row)]
    figure, axes = new_figure(120 + 40 * len(classes), 120 + 36 * len(rows))
    for y, true in enumerate(rows):
        total = sum(counts[true])
        for x, count in enumerate(counts[true]):
            _confusion_cell(axes, x, y, count, count / total, is_diagonal=x == true)
    axes.set_xlim(-0.5, len(classes) - 0.5)
    label_rows(axes, [classes[index] for index in rows])
    axes.set_xticks(range(len(classes)), [shortened(name) for name in classes])
    axes.tick_params("x", rotation=45)
    for label in axes.get_xticklabels():
        label.set(ha="right", rotation_mode="anchor", color=COLOURS["ink"])
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    axes.grid(visible=False)
    axes.spines[["bottom", "left"]].set_visible(False)
    right = sum(row[index] for index, row in enumerate(counts))
    total = sum(map(sum, counts))
    return to_svg(figure, f"Confusion matrix: {right:,} of {total:,} images on the diagonal.")


def _confusion_cell(
    axes: Axes, x: int, y: int, count: int, share: float, *, is_diagonal: bool
) -> None:
    if count:
        colour = COLOURS["cell-right" if is_diagonal else "cell-wrong"]
        corner, opacity = (x - 0.47, y - 0.47), max(share, 0.1)
        axes.add_patch(Rectangle(corner, 0.94, 0.94, color=colour, alpha=opacity, linewidth=0))
    is_strong = is_diagonal and share > STRONG_SHARE
    axes.text(
        x,
        y,
        f"{count:,}" if count else "·",
        ha="center",
        va="center_baseline",
        fontsize=11,
        color=COLOURS["on-strong" if is_strong else "ink" if count else "quiet"],
        fontweight="bold" if is_diagonal else "normal",
    )


@matplotlib.rc_context(STYLE)
def reliability(bins: Sequence[ReliabilityBin]) -> str:
    """Draw accuracy against confidence, and below it the number of images by confidence.

    Args:
        bins: The bins that hold images (Guo et al. 2017, figure 1).
    """
    figure = Figure((430 / POINTS_PER_INCH, 410 / POINTS_PER_INCH), layout="constrained")
    axes, strip = figure.subplots(2, 1, sharex=True, height_ratios=(5, 1))
    confidences = [item.confidence for item in bins]
    accuracies = [item.accuracy for item in bins]
    numbers = [item.num_images for item in bins]
    axes.plot([0, 1], [0, 1], color=COLOURS["muted"], linewidth=1, linestyle=DASHED)
    axes.text(
        0.03, 0.055, "perfect calibration", rotation=45, rotation_mode="anchor",
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
    percent_axis(axes.yaxis)
    percent_axis(strip.xaxis)
    listed = ", ".join(
        f"confidence {item.confidence:.0%}, accuracy {item.accuracy:.0%}" for item in bins
    )
    return to_svg(figure, f"Reliability diagram: {listed}.")


@matplotlib.rc_context(STYLE)
def risk(shares: Sequence[float], errors: Sequence[float]) -> str:
    """Draw the error among answered images by the share that is answered.

    Args:
        shares: Shares of the images that are answered, ascending, 0 to 1.
        errors: Error among them, 0 to 1.
    """
    figure, axes = new_figure(430, 270)
    axes.plot(shares, errors, color=COLOURS["bad"], drawstyle="steps-post")
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, max(0.01, 1.1 * max(errors)))
    percent_axis(axes.xaxis)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=1, symbol=" %"))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlabel("images answered")
    axes.set_ylabel("wrong among them")
    axes.spines["left"].set_visible(False)
    return to_svg(
        figure, f"Error among answered images; if all are answered it is {errors[-1]:.1%}."
    )


@matplotlib.rc_context(STYLE)
def sensitivities(
    sources: Sequence[tuple[str, Mapping[str, Estimate]]], classes: Sequence[str]
) -> str:
    """Draw the sensitivity of classes on every source, with 95 % intervals.

    Args:
        sources: Name of the source, and class name -> sensitivity of the classes it contains.
        classes: The classes to draw, the first at the top.
    """
    figure, axes = new_figure(470, 80 + max(30, 14 * len(sources) + 8) * len(classes))
    offsets = _row_offsets(len(sources), 0.72)
    for rank, (source, by_class) in enumerate(sources):
        shown = {
            row + offsets[rank]: by_class[name]
            for row, name in enumerate(classes)
            if name in by_class
        }
        _estimates(axes, shown, rank, source)
    for row in range(1, len(classes)):
        axes.axhline(row - 0.5, color=COLOURS["line"], linewidth=0.8)
    label_rows(axes, classes)
    _share_axis(axes)
    legend_above(figure)
    names = ", ".join(source for source, _ in sources)
    return to_svg(figure, f"Sensitivity of each class on {names}; the tables below list it.")


@matplotlib.rc_context(STYLE)
def accuracy_by_step(
    titles: Sequence[str],
    measured: Mapping[str, Sequence[Estimate]],
    in_paper: Sequence[float | None],
    *,
    width_px: float,
) -> str:
    """Draw the accuracy of every step of a ladder, with 95 % intervals.

    Args:
        titles: What each step is, the first at the top.
        measured: Test source -> accuracy of each step.
        in_paper: Accuracy of each step in the AN2DL paper, 0 to 1; absent for other steps.
        width_px: Width of the figure.
    """
    figure, axes = new_figure(width_px, 90 + (32 + 13 * len(measured)) * len(titles))
    # The title of a step stands above its marks, so that no column of titles narrows the axes.
    offsets = [0.12 + offset for offset in _row_offsets(len(measured), 0.5)]
    for rank, (source, estimates) in enumerate(measured.items()):
        by_row = {row + offsets[rank]: e for row, e in enumerate(estimates)}
        _estimates(axes, by_row, rank, source)
    known = [(value, row + 0.12) for row, value in enumerate(in_paper) if value is not None]
    axes.plot(
        [value for value, _ in known], [row for _, row in known], "|", color=COLOURS["muted"],
        markersize=22, markeredgewidth=2, label="AN2DL paper",
    )  # fmt: skip
    for row, title in enumerate(titles):
        axes.text(0, row - 0.34, title, color=COLOURS["ink"], va="center")
        if row:
            axes.axhline(row - 0.52, color=COLOURS["line"], linewidth=0.8)
    axes.set_yticks([])
    axes.set_ylim(len(titles) - 0.5, -0.55)
    _share_axis(axes)
    axes.set_xlabel("accuracy")
    legend_above(figure)
    ends = ", ".join(f"{source} {values[-1].value:.1%}" for source, values in measured.items())
    return to_svg(figure, f"Accuracy by step; last step: {ends}.")


def _row_offsets(num: int, height: float) -> list[float]:
    """Return where `num` marks stand within a row of height 1, symmetric about its middle."""
    return [height / max(num, 1) * (rank - (num - 1) / 2) for rank in range(num)]


def _estimates(axes: Axes, by_row: Mapping[float, Estimate], rank: int, label: str) -> None:
    """Draw one series of estimates with their intervals; `rank` chooses its colour and marker."""
    colour, marker = COLOURS[SERIES[rank % len(SERIES)]], MARKERS[rank % len(MARKERS)]
    rows, found = list(by_row), list(by_row.values())
    lows, highs = [e.low for e in found], [e.high for e in found]
    axes.hlines(rows, lows, highs, color=colour, alpha=0.55, linewidth=2.4)
    values = [e.value for e in found]
    axes.plot(values, rows, marker, color=colour, markersize=6, label=shortened(label))


def _share_axis(axes: Axes) -> None:
    """Give the x axis the range 0 to 100 % and vertical grid lines."""
    axes.grid(visible=False)
    axes.grid(visible=True, axis="x", linestyle=DASHED)
    axes.set_xlim(-0.01, 1.02)
    percent_axis(axes.xaxis)
    axes.spines["left"].set_visible(False)
