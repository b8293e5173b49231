"""HTML page of a search: Pareto front, importances, and the command to train each trial again."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from stainproof.evaluation.intervals import proportion
from stainproof.reports.frame import render_page
from stainproof.search import search_figures
from stainproof.search.results import Search, Trial

NUM_ROWS = 10
"""Trials in the table: those on the front, and the most accurate others up to this number."""
TOLERANCE = 0.02
"""Accuracy below the best within which a smaller or faster trial is worth a tile."""


@dataclass(frozen=True)
class Tile:
    """One trial that stands out, and why."""

    what: str
    trial: Trial


def render_search(found: Search, folder: Path) -> str:
    """Return the page as one self-contained HTML text.

    Args:
        found: The search; its trials may all be running.
        folder: The search's folder, for the commands.
    """
    finished = [one for one in found.trials if one.outcome == "finished"]
    by_number = {one.number: one for one in found.trials}
    best = by_number[found.front[0]] if found.front else None
    return render_page(
        "search.html.jinja",
        provenance=found.provenance,
        found=found,
        source=Path(found.source).name or found.source,
        best=best,
        interval=_interval(best) if best else "",
        preset=by_number.get(found.preset) if found.preset is not None else None,
        tiles=_tiles(finished, best) if best else [],
        rows=_rows(found, finished),
        figures=_figures(found) if best else {},
        slices=list(map(Markup, search_figures.slices(found.trials, list(found.importances)))),
        commands={one.number: _command(found, one, folder) for one in finished},
        counts=_counts(found.trials),
        unfinished=[one for one in found.trials if one.reason],
    )


def _tiles(finished: Sequence[Trial], best: Trial) -> list[Tile]:
    """Return the most accurate trial, and the smallest and fastest of those nearly as good."""
    near = [one for one in finished if (one.accuracy or 0) >= (best.accuracy or 0) - TOLERANCE]
    smallest = min(near, key=lambda one: one.num_parameters or 0)
    fastest = min(near, key=lambda one: one.latency_ms or 0)
    within = f"within {100 * TOLERANCE:g} points"
    tiles = [Tile("Most accurate", best)]
    if smallest == fastest:
        tiles.append(Tile(f"Smallest and fastest {within}", smallest))
    else:
        tiles += [Tile(f"Smallest {within}", smallest), Tile(f"Fastest {within}", fastest)]
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
        "latency": search_figures.front(found, "latency_ms", "milliseconds per image"),
        "history": search_figures.history(found.trials),
    }
    if found.importances:
        drawn["importances"] = search_figures.importances(found.importances)
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
