"""Balanced accuracy of a run on the eleven corruptions of MedMNIST-C for blood cells.

python -m benchmarks.corruptions.bloodmnist_c RUN --test FOLDER
"""

import argparse
import tempfile
import time
from collections.abc import Sequence

import numpy as np

from benchmarks.common.page import made_on, peak_memory_mb, write_section
from stainproof import api
from stainproof.corruptions.bloodmnist import ALEXNET_CLEAN_ERROR, CORRUPTIONS
from stainproof.progress import LineReporter


def main(arguments: Sequence[str] | None = None) -> None:
    """Corrupt, predict, and publish balanced accuracy beside AlexNet's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--test", required=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        found = api.evaluate_corruptions(
            options.run, options.test, folder, seed=options.seed, track=LineReporter(print).track
        )
    seconds = time.perf_counter() - began
    published = [one.alexnet_error for one in CORRUPTIONS.values()]
    error = found.balanced_error
    text = [
        f"{found.num_images:,} images of {found.source}, 11 corruptions at 5 severities, seed "
        f"{found.seed}, defined at 224 px; one run. Mean balanced accuracy {found.mean.percent()}, "
        f"BE {error.value:.3f} ({error.low:.3f} to {error.high:.3f}); not corrupted "
        f"{found.clean.percent()}. 95 % bootstrap intervals over images. The last column is the "
        "published mean over severities of the pretrained AlexNet at 224 px on BloodMNIST's test "
        f"images, {100 * (1 - np.mean(published)):.1f} % on average and "
        f"{100 * (1 - ALEXNET_CLEAN_ERROR):.1f} % without corruption; these are other images than "
        f"ours. {seconds / 60:.0f} minutes, peak memory {peak_memory_mb():.0f} MB.\n",
        "| corruption | 1 | 2 | 3 | 4 | 5 | mean | calibration error | AlexNet |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, values in found.balanced_accuracy.items():
        shown = (*values, float(np.mean(values)), float(np.mean(found.calibration_error[name])))
        figures = " | ".join(f"{100 * value:.1f} %" for value in shown)
        alexnet = 100 * (1 - CORRUPTIONS[name].alexnet_error)
        text.append(f"| {name} | {figures} | {alexnet:.1f} % |")
    text.append(f"\n{made_on()}")
    write_section("Corruptions of MedMNIST-C", "\n".join(text))


if __name__ == "__main__":
    main()
