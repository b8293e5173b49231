"""A training step beside the same network in Keras 3.4 on TensorFlow 2.17.

.venv-keras/bin/python -m benchmarks.training.step_beside_keras [--repeats 3] [--steps 5]

Before timing, both sides must compute the same logits from the same weights.
"""

import argparse
import json
import os
import time
from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np

from benchmarks.common.child import KERAS, run_module
from benchmarks.common.page import write_section
from stainproof.config.presets import make_config
from stainproof.config.schema import Config

NUM_CLASSES = 8
TOLERANCE = 1e-4
WARM_UP = 2
SIDES = ("float32", "bfloat16", "keras")
"""Ours in the mathematics of the other side, ours as trained where that is faster, theirs."""


def keras_network(config: Config) -> Any:
    """Build a network in Keras as its authors would have, with our fresh weights."""
    from stainproof.contest.keras_network import to_keras
    from stainproof.models.network import build_network

    return to_keras(build_network(config, NUM_CLASSES), config.preprocessing.size_px)


def largest_difference(network: str) -> tuple[float, int, int]:
    """Return the largest difference of logits, and both parameter counts of the Keras network."""
    import torch

    from stainproof.contest.keras_network import to_keras
    from stainproof.models.network import build_network, num_parameters
    from stainproof.models.preprocessing import to_tensor

    config = make_config(network=network)
    ours = build_network(config, NUM_CLASSES)
    generator = torch.Generator().manual_seed(0)
    for key, value in ours.state_dict().items():
        if key.endswith(("running_mean", "bias")):
            value.copy_(0.1 * torch.randn(value.shape, generator=generator))
        elif key.endswith("running_var"):
            value.copy_(0.5 + torch.rand(value.shape, generator=generator))
    theirs = to_keras(ours.eval(), config.preprocessing.size_px)
    images = np.random.default_rng(0).integers(256, size=(8, 96, 96, 3), dtype=np.uint8)
    with torch.no_grad():
        expected = ours(to_tensor(torch.from_numpy(images), config.preprocessing)).numpy()
    found = np.asarray(theirs(images.astype(np.float32) / 255, training=False))
    trainable = sum(int(np.prod(w.shape)) for w in theirs.trainable_weights)
    assert theirs.count_params() == num_parameters(ours), "parameter counts differ"
    return float(np.abs(found - expected).max()), theirs.count_params(), trainable


def train_torch(network: str, batch: int, threads: int, steps: int, precision: Any) -> float:
    """Return our training images a second."""
    import torch
    from torch.nn import functional as F

    from stainproof.machine import keep_freed_memory
    from stainproof.models.network import build_network
    from stainproof.models.preprocessing import to_tensor
    from stainproof.training.compute import Compute
    from stainproof.training.optimizers import make_optimizer

    torch.set_num_threads(threads)
    keep_freed_memory()
    compute = Compute(threads, precision)
    config = make_config("an2dl", network=network)
    net = build_network(config, NUM_CLASSES).train()
    optimizer = make_optimizer(net, config.training)
    images, labels = _batch(batch)

    def step() -> None:
        with compute.autocast(torch.device("cpu")):
            logits = net(to_tensor(torch.from_numpy(images), config.preprocessing)).float()
        loss = F.cross_entropy(logits, torch.from_numpy(labels))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        loss.item()

    return _speed(step, batch, steps)


def train_keras(network: str, batch: int, threads: int, steps: int) -> float:
    """Return Keras's training images a second, by the graph of `fit`, traced once, without XLA.

    Not `train_on_batch`, which on TensorFlow traces its graph again at every call.
    """
    import keras
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    config = make_config("an2dl", network=network)
    net = keras_network(config)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile(optimizer=keras.optimizers.Adam(1e-3), loss=loss, jit_compile=False)
    images, labels = _batch(batch)
    data = tf.data.Dataset.from_tensors((images.astype(np.float32) / 255, labels)).repeat()
    batches = iter(data)
    net.make_train_function()
    return _speed(lambda: float(net.train_function(batches)["loss"]), batch, steps)


def _batch(batch: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    images = rng.integers(256, size=(batch, 96, 96, 3), dtype=np.uint8)
    return images, rng.integers(NUM_CLASSES, size=batch)


def _speed(step: Any, batch: int, steps: int) -> float:
    for _ in range(WARM_UP):
        step()
    began = time.perf_counter()
    for _ in range(steps):
        step()
    return steps * batch / (time.perf_counter() - began)


def measure(side: str, network: str, batch: int, threads: int, steps: int) -> float:
    """Measure one side in a fresh process."""
    case = json.dumps([network, batch, threads, steps])
    printed = run_module(
        "training.step_beside_keras", "--side", side, "--case", case,
        environment=KERAS, OMP_NUM_THREADS=str(threads),
    )  # fmt: skip
    return float(printed.split()[-1])


def compare(network: str, batch: int, threads: int, options: argparse.Namespace) -> str:
    """Measure both sides in turn and return the table's row."""
    speeds: dict[str, list[float]] = {side: [] for side in SIDES}
    for _ in range(options.repeats):
        for side in SIDES:
            speeds[side].append(measure(side, network, batch, threads, options.steps))
    cells = [f"{median(speeds[side]):.1f}" for side in SIDES]
    for ours in SIDES[:2]:
        ratios = [a / b for a, b in zip(speeds[ours], speeds["keras"], strict=True)]
        cells.append(f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    row = f"| {network} | {batch} | {threads} | {' | '.join(cells)} |"
    print(row, flush=True)
    return row


def main(arguments: Sequence[str] | None = None) -> None:
    """Prove the logits equal, measure, write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.side:
        network, *numbers = json.loads(options.case)
        batch, threads, steps = map(int, numbers)
        if options.side == "keras":
            print(train_keras(network, batch, threads, steps))
        else:
            print(train_torch(network, batch, threads, steps, options.side))
        return
    from importlib.metadata import version

    from stainproof import provenance

    proofs = []
    for network in ("an2dl", "light"):
        difference, total, trainable = largest_difference(network)
        assert difference <= TOLERANCE, f"{network}: logits differ by {difference}"
        proofs.append(
            f"{network}: {total:,} parameters ({trainable:,} trainable) on both sides, logits "
            f"differ by {difference:.1e} at most after copying weights"
        )
    cores = os.cpu_count() or 1
    cases = [
        ("an2dl", 32, 1), ("an2dl", 32, cores), ("an2dl", 128, cores),
        ("light", 64, 1), ("light", 64, cores),
    ]  # fmt: skip
    rows = [compare(*case, options) for case in cases]
    here = provenance.collect()
    write_section(
        "A training step beside Keras",
        ". ".join(proofs)
        + f".\n\nTraining images a second (forward, loss, backward, Adam), random 96 px images; "
        f"median of {options.repeats} processes a side, in turn, {options.steps} steps each after "
        f"{WARM_UP} to warm up; ratios with their range. PyTorch {here.torch} channels last, "
        f"eager; Keras {version('keras')} on TensorFlow {version('tensorflow-cpu')}, the graph of "
        "`fit`, no XLA. "
        f"{here.machine}; commit {here.commit}; {here.created}.\n\n"
        "| network | batch | threads | stainproof, float32 | stainproof, bfloat16 | Keras "
        "| ratio, float32 | ratio, bfloat16 |\n|---|---|---|---|---|---|---|---|\n"
        + "\n".join(rows),
    )


if __name__ == "__main__":
    main()
