"""Time and memory of each stage by the number of images.

python -m benchmarks.inference.growth [--counts 1000 10000 100000]

Every stage runs in a process of its own on generated JPEG files of 96 px, and so does their
generator, because a child's peak memory counts from its parent's.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common.child import run_module
from benchmarks.common.page import made_on, peak_memory_mb, write_section
from stainproof import api
from stainproof.config.presets import make_config
from stainproof.config.schema import Preprocessing
from stainproof.data import sources
from stainproof.synthetic import phantoms

STAGES = ("load", "audit", "train", "predict")
GENERATE = "generate"


def stage_here(stage: str, folder: Path) -> None:
    """Run one stage in this process and print its seconds and peak memory."""
    cells = folder / "cells"
    began = time.perf_counter()
    if stage == "load":
        sources.load(cells, Preprocessing())
    elif stage == "audit":
        api.audit(cells, folder / "audit")
    elif stage == "train":
        api.train(cells, folder / "run", make_config(assignments=("training.epochs=1",)))
    else:
        api.predict(folder / "run", [str(cells)], folder / "table.csv")
    print(time.perf_counter() - began, peak_memory_mb())


def make_cells(folder: Path, count: int) -> None:
    """Write class folders of generated cells."""
    import cv2

    images, labels = phantoms.generate(count, seed=count)
    for index, rgb in enumerate(images):
        path = folder / "cells" / f"{labels[index]}" / f"{index:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), rgb[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])


def child(stage: str, folder: Path, *more: str) -> str:
    """Run this module for one stage and return what it printed."""
    return run_module("inference.growth", "--stage", stage, "--folder", str(folder), *more)


def main(arguments: Sequence[str] | None = None) -> None:
    """Generate, run the stages, write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--stage", choices=(GENERATE, *STAGES), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.stage:
        if options.stage == GENERATE:
            make_cells(options.folder, *options.counts)
        else:
            stage_here(options.stage, options.folder)
        return
    rows = [
        "| stage | images | seconds | ms an image | peak memory, MB | pixels in memory, MB |",
        "|---|---|---|---|---|---|",
    ]
    by_stage: dict[str, list[str]] = {stage: [] for stage in STAGES}
    for count in options.counts:
        folder = Path(tempfile.mkdtemp())
        child(GENERATE, folder, "--counts", str(count))
        for stage in STAGES:
            seconds, peak = map(float, child(stage, folder).split())
            by_stage[stage].append(
                f"| {stage} | {count:,} | {seconds:.1f} | {1000 * seconds / count:.2f} "
                f"| {peak:,.0f} | {count * 96 * 96 * 3 / 1e6:,.0f} |"
            )
            print(by_stage[stage][-1], flush=True)
        shutil.rmtree(folder)
    lines = [*rows, *(row for stage in STAGES for row in by_stage[stage])]
    note = "One epoch of the preset `quick`, with validation, report and delivery; all cores."
    write_section("How each stage grows", "\n".join([*lines, "", note, "", made_on()]))


if __name__ == "__main__":
    main()
