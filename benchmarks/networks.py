"""What a larger or smaller network costs and brings, side by side.

.venv/bin/python benchmarks/networks.py

Accuracy is that of the rows of techniques_study.py; speed is measured here, on one thread to train
and on all cores to answer. Draws accuracy against parameters too.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

from inference import make_run
from results_page import made_on, write_section
from stainproof.config.presets import NETWORKS, make_config
from stainproof.config.schema import NetworkConfig
from stainproof.runs.card import Card
from stainproof.search.experiment import Experiment, Row
from stainproof.search.queue import read_rows
from techniques_study import QUEUES, ROWS

PICTURE = Path(__file__).parents[1] / "docs" / "pictures" / "networks.png"
BATCH = 64
SPEEDS = (
    "trained a second, 32 bits",
    "16 bits",
    "answers a second, one by one",
    f"in {BATCH}s",
)


def measure(experiment: Experiment, folder: Path) -> None:
    """Print what a network costs: products, images a second in training and answers."""
    import numpy as np
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from stainproof.inference.engines import batch_seconds
    from stainproof.models.weights import load_network
    from training_step import step_seconds

    run = make_run(folder / "run", experiment.config())
    card = Card.read(run / "card.json")
    network = load_network(run, card)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.rand(1, 3, card.preprocessing.size_px, card.preprocessing.size_px))
    steps = [
        step_seconds(card.network, BATCH, {"precision": precision, "keep": True}, 4)[0]
        for precision in ("float32", "bfloat16")
    ]
    answers = {
        size: size / np.median([batch_seconds(card.engine, run, card, size) for _ in range(5)])
        for size in (1, BATCH)
    }
    cost = {
        "mmac": counter.get_total_flops() / 2e6,
        "trained": [BATCH / seconds for seconds in steps],
        "answers": list(answers.values()),
    }
    print(json.dumps(cost))


def draw(rows: list[Row]) -> None:
    """Write the figure: accuracy on every test against parameters, a line an optimiser."""
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
    said = "the report's light network on its DS2, 82 %"
    axes.annotate(said, (rows[-1].num_parameters, 79.2), color="grey", ha="right")
    axes.set(xscale="log", xlabel="parameters", ylabel="accuracy, %")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right", ncols=len(rows[0].accuracy))
    figure.savefig(PICTURE, dpi=150)


def main() -> None:
    """Measure every network in a process of its own, write the section and the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", help=argparse.SUPPRESS)
    options = parser.parse_args()
    queues = ("baseline", "sizes", "searched")
    experiments = {one.name: one for queue in queues for one in QUEUES[queue]}
    experiments |= {one.name: one for one in QUEUES["optimizers"] if one.name == "muon-0.008"}
    if options.name:
        with tempfile.TemporaryDirectory() as folder:
            measure(experiments[options.name], Path(folder))
        return
    rows = [row for row in read_rows(ROWS) if row.experiment.name in experiments]
    rows.sort(key=lambda row: row.num_parameters)
    tests = list(rows[0].accuracy)
    heads = [
        "preset",
        "stem, stages",
        "optimiser",
        "parameters",
        "million products",
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
        f"Training on one thread (batch {BATCH}, processor time), answers on all cores. {made_on()}"
    )
    write_section("Networks from small to large", "\n".join([*lines, "", how]))
    draw(rows)


def _optimizer_of(row: Row) -> str:
    return row.experiment.config().training.optimizer


def _preset_of(network: NetworkConfig) -> str:
    alike = (name for name in NETWORKS if make_config(network=name).network == network)
    return next(alike, "")


def _in_child(name: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, __file__, "--name", name],
        capture_output=True, text=True, check=True, env=os.environ,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
