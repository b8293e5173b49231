"""What a Ray cluster costs on one machine, beside the same commands without it.

.venv-ray/bin/python -m benchmarks.scale.overhead [--cells 20000] [--repeats 3]

Commands run in processes of their own, with and without `--ray local` in turn, so that both sides
see the same load and have the same priority. Ray Data predicts the same cells, for decision 31.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.common.page import made_on, write_section
from stainproof import Classifier, api
from stainproof.config.presets import make_config
from stainproof.data import stream
from stainproof.inference.classifier import BATCH_SIZE
from stainproof.machine import limit_cores, num_cores
from stainproof.scale.cluster import cluster
from stainproof.search.experiment import Experiment
from stainproof.search.queue import run_queue

SECTION = "What Ray costs"
SHORT = ("training.epochs=3", "training.threads=1", "training.precision=float32")
NUM_EMPTY = 1000


def seconds(work: Callable[[], object]) -> float:
    """Return how long a call takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def command(*words: object) -> None:
    """Run a command of stainproof in a process of its own."""
    subprocess.run([sys.executable, "-m", "stainproof", *map(str, words)], check=True)


def predict(folder: Path, cells: Path, *options: str) -> None:
    """Predict a folder of cells into a new table or folder."""
    out = folder / ("parts" if options else "table.parquet")
    shutil.rmtree(folder / "parts", ignore_errors=True)
    command("predict", folder / "run", cells, "--out", out, *options)


def train(folder: Path, *options: str) -> None:
    """Train with settings that both sides share."""
    shutil.rmtree(folder / "trained", ignore_errors=True)
    settings = [word for one in SHORT for word in ("--set", one)]
    command("train", folder / "few", "--out", folder / "trained", *settings, *options)


def queue(folder: Path, num: int, ray: str) -> None:
    """Run a queue of short trainings on one thread each."""
    runs = folder / "queue"
    shutil.rmtree(runs, ignore_errors=True)
    experiments = [
        Experiment(name=f"seed-{seed}", network="tiny", seed=seed, assignments=SHORT)
        for seed in range(num)
    ]
    cells = folder / "few"
    run_queue(experiments, cells, [cells], runs, runs / "rows.jsonl", ray=ray)


class Predictor:
    """A worker of Ray Data; it loads the model once, as `Classifier` on one core."""

    def __init__(self, run: str) -> None:
        limit_cores(1)
        self.classifier = Classifier.load(run)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Predict a batch of paths."""
        paths = [Path(path) for path in batch["path"]]
        items = list(stream.read(paths, self.classifier.preprocessing, 16))
        probs = self.classifier.predict_proba([item.rgb for item in items if item.rgb is not None])
        columns = dict(zip(self.classifier.classes, probs.T, strict=True))
        return {"name": batch["path"], **columns}


def predict_with_ray_data(folder: Path, cells: Path) -> None:
    """Predict with Ray Data; it writes Parquet files of names that it chooses."""
    import ray

    shutil.rmtree(folder / "data", ignore_errors=True)
    with cluster("local") as there:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        paths = ray.data.from_items([{"path": str(path)} for path in stream.find([str(cells)])])
        found = paths.map_batches(
            Predictor,
            fn_constructor_args=(str(folder / "run"),),
            batch_size=16 * BATCH_SIZE,
            concurrency=max(there.num_cores - 1, 1),
        )
        found.write_parquet(str(folder / "data"))


def nothing() -> None:
    """Do nothing in a worker."""


def empty_tasks() -> dict[str, float]:
    """Return seconds of start, first task and a thousand empty tasks, and memory in MB."""
    began = time.perf_counter()
    with cluster("local") as there:
        opened = time.perf_counter()
        list(there.run([nothing]))
        first = time.perf_counter()
        list(there.run(nothing for _ in range(NUM_EMPTY)))
        ended = time.perf_counter()
        memory = ray_memory_mb()
    return {
        "start": opened - began,
        "first task": first - opened,
        "ms a task": 1000 * (ended - first) / NUM_EMPTY,
        **memory,
    }


def ray_memory_mb() -> dict[str, float]:
    """Return the proportional memory of Ray's own processes and of its workers below this one."""
    found = {"own": 0.0, "workers": 0.0}
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parents[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
    for process in parents:
        above = process
        while above > 1 and above != os.getpid():
            above = parents.get(above, 0)
        if above == os.getpid() and process != above:
            with suppress(OSError):
                title = Path(f"/proc/{process}/cmdline").read_bytes()
                lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
                kb = next(float(line.split()[1]) for line in lines if line.startswith("Pss:"))
                found["workers" if title.startswith(b"ray::") else "own"] += kb / 1024
    return found


def compare(
    sides: dict[str, tuple[Callable[[], object], Callable[[], object]]], repeats: int
) -> list[str]:
    """Return table lines with the median times of both sides of each work, measured in turn."""
    lines = []
    for what, (plain, with_ray) in sides.items():
        pairs = [(seconds(plain), seconds(with_ray)) for _ in range(repeats)]
        one, two = (statistics.median(times) for times in zip(*pairs, strict=True))
        ratios = [with_ray / plain for plain, with_ray in pairs]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        lines.append(f"| {what} | {one:.1f} | {two:.1f} | {two / one:.2f} | {spread} |")
        print(lines[-1], flush=True)
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the cells and a run, measure, write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=20_000)
    parser.add_argument("--trainings", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args(arguments)
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112  # as the plain commands have
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        many = api.make_phantoms(folder / "many", options.cells, seed=1, size_px=96)
        few = api.make_phantoms(folder / "few", max(options.cells // 20, 80), seed=2, size_px=96)
        api.train(few, folder / "run", make_config(assignments=("training.epochs=1",)))
        num = options.trainings
        lines = compare(
            {
                f"predict {options.cells // 20:,} cells": (
                    partial(predict, folder, few),
                    partial(predict, folder, few, "--ray", "local"),
                ),
                f"predict {options.cells:,} cells": (
                    partial(predict, folder, many),
                    partial(predict, folder, many, "--ray", "local"),
                ),
                f"predict {options.cells:,} cells, Ray Data": (
                    partial(predict, folder, many),
                    partial(predict_with_ray_data, folder, many),
                ),
                f"{num} trainings of a queue": (
                    partial(queue, folder, num, ""),
                    partial(queue, folder, num, "local"),
                ),
                "one training, two processes": (
                    partial(train, folder),
                    partial(train, folder, "--ray", "local", "--workers", str(min(2, num_cores()))),
                ),
            },
            options.repeats,
        )
        own = empty_tasks()
    parts = (
        f"Seconds of whole commands on {num_cores()} cores, medians of {options.repeats}, both",
        f"sides in turn; load average at the end {os.getloadavg()[1]:.0f}. Network `light`, 96 px,",
        "for predictions and for the training of two processes, `tiny` for the queue, whose",
        "trainings use one thread each.",
    )
    costs = (
        f"Starting a cluster on this machine: {own['start']:.1f} s, the first task",
        f"{own['first task']:.1f} s, then {own['ms a task']:.1f} ms for each empty task. Memory:",
        f"{own['own']:.0f} MB for Ray's own processes, {own['workers']:.0f} MB for its agents and",
        "idle workers.",
    )
    table = (
        "| work | without | with Ray | ratio | range of ratios |",
        "|---|---|---|---|---|",
        *lines,
    )
    text = (" ".join(parts), "", *table, "", " ".join(costs), "", made_on())
    write_section(SECTION, "\n".join(text))


if __name__ == "__main__":
    main()
