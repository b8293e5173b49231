"""Recall and precision of doctored images by overlay weight, group size and cover.

.venv-bench/bin/python -m benchmarks.audit.doctored [--real FOLDER] [--repeats 2]

The overlays are photographs from scikit-image, which the audit was not developed with.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import product
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.common.page import made_on, write_section
from stainproof.audit.doctored import find_doctored
from stainproof.audit.measurements import SIZE_PX, SMALL_PX
from stainproof.config.schema import AuditConfig, Preprocessing
from stainproof.data import sources
from stainproof.data.images import Images, shrink
from stainproof.synthetic import phantoms
from stainproof.synthetic.pictures import make_picture

PHOTOGRAPHS = (
    "astronaut", "brick", "camera", "chelsea", "clock_motion", "coffee", "coins", "color",
    "grass", "gravel", "hubble_deep_field", "ihc", "moon", "motorcycle_left", "page", "retina",
    "rocket", "text",
)  # fmt: skip
WEIGHTS = (0.1, 0.2, 0.3, 0.5, 0.7)
SIZES = (1, 20, 500)
NUM_ALONE = 10
"""Images under a picture of their own in one set, so that a few sets say something of them."""


@cache
def photographs() -> list[Images]:
    """Return the pictures at 96 px, uint8 rgb."""
    try:
        import skimage
    except ImportError:  # the smoke test has no scikit-image
        rng = np.random.default_rng(0)
        return [make_picture((SIZE_PX, SIZE_PX, 3), rng) for _ in PHOTOGRAPHS]
    folder = Path(skimage.__file__).parent / "data"
    found = [next(folder.glob(f"{name}.*")) for name in PHOTOGRAPHS]
    square = []
    for path in found:
        rgb = cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        side = min(rgb.shape[:2])
        top, left = (rgb.shape[0] - side) // 2, (rgb.shape[1] - side) // 2
        rgb = rgb[top : top + side, left : left + side]
        square.append(cv2.resize(rgb, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA))
    return square


def planted(
    cells: Images, size: int, weight: float, partial: bool, rng: np.random.Generator
) -> tuple[Images, NDArray[np.int64]]:
    """Blend pictures into some cells; return all cells and the positions of the blended.

    A partial picture covers a quarter to a half of the image, for a group at one place.
    """
    images = cells.copy()
    pictures = photographs()
    num = NUM_ALONE if size == 1 else size
    chosen = rng.choice(len(cells), num, replace=False)
    order = rng.permutation(len(pictures))
    height, width = rng.integers(SIZE_PX // 2, 3 * SIZE_PX // 4, size=2)
    for rank, index in enumerate(chosen):
        picture = pictures[order[rank if size == 1 else 0]]
        laid = cv2.addWeighted(images[index], 1 - weight, picture, weight, 0)
        if not partial:
            images[index] = laid
            continue
        if rank == 0 or size == 1:
            top, left = (int(rng.integers(SIZE_PX - side + 1)) for side in (height, width))
        part = np.s_[top : top + height, left : left + width]
        images[index][part] = laid[part]
    return images, np.sort(chosen)


def cells_of(real: str, num_phantoms: int) -> Iterator[tuple[str, Images]]:
    """Give the sets in which pictures are planted."""
    if real:
        yield Path(real).name, sources.load(real, Preprocessing()).images
    yield "phantoms", phantoms.generate(num_phantoms, seed=77)[0]


def table_row(name: str, cells: Images, case: tuple[int, bool, float], repeats: int) -> str:
    """Plant, search and count, in as many sets as `repeats` says."""
    size, partial, weight = case
    settings = AuditConfig()
    num_hits = num_found = num_planted = 0
    for repeat in range(repeats):
        rng = np.random.default_rng((repeat, size, int(100 * weight), partial))
        images, chosen = planted(cells, size, weight, partial, rng)
        found = find_doctored(
            shrink(images, SMALL_PX),
            margin=settings.doctored_margin,
            threshold=settings.doctored_threshold,
            seed=settings.seed,
        )
        positions = {one.index for one in found.images}
        num_hits += len(positions & set(chosen.tolist()))
        num_found += len(positions)
        num_planted += len(chosen)
    precision = f"{num_hits / num_found:.3f}" if num_found else "nothing found"
    num_sound = repeats * len(cells) - num_planted
    return (
        f"| {name} ({len(cells):,}) | {size} | {'partial' if partial else 'whole'} | {weight} "
        f"| {num_hits / num_planted:.3f} | {precision} | {num_found - num_hits} of {num_sound:,} |"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write the section of the results page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--real", default="", help="a folder of sound cells, beside phantoms")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--phantoms", type=int, default=1500, help="synthetic cells")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--weights", type=float, nargs="+", default=WEIGHTS)
    options = parser.parse_args(arguments)
    rows = [
        "| cells | images under one picture | cover | weight | recall | precision | false |",
        "|---|---|---|---|---|---|---|",
    ]
    began = time.monotonic()
    for name, cells in cells_of(options.real, options.phantoms):
        for case in product(options.sizes, (False, True), options.weights):
            rows.append(table_row(name, cells, case, options.repeats))
            print(rows[-1], flush=True)
    minutes = (time.monotonic() - began) / 60
    note = (
        f"{options.repeats} sets a row, seeds 0 to {options.repeats - 1}; pictures: scikit-image's "
        f'photographs. Of "1" each set has {NUM_ALONE}, each under a picture of its own. '
        f"{minutes:.0f} minutes. {made_on()}"
    )
    write_section("Foreign pictures found by the audit", "\n".join([*rows, "", note]))


if __name__ == "__main__":
    main()
