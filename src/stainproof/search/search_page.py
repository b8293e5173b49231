"""A search as one HTML file: its front, what it hangs on, and how to train each trial again."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from stainproof.evaluation.intervals import proportion
from stainproof.reports.frame import read_template
from stainproof.search import search_figures
from stainproof.search.results import Search, Trial

TEMPLATE_FILE = "search.html.jinja"
NUM_ROWS = 10
"""Trials in the table: the front, and the most accurate others up to this many."""
NEARLY = 0.02
"""Below the best accuracy, within which a smaller or faster trial is nearly as good."""


@dataclass(frozen=True)
class Tile:
    """One trial that stands out, and for what."""

    what: str
    trial: Trial


def render_search(found: Search, folder: Path) -> str:
    """Return the page as one self-contained HTML text.

    Args:
        found: Trials may all still run.
        folder: Of the search, for the commands.
    """
    finished = [one for one in found.trials if one.outcome == "finished"]
    by_number = {one.number: one for one in found.trials}
    best = by_number[found.front[0]] if found.front else None
    template = read_template(
        TEMPLATE_FILE, percent=lambda share: f"{100 * share:.1f} %", ms=lambda ms: f"{ms:.2f}"
    )
    return template.render(
        found=found,
        source=Path(found.source).name or found.source,
        best=best,
        interval=_interval(best) if best else "",
        preset=by_number.get(found.preset) if found.preset is not None else None,
        tiles=_tiles(finished, best) if best else [],
        rows=_rows(found, finished),
        figures=_figures(found) if best else {},
        commands={one.number: _command(found, one, folder) for one in finished},
        counts=_counts(found.trials),
        unfinished=[one for one in found.trials if one.reason],
    )


def _tiles(finished: Sequence[Trial], best: Trial) -> list[Tile]:
    """Return the most accurate trial, and the smallest and fastest of those nearly as good."""
    near = [one for one in finished if (one.accuracy or 0) >= (best.accuracy or 0) - NEARLY]
    smallest = min(near, key=lambda one: one.num_parameters or 0)
    fastest = min(near, key=lambda one: one.latency_ms or 0)
    within = f"within {100 * NEARLY:g} points"
    tiles = [Tile("most accurate", best)]
    if smallest == fastest:
        tiles.append(Tile(f"smallest and fastest {within}", smallest))
    else:
        tiles += [Tile(f"smallest {within}", smallest), Tile(f"fastest {within}", fastest)]
    return [tile for rank, tile in enumerate(tiles) if not rank or tile.trial != best]


def _rows(found: Search, finished: Sequence[Trial]) -> list[Trial]:
    """Return the trials of the table, the most accurate first."""
    ranked = sorted(finished, key=lambda one: (-(one.accuracy or 0), one.num_parameters or 0))
    others = [one for one in ranked if one.number not in found.front]
    room = max(NUM_ROWS - len(found.front), 0)
    chosen = {*found.front, *(one.number for one in others[:room])}
    return [one for one in ranked if one.number in chosen]


def _figures(found: Search) -> dict[str, Markup]:
    drawn = {
        "parameters": search_figures.front(found, "num_parameters", "parameters"),
        "latency": search_figures.front(found, "latency_ms", "milliseconds an image"),
        "history": search_figures.history(found.trials),
    }
    if found.importances:
        drawn["importances"] = search_figures.importances(found.importances)
        drawn["slices"] = search_figures.slices(found.trials, list(found.importances))
    return {name: Markup(svg) for name, svg in drawn.items()}


def _command(found: Search, trial: Trial, folder: Path) -> str:
    config = folder / "configs" / f"{trial.number:04d}.toml"
    words = ["stainproof", "train", found.source, "--out", f"runs/trial-{trial.number}"]
    return shlex.join([*words, "--config", str(config)])


def _interval(best: Trial) -> str:
    num = best.num_val_images
    return proportion(round((best.accuracy or 0) * num), num).percent() if num else ""


def _counts(trials: Sequence[Trial]) -> str:
    """Return for instance `27 finished, 2 stopped early, 1 failed`."""
    names = {"finished": "finished", "stopped": "stopped early", "failed": "failed"}
    names["running"] = "running"
    numbers = {name: sum(one.outcome == name for one in trials) for name in names}
    return ", ".join(f"{num} {names[name]}" for name, num in numbers.items() if num)
