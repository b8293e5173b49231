"""Figures of a search: what accuracy costs, how it grew, what it hangs on."""

import re
from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator, PercentFormatter

from stainproof.reports.drawing import (
    COLOURS,
    POINTS_AN_INCH,
    STYLE,
    legend_above,
    new_figure,
    short,
    to_svg,
)
from stainproof.search.results import Search, Trial

MAX_BARS, NUM_SLICES = 10, 4
SHOWN = 0.2
"""Below the best accuracy, down to which accuracies are told apart; what lies lower is marked."""
LOOKS: dict[str, dict[str, Any]] = {
    "beaten": {"marker": "o", "color": COLOURS["quiet"], "markersize": 6},
    "on the front": {"marker": "o", "color": COLOURS["good"], "markersize": 7},
    "the preset": {
        "marker": "o", "color": COLOURS["bad"], "markersize": 14, "fillstyle": "none",
        "markeredgewidth": 1.8,
    },
    "lower": {"marker": "v", "color": COLOURS["quiet"], "markersize": 6, "clip_on": False},
}  # fmt: skip
"""Kind of a trial in the figures of costs -> how it is drawn."""


@matplotlib.rc_context(STYLE)
def front(found: Search, cost: str, what: str) -> str:
    """Draw accuracy against a cost, on a logarithmic scale, the front set apart.

    Args:
        found: One finished trial or more.
        cost: Field of `Trial`: `num_parameters` or `latency_ms`.
        what: What the cost is, for the axis.
    """
    figure, axes = new_figure(500, 350)
    finished = [one for one in found.trials if one.outcome == "finished"]
    finished.sort(key=lambda one: (getattr(one, cost), -_accuracy(one)))
    floor = max(map(_accuracy, finished)) - SHOWN
    kinds: dict[str, list[Trial]] = {
        "beaten": [],
        "on the front": [],
        "the preset": [],
        "lower": [],
    }
    for one in finished:
        kinds["on the front" if one.number in found.front else "beaten"].append(one)
        kinds["the preset"] += [one] if one.number == found.preset else []
        kinds["lower"] += [one] if _accuracy(one) < floor else []
    for kind, trials in kinds.items():
        if trials:
            costs = [getattr(one, cost) for one in trials]
            heights = [floor if kind == "lower" else _accuracy(one) for one in trials]
            axes.plot(costs, heights, linestyle="none", label=kind, **LOOKS[kind])
    steps = _steps(kinds["on the front"])
    corners = [getattr(one, cost) for one in steps], list(map(_accuracy, steps))
    axes.step(*corners, where="post", color=COLOURS["good"], alpha=0.45, zorder=1)
    for one in steps:
        axes.annotate(
            str(one.number), (getattr(one, cost), _accuracy(one)), (0, 8), ha="center",
            textcoords="offset points", color=COLOURS["ink"], fontsize=11,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: amount(value)))
    axes.margins(0.1)
    if kinds["lower"]:
        axes.set_ylim(floor - 0.02 * SHOWN, floor + 1.12 * SHOWN)
    axes.set_xlabel(what)
    _percent(axes)
    legend_above(figure)
    listed = ", ".join(
        f"trial {one.number} {_accuracy(one):.1%} at {amount(getattr(one, cost))}" for one in steps
    )
    return to_svg(figure, f"Accuracy against {what}; the most accurate for their cost: {listed}.")


@matplotlib.rc_context(STYLE)
def history(trials: Sequence[Trial]) -> str:
    """Draw the accuracy of every trial in turn, and the best so far."""
    figure, axes = new_figure(500, 300)
    finished = [one for one in trials if one.outcome == "finished"]
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
        bottom = axes.get_xaxis_transform()
        axes.plot(
            failed, [0.02] * len(failed), "x", color=COLOURS["bad"], markersize=6, label="failed",
            transform=bottom, clip_on=False, linestyle="none",
        )  # fmt: skip
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.margins(0.06)
    axes.set_xlabel("trial")
    _percent(axes)
    legend_above(figure)
    return to_svg(figure, f"Accuracy by trial; best so far ends at {best[-1]:.1%}.")


