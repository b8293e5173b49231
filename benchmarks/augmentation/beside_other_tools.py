"""Augmentation speed beside other tools, operation by operation, and its share of a training.

python -m benchmarks.augmentation.beside_other_tools [--repeats 3] [--seconds 6]

Every tool runs in a process of its own on the same synthetic cells.
"""

import argparse
import contextlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.augmentation.tools import BATCH, OURS, TOOLS, Recipe, Tool
from benchmarks.common.child import run_module
from benchmarks.common.page import made_on, write_section

WARM_UP = 8
"""Batches before the clock starts."""
STEPS = 8
"""Training steps that are timed at once."""
OPERATED = 512
"""Images that every operation is timed on at once."""
IMAGE_OPERATIONS = 4096
"""Draws after which every made-up picture has been made."""


def work(tool: Tool, case: dict[str, Any]) -> dict[str, Any]:
    """Measure one tool in this process."""
    from importlib.metadata import version

    with contextlib.suppress(ImportError):
        import cv2

        cv2.setNumThreads(1)
    if "torch" in tool.packages:
        import torch

        torch.set_num_threads(case["threads"])
    side = tool.begin(np.load(case["images"]), Recipe(case["draws"]), case["threads"])
    for _ in range(WARM_UP):
        assert len(next(side.batches)) == BATCH, "a batch of another size"
    num, began = 0, time.perf_counter()
    while (passed := time.perf_counter() - began) < case["seconds"]:
        num += sum(len(next(side.batches)) for _ in range(side.unit))
    versions = ", ".join(f"{name} {version(name)}" for name in tool.packages)
    return {"speed": num / passed, "operations": side.operations, "versions": versions}


def measure(name: str, case: dict[str, Any]) -> dict[str, Any]:
    """Measure one tool in a fresh process of its own environment."""
    printed = run_module(
        "augmentation.beside_other_tools", "--worker", name, "--case", json.dumps(case),
        environment=TOOLS[name].environment, OMP_NUM_THREADS=str(case["threads"]),
    )  # fmt: skip
    result: dict[str, Any] = json.loads(printed.splitlines()[-1])
    print(f"{name}, {case['threads']} threads: {result['speed']:,.0f} a second", flush=True)
    return result


@dataclass
class Row:
    """What one tool gave, repeat by repeat."""

    speeds: list[float]
    ratios: list[float]
    """Of our whole recipe's speed to it."""
    same: list[float]
    """Of our speed with its operations alone to it."""
    operations: list[str]
    versions: str


def compare(images: Path, draws: Any, threads: int, options: argparse.Namespace) -> dict[str, Row]:
    """Measure every tool, and ours with each tool's operations, in turn."""
    case = {"images": str(images), "threads": threads, "seconds": options.seconds}
    rows: dict[str, Row] = {}
    for _ in range(options.repeats):
        ours = 0.0
        for name in options.tools:
            if name == OURS[1] and threads == 1:
                continue
            found = measure(name, {**case, "draws": draws})
            speed = found["speed"]
            row = rows.setdefault(name, Row([], [], [], found["operations"], found["versions"]))
            row.speeds.append(speed)
            ours = ours or speed
            row.ratios.append(ours / speed)
            if name not in OURS:
                fewer = {one: draws[one] for one in found["operations"]}
                row.same.append(measure(OURS[0], {**case, "draws": fewer})["speed"] / speed)
    return rows


def beside_other_tools(images: Path, draws: Any, options: argparse.Namespace) -> str:
    """Return the tools' table and what each of them left out."""
    cores = os.cpu_count() or 1
    lines = [
        "| tool | operations | gives | threads | images a second | our whole recipe, times as fast "
        "| with its operations alone |",
        "|---|---|---|---|---|---|---|",
    ]
    rows: dict[str, Row] = {}
    for threads in sorted({1, cores}):
        rows = compare(images, draws, threads, options)
        lines += [
            f"| {name} | {len(row.operations)} of {len(draws)} | {TOOLS[name].gives} | {threads} "
            f"| {spread(row.speeds)} | {spread(row.ratios, 2)} "
            f"| {spread(row.same, 2) if row.same else ''} |"
            for name, row in rows.items()
        ]
    lines.append("")
    for name, row in rows.items():
        missing = ", ".join(one for one in draws if one not in row.operations)
        lines.append(f"- {name}: {row.versions}" + (f"; without {missing}." if missing else "."))
    return "\n".join(lines)


def spread(values: list[float], digits: int = 0) -> str:
    """Write the median and the range."""
    middle, low, high = (f"{v:,.{digits}f}" for v in (median(values), min(values), max(values)))
    return f"{middle} ({low} to {high})"


def share_of_training(images: Any, repeats: int) -> str:
    """Return what augmentation takes of a training's processor time, in words."""
    from benchmarks.training.step import WAYS, begin
    from stainproof.config.presets import make_config

    config = make_config("light")
    (as_trained, *_) = WAYS.values()
    step = begin(config.network, BATCH, as_trained)
    for _ in range(3):
        step()
    change = _one_epoch(images, "stainproof")
    steps, changes, shares = [], [], []
    for _ in range(repeats):
        step_s = processor_s(step, STEPS) / (STEPS * BATCH)
        change_s = processor_s(change) / len(images)
        steps.append(1 / step_s)
        changes.append(1 / change_s)
        shares.append(100 * change_s / (change_s + step_s))
    return (
        f"Share of a training's processor time: {spread(shares, 1)} %. Light network, batches of "
        f"{BATCH}: a step as in training (16 bits, {config.training.optimizer}) does "
        f"{spread(steps)} images a second of processor time, augmentation {spread(changes)}."
    )


