"""Error of the measured zoom against known zooms, by number of images and mixture of classes.

python -m benchmarks.shift.scale_error --sets clean other_lab lisc --fields bccd_fields
"""

import argparse
import csv
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.page import made_on, write_section
from benchmarks.shift.sets import COUNTS, MIXES, LabelledSet, draw, read_set
from stainproof.config.schema import Preprocessing
from stainproof.data.decoding import decode
from stainproof.data.images import Images, to_square
from stainproof.runs.appearance import Appearance
from stainproof.shift.appearance import MAGNIFICATION, red_cell_diameter, summarise
from stainproof.shift.lab import Lab
from stainproof.shift.rulers import combine, read_rulers
from stainproof.shift.scale_head import measure_magnifications

Values = dict[str, NDArray[np.float64]]
"""Ruler -> its value for each image."""
ZOOMS = (0.5, 0.63, 0.8, 1.0, 1.26, 1.59, 2.0, 2.2)
FIELD_ZOOMS = (0.55, 0.63, 0.8, 1.0, 1.26, 1.59, 2.0, 2.2)
FIELD_SIDE_PX = 260
"""Side of the window at zoom 1: that of the cells of `other_lab`."""
SIZE = Preprocessing()
RULERS = ("scale head", "red cells")
BOTH = "profile"
"""Scale head and red cells together, as a profile combines them, where it trusts them."""


def windows(folder: Path) -> list[tuple[Images, int, int]]:
    """Return fields with the centre of each white cell that is not cut."""
    found = []
    with (folder / "boxes.csv").open() as file:
        for row in csv.DictReader(file):
            x0, y0, x1, y1 = (int(row[name]) for name in ("x0", "y0", "x1", "y1"))
            if row["cell"] == "wbc" and min(x0, y0) > 2 and x1 < 637 and y1 < 477:
                found.append((decode(folder / row["file"]).rgb, (x0 + x1) // 2, (y0 + y1) // 2))
    return found


def cut(field: Images, x: int, y: int, side: int) -> Images:
    """Return a window around a point, moved into the field where it would leave it."""
    height, width = field.shape[:2]
    side = min(side, height, width)
    left, top = np.clip(x - side // 2, 0, width - side), np.clip(y - side // 2, 0, height - side)
    return field[top : top + side, left : left + side]


def measure(images: Sequence[Images]) -> Values:
    """Return the log magnification of each image by each ruler, in arbitrary units."""
    red = np.concatenate([red_cell_diameter(rgb) for rgb in images])
    return {"scale head": measure_magnifications(np.stack(list(images))), "red cells": np.log(red)}


def at_zooms(one: LabelledSet) -> dict[float, Values]:
    """Measure a set at every zoom; below 1 the images get a reflected border."""
    found = {}
    for zoom in ZOOMS:
        lab = Lab(scale=zoom)
        found[zoom] = measure([to_square(lab.standardise(rgb), SIZE) for rgb in one.images])
    return found


def errors(
    measured: dict[float, Values],
    labels: NDArray[np.int64],
    ruler: str,
    num: int,
    mix: str,
    draws: int,
) -> tuple[float, float]:
    """Return the median relative error of the zoom in percent, and the share that is measured.

    `BOTH` is what a profile measures: both rulers together, where it trusts them.
    """
    rng = np.random.default_rng(num)
    home = measured[1.0]
    find: Callable[[Values], float | None]
    if ruler == BOTH:
        find = partial(by_both, appear(home))
    else:
        find = partial(by_one, ruler, float(np.nanmedian(home[ruler])))
    found = []
    for zoom, values in measured.items():
        for _ in range(draws):
            chosen = draw(labels, num, mix, rng)
            log_zoom = find({name: row[chosen] for name, row in values.items()})
            if log_zoom is not None:
                found.append(abs(np.exp(log_zoom) / zoom - 1))
    return 100 * float(np.median(found)) if found else np.nan, len(found) / draws / len(measured)


def by_one(ruler: str, usual: float, drawn: Values) -> float | None:
    """Return the log zoom by one ruler; None if more than half of the images have no value."""
    some = drawn[ruler]
    return None if np.isnan(some).mean() > 0.5 else float(np.nanmedian(some)) - usual


def by_both(home: Appearance, drawn: Values) -> float | None:
    """Return the log zoom that a profile measures; None if it does not trust it."""
    source = appear(drawn)
    said = combine(source.num_images, read_rulers(source, home))
    return None if said.refusal else -said.log_scale


def appear(values: Values) -> Appearance:
    """Return the appearance of images of which both rulers were measured."""
    head, red = (values[name][:, None] for name in RULERS)
    measures = {
        MAGNIFICATION: summarise(head, "", "scale head"),
        "red_cell_diameter": summarise(np.exp(red), "", "red cells"),
    }
    known = {name: measure for name, measure in measures.items() if measure}
    return Appearance(num_images=len(head), measures=known)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the sets and write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=Path, nargs="+", required=True)
    parser.add_argument("--fields", type=Path, help="fields with boxes.csv, cut at several sizes")
    parser.add_argument("--most", type=int, default=240, help="images of a set")
    parser.add_argument("--draws", type=int, default=40)
    options = parser.parse_args(arguments)
    measured, labels = {}, {}
    for folder in options.sets:
        one = read_set(folder, options.most)
        measured[one.name], labels[one.name] = at_zooms(one), one.labels
        print(one.name, flush=True)
    if options.fields:
        cells = windows(options.fields)[: options.most]
        measured["fields"] = {
            zoom: measure(
                [to_square(cut(*cell, round(FIELD_SIDE_PX / zoom)), SIZE) for cell in cells]
            )
            for zoom in FIELD_ZOOMS
        }
        labels["fields"] = np.zeros(len(cells), dtype=np.int64)
    text = [
        "Median relative error of the measured zoom in percent, over known zooms "
        f"{ZOOMS[0]} to {ZOOMS[-1]} and {options.draws} draws with replacement each; in brackets "
        "the percentage of draws in which half of the images or more could be measured. `profile`: "
        "both rulers as a profile combines them, in brackets the percentage that it trusts. Zooms "
        "of a set below 1 have a reflected border; `fields` are windows of different sides around "
        "white cells, so that every zoom shows real surroundings. Reference: the median of the set "
        "at zoom 1.",
        "",
        "| set | ruler | mixture | " + " | ".join(f"{num} images" for num in COUNTS) + " |",
        "|---|---|---|" + "---|" * len(COUNTS),
    ]
    for name, values in measured.items():
        for ruler in (*RULERS, BOTH):
            for mix in MIXES if name != "fields" else ("natural",):
                cells_of_row = (
                    errors(values, labels[name], ruler, n, mix, options.draws) for n in COUNTS
                )
                shown = " | ".join(
                    f"{error:.1f} ({100 * share:.0f})" for error, share in cells_of_row
                )
                text.append(f"| {name} | {ruler} | {mix} | {shown} |")
    text += ["", "Medians by zoom (scale head; red cells):", ""]
    for name, values in measured.items():
        for ruler in RULERS:
            usual = np.nanmedian(values[1.0][ruler])
            said = (
                f"{zoom:g}: {np.exp(np.nanmedian(found[ruler]) - usual):.2f}"
                for zoom, found in values.items()
            )
            text.append(f"- {name}, {ruler}: {', '.join(said)}.")
    write_section("Scale_error", "\n".join([*text, "", made_on()]))


if __name__ == "__main__":
    main()
