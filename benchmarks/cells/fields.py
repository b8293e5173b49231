"""Precision and recall of cells found in fields with boxes, beside a simple way.

python -m benchmarks.cells.fields FOLDER

FOLDER has images and `boxes.csv` (file, cell, x0, y0, x1, y1). The simple way is the one of many
tutorials: Otsu's threshold of the saturation, connected components, a threshold of the area.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from benchmarks.common.page import made_on, write_section
from stainproof.cells.boxes import read_boxes
from stainproof.cells.fields import Cell, find_cells
from stainproof.cells.scale import measure_scale, settle
from stainproof.data.decoding import decode
from stainproof.data.images import Images
from stainproof.data.tree import scan
from stainproof.evaluation.intervals import proportion

KINDS = {"white": ("wbc", "white"), "platelet": ("platelets", "platelet")}
"""Kind -> its labels in boxes.csv."""
LEAST_IOU = 0.5
WHITE_SHARE, PLATELET_SHARE = 0.01, 0.0008
"""Least areas of the simple way, as fractions of the field: set by hand, not tuned."""


def by_saturation(rgb: Images) -> list[Cell]:
    """Find cells by Otsu's threshold of the saturation."""
    saturation = cv2.GaussianBlur(cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)[..., 1], (5, 5), 0)
    _, mask = cv2.threshold(saturation, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    _, _, boxes, _ = cv2.connectedComponentsWithStats(mask)
    cells = []
    for left, top, width, height, area in boxes[1:].tolist():
        share = area / mask.size
        if share >= PLATELET_SHARE:
            kind = "white" if share >= WHITE_SHARE else "platelet"
            cells.append(Cell(left, top, left + width, top + height, kind=kind))
    return cells


def iou(one: Cell, other: Cell) -> float:
    """Return intersection over union of two boxes."""
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    both = max(0.0, width) * max(0.0, height)
    areas = ((box.x1 - box.x0) * (box.y1 - box.y0) for box in (one, other))
    return both / max(sum(areas) - both, 1e-9)


def num_matched(found: Sequence[Cell], truths: Sequence[Cell]) -> int:
    """Return the number of pairs with an IoU of 0.5 or more, the best pairs first."""
    pairs = sorted(
        ((iou(a, b), i, j) for i, a in enumerate(found) for j, b in enumerate(truths)),
        reverse=True,
    )
    used_found: set[int] = set()
    used_truths: set[int] = set()
    for value, i, j in pairs:
        if value >= LEAST_IOU and i not in used_found and j not in used_truths:
            used_found.add(i)
            used_truths.add(j)
    return len(used_found)


def percent(hits: int, total: int) -> str:
    """Return a share with its 95 % interval (Wilson)."""
    if not total:
        return "none"
    share = proportion(hits, total)
    return f"{share.value:.3f} ({share.low:.3f} to {share.high:.3f})"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure both ways and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args(arguments)
    boxes = read_boxes(options.folder / "boxes.csv")
    paths = sorted(scan(options.folder).images)
    fields = [decode(path).rgb for path in paths]
    began = time.process_time()
    scales = settle([measure_scale(rgb) for rgb in fields])
    scale_s = time.process_time() - began
    own_scales = iter(scales)
    ways: dict[str, Callable[[Images], list[Cell]]] = {
        "stainproof": lambda rgb: find_cells(rgb, next(own_scales).red_cell_px or None),
        "saturation, Otsu, components": by_saturation,
    }
    rows = []
    for way, find in ways.items():
        began = time.process_time()
        found = [find(rgb) for rgb in fields]
        seconds = time.process_time() - began + (scale_s if way == "stainproof" else 0)
        for kind, labels in KINDS.items():
            truths = [
                [box for box in boxes.of(path, rgb.shape) if box.kind in labels]
                for path, rgb in zip(paths, fields, strict=True)
            ]
            own = [[cell for cell in cells if cell.kind == kind] for cells in found]
            hits = sum(map(num_matched, own, truths))
            num_truths, num_own = sum(map(len, truths)), sum(map(len, own))
            rows.append(
                f"| {way} | {kind} | {num_truths} | {num_own} | {percent(hits, num_truths)} | "
                f"{percent(hits, num_own)} | {len(fields) / max(seconds, 1e-9):.1f} |"
            )
    name = options.folder.name
    write_section(
        f"Cells from fields: {name}",
        f"{len(fields)} fields, {name}; a box counts as found at an IoU of {LEAST_IOU} or more; "
        "95 % intervals (Wilson); fields a second of processor time on one thread, decoding not "
        f"included. {made_on()}\n\n"
        "| way | kind | boxes | found | recall | precision | fields/s |\n"
        "|---|---|---|---|---|---|---|\n" + "\n".join(rows),
    )


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main()
