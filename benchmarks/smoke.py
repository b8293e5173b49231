"""Run every benchmark in seconds on synthetic cells; nothing is published.

python -m benchmarks.smoke [MODULE ...]

Results go to a temporary folder. Tools of other environments are left out; so are the
benchmarks that consist of them.
"""

import argparse
import csv
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path

from benchmarks.common.child import ROOT

NUM_PROCESSES = 2
ELSEWHERE = ("training.step_beside_keras", "behaviour.same_as_before", "scale.overhead")
"""The first needs TensorFlow, the second the history of the repository, the third Ray."""
NEEDS = {"reliability.fuzz": "atheris"}
"""Benchmark -> package without which it is left out."""
READS_ROWS = ("augmentation.tables", "training.tables", "training.networks")
"""Tables of the published rows; the studies start without rows."""
TINY = (
    "preprocessing.size_px=32",
    "network.stem=[8,16]",
    "network.stages=[24]",
    "training.epochs=2",
    "augment.recipe=d4",
)


def prepare(folder: Path) -> None:
    """Make what the benchmarks read: cells, tables of truth, two runs, a search, rows."""
    from stainproof import api
    from stainproof.config.presets import make_config
    from stainproof.search.run import search

    api.make_phantoms(folder / "home", 400, seed=1, size_px=48)
    shifted = api.make_phantoms(folder / "ds2", 80, seed=2, size_px=48, lab="other")
    api.make_phantoms(folder / "other_lab", 80, seed=3, size_px=48, lab="other")
    api.make_phantoms(folder / "clean", 80, seed=4, size_px=48)
    names = [path.relative_to(shifted).as_posix() for path in sorted(shifted.rglob("*.png"))]
    write_table(folder / "shifted.csv", ("file", "applied"), [(name, "hue") for name in names])
    home = [
        path.relative_to(folder / "home").as_posix() for path in (folder / "home").rglob("*.png")
    ]
    shutil.copy(folder / "home" / home[0], (folder / "home" / home[0]).with_name("copy.png"))
    copy = (Path(home[0]).parent / "copy.png").as_posix()
    truth = [(name, "clean" if rank else "doctored", "") for rank, name in enumerate(home[1:])]
    truth += [(name, "clean", "1") for name in (home[0], copy)]
    write_table(folder / "home.csv", ("file", "origin", "duplicate_group"), truth)
    draw_fields(folder / "fields")
    kept = ("training.keep_every_epoch=true", "training.ema_decay=0", "split.val_fraction=0.4")
    for seed in (0, 1):
        run = folder / f"run-{seed}"
        api.train(folder / "home", run, make_config(seed=seed, assignments=(*TINY, *kept)))
        for test in ("ds2", "other_lab"):
            api.evaluate(run, folder / test)
    contest = make_config("tiny", assignments=("training.epochs=1", "augment.recipe=none"))
    api.train(folder / "home", folder / "run-96", contest)
    search(folder / "home", folder / "search", 1, 2.0, fixed=("preprocessing.size_px=32",))
    for rows in (ROOT / "benchmarks").rglob("*rows.jsonl"):
        place = folder / "out" / rows.relative_to(ROOT / "benchmarks")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(rows, place)


def draw_fields(folder: Path) -> None:
    """Draw two fields with boxes and classes."""
    import numpy as np
    from PIL import Image

    from stainproof.synthetic.fields import draw_field

    folder.mkdir()
    rows = []
    for seed in (0, 2):
        rgb, cells = draw_field(np.random.default_rng(seed), ("neutrophil", "lymphocyte"))
        Image.fromarray(rgb).save(folder / f"{seed}.png")
        rows += [(f"{seed}.png", "wbc", *map(str, one.box())) for one in cells]
        rows += [
            (f"{seed}.png", "rbc", *map(str, (x, y, x + 40, y + 40)))
            for x, y in ((60, 60), (60, 300), (300, 60), (300, 300))
        ]
    write_table(folder / "boxes.csv", ("file", "cell", "x0", "y0", "x1", "y1"), rows)
    classes = [("0.png", "neutrophil"), ("2.png", "lymphocyte")]
    write_table(folder / "fields.csv", ("file", "white_cell"), classes)


