"""Speed of drawing phantom cells, in one process and on all cores.

python -m benchmarks.synthetic.speed
"""

import argparse
import os
import time
from collections.abc import Sequence
from statistics import median

from benchmarks.common.page import made_on, write_section
from stainproof.synthetic import phantoms

NUM_IMAGES = 8000
REPEATS = 3


def images_per_s(num_images: int, num_workers: int) -> float:
    """Return the speed of one call, start of the processes included."""
    began = time.perf_counter()
    phantoms.generate(num_images, seed=1, num_workers=num_workers)
    return num_images / (time.perf_counter() - began)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, interleaved, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=NUM_IMAGES)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    options = parser.parse_args(arguments)
    cores = os.cpu_count() or 1
    speeds: dict[int, list[float]] = {1: [], cores: []}
    for _ in range(options.repeats):
        for num_workers, found in speeds.items():
            found.append(images_per_s(options.images, num_workers))
    rows = [
        f"| {num} | {median(found):,.0f} | {min(found):,.0f} to {max(found):,.0f} |"
        for num, found in speeds.items()
    ]
    write_section(
        "Drawing phantoms",
        f"{options.images:,} images of 96 px a call, start of the processes included, "
        f"{options.repeats} calls each, interleaved. {made_on()}\n\n"
        "| processes | images a second, median | range |\n|---|---|---|\n" + "\n".join(rows),
    )


if __name__ == "__main__":
    main()
