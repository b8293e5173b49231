"""How often the interval of the expected calibration error contains the true error.

python -m benchmarks.calibration.interval_coverage
"""

import argparse

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.page import made_on, write_section
from stainproof.calibration.error import NUM_BINS, calibration_error, confidence_bins
from stainproof.evaluation.intervals import bias_corrected

FACTORS = (1.0, 1.2, 1.5, 3.0)
"""True share of wrong predictions as a multiple of 1 minus confidence."""
NUM_IMAGES = (350, 1700)
NUM_RESAMPLES = 250
NUM_TRUTH = 2_000_000
"""Images of which the true error is computed."""

Floats = NDArray[np.float64]


def draw(num: int, rng: np.random.Generator) -> Floats:
    """Return confidences float64 (num,), above 0.3 and 0.94 on average."""
    return np.asarray(1 - 0.7 * rng.beta(0.4, 4.5, num))


def measure(factor: float, num: int, repeats: int, seed: int) -> tuple[float, float, float, float]:
    """Return the true error, the mean of the estimates, and the share of intervals below, above."""
    rng = np.random.default_rng(seed)
    confidence = draw(NUM_TRUTH, rng)
    share_right = np.maximum(1 - factor * (1 - confidence), 0)
    truth = calibration_error(share_right - confidence, confidence_bins(confidence))
    values, is_above, is_below = [], [], []
    for _ in range(repeats):
        confidence = draw(num, rng)
        is_right = rng.random(num) < 1 - factor * (1 - confidence)
        gaps, bins = is_right - confidence, confidence_bins(confidence)
        chosen = rng.integers(num, size=(NUM_RESAMPLES, num))
        cells = bins[chosen] + NUM_BINS * np.arange(NUM_RESAMPLES)[:, None]
        sums = np.bincount(cells.ravel(), gaps[chosen].ravel(), NUM_BINS * NUM_RESAMPLES)
        resampled = np.abs(sums.reshape(NUM_RESAMPLES, NUM_BINS)).sum(axis=1) / num
        found = bias_corrected(calibration_error(gaps, bins), resampled)
        values.append(found.value)
        is_above.append(found.low > truth)
        is_below.append(found.high < truth)
    return truth, float(np.mean(values)), float(np.mean(is_below)), float(np.mean(is_above))


def main(arguments: list[str] | None = None) -> None:
    """Measure the coverage and write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=150)
    options = parser.parse_args(arguments)
    rows = []
    for factor in FACTORS:
        for num in NUM_IMAGES:
            truth, mean, below, above = measure(factor, num, options.repeats, seed=0)
            rows.append(
                f"| {factor:g} | {num:,} | {100 * truth:.1f} % | {100 * mean:.1f} % | "
                f"{100 * (1 - below - above):.0f} % | {100 * above:.0f} % | {100 * below:.0f} % |"
            )
    write_section(
        "Intervals of the calibration error",
        f"Drawn predictions with a mean confidence of 94 %, {options.repeats} draws a row: how "
        "often the 95 % interval of the expected calibration error "
        f"({NUM_RESAMPLES} resamples) contains the true error. Wrong: the true share of "
        "wrong predictions as a multiple of 1 minus confidence.\n\n"
        "| wrong | images | true error | mean estimate | contains it | too high | too low |\n"
        "|---|---|---|---|---|---|---|\n" + "\n".join(rows) + f"\n\n{made_on()}",
    )


if __name__ == "__main__":
    main()
