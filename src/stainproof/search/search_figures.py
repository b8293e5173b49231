"""Figures of the search page: accuracy against cost, by trial and by setting; importances."""

import re
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import ArrayLike, NDArray

from stainproof.reports.drawing import (
    COLOURS,
    STYLE,
    label_rows,
    legend_above,
    new_figure,
    percent_axis,
    to_svg,
)
from stainproof.search.results import Search, Trial

MAX_BARS, NUM_SLICES = 10, 4
MIN_ERROR = 1e-3
"""Error rate below which the accuracy axis no longer separates trials."""
TICKS = (0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998)
LOOKS: dict[str, dict[str, Any]] = {
    "dominated": {"marker": "o", "color": COLOURS["quiet"], "markersize": 6},
    "Pareto front": {"marker": "o", "color": COLOURS["good"], "markersize": 7},
    "preset": {
        "marker": "o", "color": COLOURS["bad"], "markersize": 14, "fillstyle": "none",
        "markeredgewidth": 1.8,
    },
}  # fmt: skip
"""Kind of a trial in the figures of costs -> its marker."""


@matplotlib.rc_context(STYLE)
def front(found: Search, cost: str, what: str) -> str:
    """Draw accuracy against a cost on a logarithmic scale, with the Pareto front.

    Args:
        found: At least one finished trial.
        cost: Field of `Trial`: `num_parameters` or `latency_ms`.
        what: What the cost is, for the axis.
    """
    figure, axes = new_figure(430, 350)
    finished = _finished(found.trials)
    finished.sort(key=lambda one: (getattr(one, cost), -_accuracy(one)))
    kinds = {
        "dominated": [one for one in finished if one.number not in found.front],
        "Pareto front": [one for one in finished if one.number in found.front],
        "preset": [one for one in finished if one.number == found.preset],
    }
    for kind, trials in kinds.items():
        if trials:
            costs = [getattr(one, cost) for one in trials]
            accuracies = list(map(_accuracy, trials))
            axes.plot(costs, accuracies, linestyle="none", label=kind, **LOOKS[kind])
    steps = _steps(kinds["Pareto front"])
    corners = [getattr(one, cost) for one in steps], list(map(_accuracy, steps))
    axes.step(*corners, where="post", color=COLOURS["good"], alpha=0.45, zorder=1)
    for one in steps:
        axes.annotate(
            str(one.number), (getattr(one, cost), _accuracy(one)), (0, 8), ha="center",
            textcoords="offset points", color=COLOURS["ink"], fontsize=11,
        )  # fmt: skip
    _cost_axis(axes)
    axes.set_xlabel(what)
    _accuracy_axis(axes, finished)
    axes.set_ylabel("accuracy")
    legend_above(figure)
    listed = ", ".join(
        f"trial {one.number} {_accuracy(one):.1%} at {amount(getattr(one, cost))}" for one in steps
    )
    return to_svg(figure, f"Accuracy against {what}; the most accurate for their cost: {listed}.")


@matplotlib.rc_context(STYLE)
def history(trials: Sequence[Trial]) -> str:
    """Draw the accuracy of every trial in turn, and the best so far."""
    figure, axes = new_figure(430, 320)
    finished = _finished(trials)
    best = [max(map(_accuracy, finished[: rank + 1])) for rank in range(len(finished))]
    numbers = [one.number for one in finished]
    axes.step(numbers, best, where="post", color=COLOURS["good"], label="best so far")
    accuracies = list(map(_accuracy, finished))
    axes.plot(numbers, accuracies, "o", color=COLOURS["quiet"], markersize=5, label="finished")
    stopped = [one for one in trials if one.outcome == "stopped" and one.accuracy is not None]
    if stopped:
        axes.plot(
            [one.number for one in stopped], list(map(_accuracy, stopped)), "o", fillstyle="none",
            color=COLOURS["quiet"], markersize=5, label="stopped early", linestyle="none",
        )  # fmt: skip
    failed = [one.number for one in trials if one.outcome == "failed"]
    if failed:
        axes.plot(
            failed, [0.02] * len(failed), "x", color=COLOURS["bad"], markersize=6, label="failed",
            transform=axes.get_xaxis_transform(), clip_on=False, linestyle="none",
        )  # fmt: skip
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.margins(x=0.04)
    axes.set_xlabel("trial")
    _accuracy_axis(axes, [*finished, *stopped])
    axes.set_ylabel("accuracy")
    legend_above(figure)
    return to_svg(figure, f"Accuracy by trial; best so far ends at {best[-1]:.1%}.")


@matplotlib.rc_context(STYLE)
def importances(shares: dict[str, float]) -> str:
    """Draw the importance of settings.

    Args:
        shares: Name of a parameter -> share of the variance of accuracy, the largest first.
    """
    shown = dict(list(shares.items())[:MAX_BARS])
    figure, axes = new_figure(430, 50 + 30 * len(shown))
    bars = axes.barh(range(len(shown)), list(shown.values()), 0.66, color=COLOURS["good"])
    axes.bar_label(bars, [f"{100 * share:.0f} %" for share in shown.values()], padding=6)
    label_rows(axes, [plain(name) for name in shown])
    axes.grid(visible=False)
    axes.set_xticks([])
    axes.margins(x=0.14)
    axes.spines[["bottom", "left"]].set_visible(False)
    listed = ", ".join(f"{plain(name)} {share:.0%}" for name, share in shown.items())
    return to_svg(figure, f"Bar chart of the share of the variance of accuracy: {listed}.")