def _one_epoch(images: Any, recipe: str) -> Callable[[], None]:
    """Return what changes every image once, for one epoch after another."""
    from stainproof.augment.augmenter import Augmenter
    from stainproof.config.presets import make_config

    settings = make_config("light", assignments=(f"augment.recipe={recipe}",)).augment
    augmenter, epochs = Augmenter(images, settings, 0), count()
    samples = np.arange(len(images))

    def change() -> None:
        epoch = next(epochs)
        for start in range(0, len(samples), BATCH):
            augmenter.batch(samples[start : start + BATCH], epoch)

    return change


def processor_s(do: Callable[[], None], times: int = 1) -> float:
    """Return the processor time of doing something so often."""
    began = time.process_time()
    for _ in range(times):
        do()
    return time.process_time() - began


def by_recipe(images: Any, repeats: int) -> str:
    """Return the recipes' table."""
    from stainproof.config.recipes import RECIPES

    changes = {name: _one_epoch(images, name) for name in RECIPES}
    speeds: dict[str, list[float]] = {name: [] for name in RECIPES}
    for _ in range(repeats):
        for name, change in changes.items():
            speeds[name].append(len(images) / processor_s(change))
    lines = [f"| {name} | {spread(found)} |" for name, found in speeds.items()]
    return "\n".join(["| recipe | images a second |", "|---|---|", *lines])


def by_operation(images: Any, draws: Any, repeats: int) -> str:
    """Return the operations' table."""
    from stainproof.augment.operations import apply
    from stainproof.augment.overlays import OverlaySource
    from stainproof.config.recipes import FAMILIES, RANGES

    family = {name: group for group, names in FAMILIES.items() for name in names}
    pictures, rng = OverlaySource(images, "", 0), np.random.default_rng(0)
    for _ in range(IMAGE_OPERATIONS):
        pictures.sample(rng, 0)

    def change(name: str, magnitudes: list[float]) -> None:
        for image, magnitude in zip(images, magnitudes, strict=False):
            apply(image, [(name, magnitude)], rng, pictures)

    times: dict[str, list[float]] = {name: [] for name in RANGES}
    for _ in range(repeats):
        for name, ends in RANGES.items():
            magnitudes = rng.uniform(*ends, OPERATED).tolist()
            change(name, magnitudes[:WARM_UP])
            began = time.process_time()
            change(name, magnitudes)
            times[name].append(1e6 * (time.process_time() - began) / OPERATED)
    lines = ["| operation | family | magnitudes | share of images in `stainproof` | µs an image |"]
    lines.append("|---|---|---|---|---|")
    for name, (low, high) in RANGES.items():
        share = draws[name]["probability"] if name in draws else 0
        lines.append(
            f"| {name} | {family[name]} | {low:g} to {high:g} | {100 * share:.0f} % "
            f"| {spread(times[name])} |"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure all of it; write the sections."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each measurement, at least")
    parser.add_argument("--images", type=int, default=10_000, help="in an epoch")
    parser.add_argument("--tools", nargs="+", default=list(TOOLS), choices=list(TOOLS))
    parser.add_argument("--worker", choices=list(TOOLS), help=argparse.SUPPRESS)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.worker:
        print("\n" + json.dumps(work(TOOLS[options.worker], json.loads(options.case))))
        return
    import cv2
    import torch

    from stainproof.config.presets import make_config
    from stainproof.synthetic import phantoms

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    images, _ = phantoms.generate(options.images, seed=1)
    given = make_config("light").augment.operations
    draws = {name: draw.model_dump() for name, draw in given.items() if draw.probability}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "images.npy"
        np.save(file, images)
        tools = beside_other_tools(file, draws, options)
    write_section(
        "Augmentation beside other tools",
        f"The recipe `stainproof` on {options.images:,} generated cells of 96 px, uint8 in memory, "
        f"and the same in other tools: each operation of ours that a tool has itself, as often, "
        f"over the nearest range, in the same order; median and range of {options.repeats} "
        f"processes a tool, in turn, at least {options.seconds:g} s each after {WARM_UP} batches "
        f"of {BATCH}. Ours makes its foreign pictures anew every epoch, within the time, lets the "
        "operations of a family come together (fewer passes for the same shares), and draws the "
        "border and sometimes the order; the others have one border and one order. "
        "Albumentations and torchvision change image after image, on all cores in the processes "
        "of a DataLoader; Kornia and Keras change float batches in their own threads, Keras in a "
        "tf.data map, each layer only the images that drew it. What mixes labels is no operation "
        f"here.\n\n{tools}\n\n{made_on()}",
    )
    write_section(
        "Augmentation by operation and recipe",
        f"{share_of_training(images, options.repeats)} One thread; median and range of "
        f"{options.repeats}, in turn; processor time throughout.\n\n"
        f"An operation alone, on {OPERATED} images, magnitudes drawn from its range, foreign "
        f"pictures ready:\n\n"
        f"{by_operation(images, draws, options.repeats)}\n\n"
        f"A whole epoch of {options.images:,} images, foreign pictures made within it:\n\n"
        f"{by_recipe(images, options.repeats)}\n\n{made_on()}",
    )


if __name__ == "__main__":
    main()
