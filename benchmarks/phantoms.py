"""How many phantom cells a second, one process and all cores; writes its row to results.md."""

import os
import time
from statistics import median

from results_page import made_on, write_section
from stainproof.synthetic import phantoms

NUM_IMAGES = 8000
REPEATS = 3


def images_per_s(num_workers: int) -> float:
    """Return the speed of one call, start of the processes included."""
    began = time.perf_counter()
    phantoms.generate(NUM_IMAGES, seed=1, num_workers=num_workers)
    return NUM_IMAGES / (time.perf_counter() - began)


def main() -> None:
    """Measure, interleaved, and write the table."""
    cores = os.cpu_count() or 1
    speeds: dict[int, list[float]] = {1: [], cores: []}
    for _ in range(REPEATS):
        for num_workers, found in speeds.items():
            found.append(images_per_s(num_workers))
    rows = [
        f"| {num} | {median(found):,.0f} | {min(found):,.0f} to {max(found):,.0f} |"
        for num, found in speeds.items()
    ]
    write_section(
        "phantoms",
        f"{NUM_IMAGES:,} images of 96 px a call, start of the processes included, {REPEATS} calls "
        f"each, interleaved. {made_on()}\n\n"
        "| processes | images a second, median | range |\n|---|---|---|\n" + "\n".join(rows),
    )


if __name__ == "__main__":
    main()