def write_table(path: Path, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write a CSV table."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])


def cases(folder: Path) -> dict[str, list[str]]:
    """Return module -> arguments with which it takes seconds."""
    names = ("home", "clean", "ds2", "other_lab")
    home, clean, shifted, other = (str(folder / name) for name in names)
    runs = [str(folder / f"run-{seed}") for seed in (0, 1)]
    tests = ["--tests", shifted, other]
    study = ["--data", home, "--tests", clean, shifted, other, "--runs", str(folder / "study"),
             "--truth", str(folder / "shifted.csv")]  # fmt: skip
    tiny = ["--set", *TINY]
    audit = ["--data", home, "--truth", str(folder / "home.csv")]
    laboratory = [runs[0], "--clean", clean, "--cache", str(folder / "features")]
    return {
        "audit.against_truth": [*audit, other],
        "audit.beside_other_tools": [*audit, "--tools", "stainproof"],
        "audit.cleaning_effect": ["--data", home, "--test", other, "--budget", "1s",
                                  "--preset", "tiny"],
        "audit.doctored": ["--repeats", "1", "--phantoms", "100", "--sizes", "20",
                           "--weights", "0.5"],
        "audit.single_overlay_methods": ["--real", home],
        "audit.near_duplicates": ["--cells", "200", "--most", "1000"],
        "augmentation.beside_other_tools": ["--repeats", "1", "--seconds", "0.1", "--images",
                                            "600", "--tools", "stainproof"],
        "augmentation.study": [*study, "--only", "screen-none", *tiny],
        "augmentation.tables": [],
        "cells.field_classes": [str(folder / "fields"), "--models", runs[0]],
        "cells.fields": [str(folder / "fields")],
        "calibration.abstention": [runs[0], "--home", clean, *tests],
        "calibration.calibration_error": [runs[0], "--home", clean, *tests, "--every", "8"],
        "calibration.interval_coverage": ["--repeats", "4"],
        "contest.submission": [str(folder / "run-96"), "--on", other, "--runtimes", "onnx",
                               "--python", sys.executable],
        "corruptions.bloodmnist_c": [runs[0], "--test", clean, "--every", "8"],
        "data.grouped_split": ["--repeats", "2"],
        "evaluation.explanations": [runs[0], "--on", other, "--images", "8"],
        "evaluation.count_intervals": [runs[0], "--tests", clean, "--differentials", "4"],
        "evaluation.grouped_intervals": ["--repeats", "10", "--deviations", "0.6"],
        "inference.beside_other_tools": ["--repeats", "1", "--seconds", "0.1", "--files", "50",
                                         "--networks", "light", "--environments", ".venv"],
        "inference.engines_agree": [runs[0], "--tests", other, "--calibrate", home],
        "inference.growth": ["--counts", "80"],
        "inference.tta_and_ensembles": [*runs, *tests],
        "models.ship": [runs[0], "stainproof-light", "--probe", other, "--fields",
                        str(folder / "fields"), "--out", str(folder / "shipped")],
        "reliability.conditions": ["--files", "40", "--repeats", "1", "--only", "two_writers"],
        "reliability.fuzz": ["--minutes", "0.05", "--only", "card", "npz", "class map"],
        "reliability.hostile_files": ["--files", "110"],
        "reliability.kills": ["--kills", "2"],
        "search.proposals": ["--seeds", "1", "--trials", "3"],
        "search.study": [str(folder / "search"), "--data", home, "--tests", clean, shifted, other,
                         "--runs", str(folder / "again"), "--minutes", "0.03"],
        "serve.hostile_files": [runs[0], "--files", "22"],
        "serve.load": [runs[0], "--clients", "1", "--seconds", "0.5"],
        **({"serve.page": [runs[0], "--cells", "60"]} if shutil.which("chromedriver") else {}),
        "shift.drift": [*laboratory, "--labs", other, "--cells", "8", "--repeats", "1",
                        "--power_repeats", "1"],
        "shift.expected_accuracy": [*laboratory, "--labs", other, "--cells", "8", "--mixes", "1"],
        "shift.few_labels": [*laboratory, "--labs", other, "--draws", "1", "--picks", "1"],
        "shift.label_free": [*laboratory, "--labs", other, "--draws", "1"],
        "shift.ood": [*laboratory, "--labs", other],
        "shift.scale_error": ["--sets", clean, "--most", "8", "--draws", "1"],
        "shift.seeds": ["--sets", other, "--ways", f"light={runs[0]}"],
        "shift.train_scale_head": ["--data", home, "--out", str(folder), "--steps", "2"],
        "shift.zero_shot": [runs[0], "--sets", other, "--most", "20", "--draws", "1"],
        "synthetic.speed": ["--images", "80", "--repeats", "1"],
        "synthetic.transfer_to_real_cells": ["--real", other, "--images", "160", "--budget", "2s"],
        "training.fine_tuning": [runs[0], "--data", home, "--test", clean, "--images", "10",
                                 "--seconds", "1", "--seeds", "0"],
        "training.networks": ["--only", "searched-20k"],
        "training.selection_criteria": ["--data", home, "--shifted", shifted, "--other", other,
                                        "--fewest", "2", *runs],
        "training.step": ["--network", "tiny", "--batch", "4", "--repeats", "1", "--steps", "1",
                          "--ways", "as trained: 16 bits, memory kept"],
        "training.study": [*study, "--only", "baseline", *tiny],
        "training.tables": [],
        "training.time_to_accuracy": ["--data", home, *tests, "--only", "stainproof",
                                      "--minutes", "0.03"],
        "training.transfer": [*study, "--only", "transfer-light-0", *tiny,
                              "training.budget_s=2"],
        "training.weight_averaging": [runs[0], "--data", home, *tests],
    }  # fmt: skip


def run(module: str, arguments: list[str]) -> None:
    """Run one benchmark in this process."""
    began, began_cpu = time.perf_counter(), _cpu_s()
    import_module(f"benchmarks.{module}").main(arguments)
    cpu_s, wall_s = _cpu_s() - began_cpu, time.perf_counter() - began
    print(f"smoke: {module} {wall_s:.1f} s, {cpu_s:.1f} s of CPU", file=sys.stderr)


def _cpu_s() -> float:
    """Return the processor time of this process and of those that it has waited for."""
    return sum(os.times()[:4])


def main() -> None:
    """Run the chosen benchmarks, two at a time; a failure ends with its traceback."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", help="such as audit.doctored; by default all")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["STAINPROOF_BENCHMARKS"] = str(folder / "out")
        (folder / "out").mkdir()
        absent = [module for module, package in NEEDS.items() if not find_spec(package)]
        chosen = {name: given for name, given in cases(folder).items() if name not in absent}
        wanted = options.modules or list(chosen)
        with ProcessPoolExecutor(NUM_PROCESSES, get_context("fork")) as pool:
            pool.submit(prepare, folder).result()

            def run_all(modules: Sequence[str]) -> None:
                futures = [pool.submit(run, module, chosen[module]) for module in modules]
                for future in futures:
                    future.result()

            run_all([module for module in wanted if module in READS_ROWS])
            for rows in (folder / "out").rglob("*rows.jsonl"):
                rows.unlink()
            run_all([module for module in wanted if module not in READS_ROWS])
    print(f"{len(wanted)} benchmarks ran in {_cpu_s():.0f} s of CPU")
    print(f"not run: {', '.join((*ELSEWHERE, *absent))}")


if __name__ == "__main__":
    main()