def slices(trials: Sequence[Trial], names: Sequence[str]) -> list[str]:
    """Draw accuracy against the values of the first few parameters, one figure each.

    Args:
        trials: At least one of them finished.
        names: Names in `Trial.params`.
    """
    return [_slice(_finished(trials), name) for name in names[:NUM_SLICES]]


@matplotlib.rc_context(STYLE)
def _slice(finished: Sequence[Trial], name: str) -> str:
    """Draw accuracy against one parameter; the values of a categorical one are rows."""
    values = [one.params[name] for one in finished]
    accuracies = list(map(_accuracy, finished))
    look: dict[str, Any] = {
        "color": COLOURS["good"],
        "alpha": 0.6,
        "markersize": 6,
        "markeredgewidth": 0,
    }
    figure, axes = new_figure(330, 250)
    if any(isinstance(value, bool | str) for value in values):
        kinds = sorted({str(value) for value in values})
        axes.plot(accuracies, [kinds.index(str(value)) for value in values], "o", **look)
        label_rows(axes, kinds)
        axes.grid(visible=False)
        axes.grid(visible=True, axis="x")
        _accuracy_axis(axes, finished, vertical=False)
        axes.set_xlabel("accuracy")
    else:
        axes.plot(values, accuracies, "o", **look)
        is_whole = all(isinstance(value, int) for value in values)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=is_whole))
        _accuracy_axis(axes, finished)
        axes.set_ylabel("accuracy")
    axes.set_title(plain(name), loc="left", fontsize=12, color=COLOURS["ink"])
    return to_svg(figure, f"Accuracy of every finished trial against {plain(name)}.")


def amount(value: float) -> str:
    """Return a number in few characters, for instance `191k`, `1.9M`, `0.25`."""
    for unit, name in ((1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:.3g}{name}"
    return f"{value:.3g}"


def plain(name: str) -> str:
    """Return a parameter's name for people, for instance `stem, item 1`."""
    key = re.sub(r"^(len\()?(network|training|augment|preprocessing)\.", r"\1", name)
    key = re.sub(r"\[(\d+)\]$", lambda found: f", item {int(found[1]) + 1}", key.replace("_", " "))
    return re.sub(r"^len\((.*)\)$", r"\1, items", key)


def _finished(trials: Sequence[Trial]) -> list[Trial]:
    return [one for one in trials if one.outcome == "finished"]


def _steps(by_cost: Sequence[Trial]) -> list[Trial]:
    """Return the trials that are more accurate than all that cost less."""
    kept: list[Trial] = []
    for one in by_cost:
        if not kept or _accuracy(one) > _accuracy(kept[-1]):
            kept.append(one)
    return kept


def _accuracy(trial: Trial) -> float:
    return trial.accuracy or 0.0


def _cost_axis(axes: Axes) -> None:
    """Give the x axis a logarithmic scale with few, short labels."""
    axes.set_xscale("log")
    axes.margins(x=0.1)
    low, high = axes.get_xlim()
    subs = (1.0,) if high / low > 100 else (1.0, 2.0, 5.0) if high / low > 4 else range(1, 10)
    axes.xaxis.set_major_locator(LogLocator(subs=subs))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: amount(value)))


def _accuracy_axis(axes: Axes, shown: Sequence[Trial], *, vertical: bool = True) -> None:
    """Scale the accuracy axis by the logarithm of the error rate.

    Poor trials keep their true place on it, and the differences between good ones stay visible.
    """
    bottom, top = (float(_to_scale(end(map(_accuracy, shown)))) for end in (min, max))
    room = 0.08 * (top - bottom) + 0.05
    low, high = (float(_from_scale(end)) for end in (bottom - room, top + room))
    axis: Axis
    if vertical:
        axis = axes.yaxis
        axes.set_yscale("function", functions=(_to_scale, _from_scale))
        axes.set_ylim(low, high)
    else:
        axis = axes.xaxis
        axes.set_xscale("function", functions=(_to_scale, _from_scale))
        axes.set_xlim(low, high)
    span = top - bottom + 2 * room
    if span < 0.25:
        axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    else:
        min_distance = (0.08 if vertical else 0.17) * span
        axis.set_major_locator(FixedLocator(_spread_ticks(low, high, min_distance)))
    axis.set_minor_locator(NullLocator())
    percent_axis(axis)


def _to_scale(accuracy: ArrayLike) -> NDArray[np.float64]:
    return -np.log10(np.maximum(1 - np.asarray(accuracy, np.float64), MIN_ERROR))


def _from_scale(position: ArrayLike) -> NDArray[np.float64]:
    return 1 - 10 ** -np.asarray(position, np.float64)


def _spread_ticks(low: float, high: float, min_distance: float) -> list[float]:
    """Return the ticks within the range that are far enough apart for their labels."""
    kept: list[float] = []
    for tick in TICKS:
        is_apart = not kept or _to_scale(tick) - _to_scale(kept[-1]) > min_distance
        if low <= tick <= high and is_apart:
            kept.append(tick)
    return kept
