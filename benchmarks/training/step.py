"""Time of a training step by precision and allocator, and where it goes.

python -m benchmarks.training.step [--network light] [--batch 64]

Every way runs in a process of its own on one thread; its time is processor time.
"""

import argparse
import json
import math
import time
from collections import defaultdict
from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.common.child import run_module
from benchmarks.common.page import made_on, write_section

if TYPE_CHECKING:
    from stainproof.config.schema import NetworkConfig

WAYS: dict[str, dict[str, Any]] = {
    "as trained: 16 bits, memory kept": {"precision": "bfloat16", "keep": True},
    "32 bits, memory kept": {"precision": "float32", "keep": True},
    "32 bits, memory handed back": {"precision": "float32", "keep": False},
    "32 bits, memory kept, torch.compile": {"precision": "float32", "keep": True, "compiled": True},
}
SHOWN = 14


def begin(network: "NetworkConfig", batch: int, way: dict[str, Any]) -> Any:
    """Return a function that takes one step."""
    import torch
    from torch.nn import functional as F

    from stainproof.config.presets import make_config
    from stainproof.machine import keep_freed_memory
    from stainproof.models.network import build_network
    from stainproof.training.compute import Compute
    from stainproof.training.optimizers import make_optimizer

    torch.set_num_threads(1)
    if way["keep"]:
        keep_freed_memory()
    config = make_config().model_copy(update={"network": network})
    net = build_network(config, 8).train()
    forward = torch.compile(net) if way.get("compiled") else net
    optimizer = make_optimizer(net, config.training)
    images = torch.rand(batch, 3, 96, 96).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 8, (batch,))
    compute = Compute(1, way["precision"])

    def step() -> None:
        with compute.autocast(images.device):
            logits = forward(images).float()
        loss = F.cross_entropy(logits, labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


def step_seconds(
    network: "NetworkConfig", batch: int, way: dict[str, Any], steps: int
) -> tuple[float, float]:
    """Return the median step's processor time and the time before the third one, in seconds."""
    began = time.perf_counter()
    step = begin(network, batch, way)
    step()
    step()
    before = time.perf_counter() - began
    times = []
    for _ in range(steps):
        began = time.process_time()
        step()
        times.append(time.process_time() - began)
    return median(times), before


def roofline(network: "NetworkConfig", batch: int, precision: str) -> None:
    """Print what each kind of operation takes, computes and moves in a step."""
    from torch.profiler import ProfilerActivity, profile

    step = begin(network, batch, {"precision": precision, "keep": True})
    for _ in range(3):
        step()
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as seen:
        for _ in range(5):
            step()
    parts: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0, 0.0])
    width = 2 if precision == "bfloat16" else 4
    for event in seen.key_averages(group_by_input_shape=True):
        shapes = [shape for shape in event.input_shapes if shape]
        what, products = describe(event.key.removeprefix("aten::"), shapes)
        moved = width * sum(map(math.prod, shapes))
        added = (event.self_cpu_time_total / 1e6, *(event.count * n for n in (products, moved, 1)))
        parts[what] = [had + more for had, more in zip(parts[what], added, strict=True)]
    print(json.dumps({what: [value / 5 for value in values] for what, values in parts.items()}))


def describe(operation: str, shapes: list[list[int]]) -> tuple[str, int]:
    """Return an operation with its size, and the floating-point operations of a convolution.

    The first layer needs no gradient of its input, so its way back costs as much as its way there;
    every other one's costs twice as much.
    """
    if not shapes or len(shapes[0]) != 4:
        return operation, 0
    batch, channels, height, width = shapes[0]
    what = f"{operation} {channels} x {height} x {width}"
    if operation == "mkldnn_convolution":
        kernel, ways = shapes[1], 1
        what += f" to {kernel[0]}, {kernel[2]} x {kernel[3]}"
    elif operation == "convolution_backward":
        kernel, ways = shapes[2], 1 if shapes[2][1] == 3 else 2
        what += f" from {kernel[1]}, {kernel[2]} x {kernel[3]}"
    else:
        return what, 0
    return what, 2 * ways * batch * height * width * math.prod(kernel)


def child(*arguments: str) -> Any:
    """Run this module in a fresh process and parse the last line of JSON that it printed."""
    printed = run_module(
        "training.step", *arguments, OMP_NUM_THREADS="1", TORCHINDUCTOR_FORCE_DISABLE_CACHES="1"
    )
    return json.loads(next(line for line in reversed(printed.splitlines()) if line[:1] in "[{"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure both tables, write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default="light")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--roofline", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.way or options.roofline:
        from stainproof.config.presets import make_config

        network = make_config(network=options.network).network
        if options.roofline:
            roofline(network, options.batch, options.roofline)
            return
        way = WAYS[options.way]
        print(json.dumps(step_seconds(network, options.batch, way, options.steps)))
        return
    same = ("--network", options.network, "--batch", str(options.batch))
    found: dict[str, list[list[float]]] = {name: [] for name in options.ways}
    for _ in range(options.repeats):
        for name in options.ways:
            found[name].append(child("--way", name, "--steps", str(options.steps), *same))
            print(name, found[name][-1], flush=True)
    first = next(iter(found.values()))
    lines = [
        "| way | ms a step | as trained is, times as fast | seconds before the third step |",
        "|---|---|---|---|",
    ]
    for name, runs in found.items():
        ratios = [run[0] / best[0] for run, best in zip(runs, first, strict=True)]
        lines.append(
            f"| {name} | {1000 * median(run[0] for run in runs):.0f} | {median(ratios):.2f} "
            f"({min(ratios):.2f} to {max(ratios):.2f}) | {median(run[1] for run in runs):.1f} |"
        )
    lines += ["", "Where the time of a step goes (shapes without the batch):", ""]
    lines += [
        "| operation | 32 bits: ms | calls | GFLOP/s | GB/s | 16 bits: ms | GFLOP/s | GB/s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    exact, mixed = (child("--roofline", way, *same) for way in ("float32", "bfloat16"))
    for key in sorted(exact, key=lambda key: -exact[key][0])[:SHOWN]:
        there = _cells(mixed[key]) if key in mixed else "| | | "
        lines.append(f"| {key} {_cells(exact[key], calls=True)}{there}|")
    rest = [
        1000 * sum(sorted((v[0] for v in side.values()), reverse=True)[SHOWN:])
        for side in (exact, mixed)
    ]
    lines.append(f"| the rest | {rest[0]:.1f} | | | | {rest[1]:.1f} | | |")
    note = (
        f"Network `{options.network}`, batch {options.batch}, one thread, median of "
        f"{options.repeats} processes of {options.steps} steps; forward, loss, backward, Muon. "
        "Bytes are those of an operation's inputs, at the width it computes in."
    )
    write_section("A training step", "\n".join([*lines, "", note, "", made_on()]))


def _cells(values: list[float], *, calls: bool = False) -> str:
    seconds, products, moved, count = values
    speed = f"{products / seconds / 1e9:.0f}" if products else ""
    number = f"| {count:.0f} " if calls else ""
    return f"| {1000 * seconds:.1f} {number}| {speed} | {moved / seconds / 1e9:.0f} "


if __name__ == "__main__":
    main()
