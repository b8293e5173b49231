"""Accuracy, MACs and speed of networks from small to large.

python -m benchmarks.training.networks

Accuracy comes from the rows of training/study.py. Speed is measured here: training on one thread,
inference on all cores.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

from benchmarks.common.child import run_module
from benchmarks.common.page import OUT, made_on, write_section
from benchmarks.inference.beside_other_tools import make_run
from benchmarks.training.study import QUEUES, ROWS
from stainproof.config.presets import NETWORKS, make_config
from stainproof.config.schema import NetworkConfig
from stainproof.runs.folder import RunFolder
from stainproof.search.experiment import Experiment, Row
from stainproof.search.queue import read_rows

PICTURE = OUT.parent / "docs" / "pictures" / "networks.png"
BATCH = 64
SPEEDS = (
    "trained a second, 32 bits",
    "16 bits",
    "images/s in inference, one by one",
    f"in {BATCH}s",
)


def measure(experiment: Experiment, folder: Path) -> None:
    """Print what a network costs: products, images a second in training and answers."""
    import numpy as np
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from benchmarks.training.step import step_seconds
    from stainproof.inference.engines import batch_seconds
    from stainproof.models.weights import load_network

    run = make_run(folder / "run", experiment.config())
    card = RunFolder(run).read_card()
    network = load_network(RunFolder(run), card)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.rand(1, 3, card.preprocessing.size_px, card.preprocessing.size_px))
    steps = [
        step_seconds(card.network, BATCH, {"precision": precision, "keep": True}, 4)[0]
        for precision in ("float32", "bfloat16")
    ]
    answers = {
        size: size
        / np.median([batch_seconds(card.engine, RunFolder(run), card, size) for _ in range(5)])
        for size in (1, BATCH)
    }
    cost = {
        "mmac": counter.get_total_flops() / 2e6,
        "trained": [BATCH / seconds for seconds in steps],
        "answers": list(answers.values()),
    }
    print(json.dumps(cost))


def draw(rows: list[Row]) -> None:
    """Write the figure: accuracy on every test against parameters, a line an optimizer."""
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for number, test in enumerate(rows[0].accuracy):
        for optimizer, how in {"adamw": "--", "muon": "-"}.items():
            chosen = [row for row in rows if _optimizer_of(row) == optimizer]
            found = [row.accuracy[test] for row in chosen]
            values = [100 * one.value for one in found]
            reach = [
                [100 * (one.value - one.low) for one in found],
                [100 * (one.high - one.value) for one in found],
            ]
            sizes = [row.num_parameters for row in chosen]
            axes.errorbar(
                sizes, values, reach, ls=how, marker="o", capsize=3, color=f"C{number}",
                label=f"{test}, {optimizer}",
            )  # fmt: skip
    axes.axhline(82, color="grey", lw=1, ls=":")
    said = "the AN2DL paper's light network on its DS2, 82 %"
    axes.annotate(said, (rows[-1].num_parameters, 79.2), color="grey", ha="right")
    axes.set(xscale="log", xlabel="parameters", ylabel="accuracy, %")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right", ncols=len(rows[0].accuracy))
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURE, dpi=150)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every network in a process of its own, write the section and the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", help="rows to measure; by default all")
    parser.add_argument("--name", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    queues = ("baseline", "sizes", "searched")
    experiments = {one.name: one for queue in queues for one in QUEUES[queue]}
    experiments |= {one.name: one for one in QUEUES["optimizers"] if one.name == "muon-0.008"}
    if options.name:
        with tempfile.TemporaryDirectory() as folder:
            measure(experiments[options.name], Path(folder))
        return
    rows = [row for row in read_rows(ROWS) if row.experiment.name in experiments]
    rows = [row for row in rows if row.experiment.name in (options.only or experiments)]
    rows.sort(key=lambda row: row.num_parameters)
    tests = list(rows[0].accuracy)
    heads = [
        "preset",
        "stem, stages",
        "optimizer",
        "parameters",
        "million MACs",
        *tests,
        *SPEEDS,
    ]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in rows:
        cost = _in_child(row.experiment.name)
        network = row.experiment.config().network
        cells = (
            _preset_of(network),
            f"{list(network.stem)}, {list(network.stages)}",
            _optimizer_of(row),
            f"{row.num_parameters:,}",
            f"{cost['mmac']:.0f}",
            *(row.accuracy[test].percent() for test in tests),
            *(f"{value:,.0f}" for value in (*cost["trained"], *cost["answers"])),
        )
        lines.append(f"| {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    how = (
        f"{rows[0].num_epochs} epochs of the cleaned `ds1`, AdamW at 4e-3 or Muon at 8e-3, seed 0. "
        f"Training on one thread (batch {BATCH}, processor time), inference on all cores. "
        f"{made_on()}"
    )
    write_section("Networks from small to large", "\n".join([*lines, "", how]))
    draw(rows)


def _optimizer_of(row: Row) -> str:
    return row.experiment.config().training.optimizer


def _preset_of(network: NetworkConfig) -> str:
    alike = (name for name in NETWORKS if make_config(network=name).network == network)
    return next(alike, "")


def _in_child(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        run_module("training.networks", "--name", name).splitlines()[-1]
    )
    return found


if __name__ == "__main__":
    main()