@matplotlib.rc_context(STYLE)
def importances(shares: dict[str, float]) -> str:
    """Draw which settings accuracy varies with.

    Args:
        shares: Name of what was drawn -> share of the variance, the largest first.
    """
    shown = dict(list(shares.items())[:MAX_BARS])
    figure, axes = new_figure(500, 50 + 25 * len(shown))
    bars = axes.barh(range(len(shown)), list(shown.values()), 0.66, color=COLOURS["good"])
    axes.bar_label(bars, [f"{100 * share:.0f} %" for share in shown.values()], padding=6)
    axes.set_yticks(range(len(shown)), [plain(name) for name in shown])
    axes.set_ylim(len(shown) - 0.5, -0.5)
    for label in axes.get_yticklabels():
        label.set_color(COLOURS["ink"])
    axes.grid(visible=False)
    axes.set_xticks([])
    axes.margins(x=0.14)
    axes.spines[["bottom", "left"]].set_visible(False)
    listed = ", ".join(f"{plain(name)} {share:.0%}" for name, share in shown.items())
    return to_svg(figure, f"Bar chart of the share of the variance of accuracy: {listed}.")


@matplotlib.rc_context(STYLE)
def slices(trials: Sequence[Trial], names: Sequence[str]) -> str:
    """Draw accuracy against what was drawn, for a few names side by side.

    Args:
        trials: One that finished or more.
        names: Names in `Trial.params`.
    """
    names = names[:NUM_SLICES]
    finished = [one for one in trials if one.outcome == "finished"]
    figure = Figure((1040 / POINTS_AN_INCH, 250 / POINTS_AN_INCH))
    figure.set_layout_engine("constrained", wspace=0.08)
    for axes, name in zip(figure.subplots(1, len(names), sharey=True), names, strict=True):
        values = [one.params[name] for one in finished]
        if any(isinstance(value, bool | str) for value in values):
            kinds = sorted({str(value) for value in values})
            values = [kinds.index(str(value)) for value in values]
            axes.set_xticks(range(len(kinds)), [short(kind) for kind in kinds])
            axes.tick_params("x", rotation=25 if len(kinds) > 2 else 0)
            axes.set_xlim(-0.5, len(kinds) - 0.5)
        else:
            whole = all(isinstance(value, int) for value in values)
            axes.xaxis.set_major_locator(MaxNLocator(4, integer=whole))
        axes.plot(
            values, list(map(_accuracy, finished)), "o", color=COLOURS["good"], alpha=0.6,
            markersize=6, markeredgewidth=0,
        )  # fmt: skip
        axes.margins(y=0.08)
        axes.set_xlabel(plain(name))
        _percent(axes)
    listed = ", ".join(map(plain, names))
    return to_svg(figure, f"Accuracy of every finished trial against {listed}.")


def amount(value: float) -> str:
    """Return a number in few characters, for instance `191k`, `1.9M`, `0.25`."""
    for unit, name in ((1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:.3g}{name}"
    return f"{value:.3g}"


def plain(name: str) -> str:
    """Return what was drawn as a person would call it, for instance `stem, item 1`."""
    key = re.sub(r"^(len\()?(network|training|augment|input)\.", r"\1", name).replace("_", " ")
    key = re.sub(r"\[(\d+)\]$", lambda found: f", item {int(found[1]) + 1}", key)
    return re.sub(r"^len\((.*)\)$", r"\1, items", key)


def _steps(by_cost: Sequence[Trial]) -> list[Trial]:
    """Return the trials that are more accurate than all that cost less."""
    kept: list[Trial] = []
    for one in by_cost:
        if not kept or _accuracy(one) > _accuracy(kept[-1]):
            kept.append(one)
    return kept


def _accuracy(trial: Trial) -> float:
    return trial.accuracy or 0.0


def _percent(axes: Axes) -> None:
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.spines["left"].set_visible(False)
