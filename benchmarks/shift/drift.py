"""Drift test: false alarms at home, and power against the number of images.

python -m benchmarks.shift.drift RUN --clean CLEAN --labs DS2 OTHER_LAB LISC --cache FOLDER
"""

import numpy as np

from benchmarks.common.page import made_on, write_section
from benchmarks.shift.embeddings import (
    CELLS_A_CORRUPTION,
    LabelledSet,
    parse,
    read_corrupted,
    read_set,
)
from stainproof.deployment.drift import find_drift
from stainproof.deployment.home import Home

NUM_IMAGES = (20, 50, 100, 200)
SHOWN = (
    "jpeg_compression 2", "defocus_blur 2", "motion_blur 2", "brightness_down 2",
    "contrast_down 2", "saturate 2", "stain_deposit 2",
)  # fmt: skip
LEVEL = 0.05
PERMUTATIONS = 199


def main(arguments: list[str] | None = None) -> None:
    """Draw subsets of every set and count the alarms."""
    options = parse(__doc__, arguments, cells=CELLS_A_CORRUPTION, repeats=100, power_repeats=10)
    home, cache = options.home, options.cache
    clean = read_set(home, options.clean, cache)
    shifted = [read_set(home, one, cache) for one in options.labs]
    corrupted = read_corrupted(home, options.clean, cache, options.cells)
    shifted += [one for one in corrupted if one.name in SHOWN]
    rows = [(clean, options.repeats), *((one, options.power_repeats) for one in shifted)]
    lines = []
    for one, repeats in rows:
        shares = (alarms(home, one, num, repeats) for num in NUM_IMAGES)
        name = "home, false alarms" if one is clean else one.name
        lines.append(
            f"| {name} | {repeats} | " + " | ".join(f"{100 * s:.0f} %" for s in shares) + " |"
        )
    write_section("Drift found", "\n".join([
        f"Share of random subsets with a corrected p-value below {LEVEL:g}, by number of images. "
        "Home: other cells of the home laboratory in its class mix. Corruptions: MedMNIST-C, with "
        "their severity.\n",
        "| set | subsets | " + " | ".join(f"{num} images" for num in NUM_IMAGES) + " |",
        "|---|---|" + "---|" * len(NUM_IMAGES),
        *lines,
        f"\n{made_on()}",
    ]))  # fmt: skip


def alarms(home: Home, one: LabelledSet, num: int, repeats: int) -> float:
    """Return the share of subsets of this size in which drift is found."""
    rng = np.random.default_rng(num)
    found = []
    for repeat in range(repeats):
        chosen = rng.choice(len(one.labels), min(num, len(one.labels)), replace=False)
        drift = find_drift(
            home.reference.home.features,
            one.embedding.features[chosen],
            home.reference.properties,
            one.properties[chosen],
            repeat,
            PERMUTATIONS,
        )
        found.append(drift.p_value < LEVEL)
    return float(np.mean(found))


if __name__ == "__main__":
    main()
