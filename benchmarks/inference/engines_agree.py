"""Agreement of all engines with PyTorch on real images, and the accuracy that int8 loses.

python -m benchmarks.inference.engines_agree RUN --tests CLEAN SHIFTED

A copy of the run is quantised.
"""

import argparse
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.common.page import made_on, write_section
from stainproof import api
from stainproof.data import sources
from stainproof.inference.classifier import Classifier
from stainproof.inference.engines import EXACT, INT8
from stainproof.models.preprocessing import to_tensor
from stainproof.models.weights import load_network
from stainproof.runs.folder import RunFolder

BATCH = 64


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare, write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--tests", nargs="+", required=True)
    parser.add_argument("--calibrate", help="labelled images for 8 bits; by default the first test")
    options = parser.parse_args(arguments)
    lines = [
        "| test | images | engine | largest difference | other classes | accuracy |",
        "|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        shutil.copytree(options.run, run)
        small = api.quantise(run, options.calibrate or options.tests[0])
        engines = (*EXACT, INT8) if small.kept else EXACT
        for test in options.tests:
            lines += compare(run, test, engines)
    note = (
        "Largest difference of a probability, and images given another class, beside the trained "
        f"network in torch; run `{options.run.name}`. In 8 bits, "
        f"{'kept' if small.kept else 'not kept'}: {small.times_faster:.2f} times as fast as ONNX "
        f"Runtime in 32, accuracy on {small.num_images} images {100 * small.accuracy_int8:.2f} % "
        f"against {100 * small.accuracy:.2f} %."
    )
    write_section("Engines agree", "\n".join([*lines, "", note, "", made_on()]))


def compare(run: Path, test: str, engines: tuple[str, ...]) -> list[str]:
    """Return a line for each engine."""
    first = Classifier.load(run)
    data = sources.load(test, first.preprocessing)
    labels = data.labels_in(first.classes)
    network = load_network(RunFolder(run), first.members[0].card)
    with torch.inference_mode():
        batches = np.array_split(data.images, -(-len(data) // BATCH))
        inputs = (to_tensor(torch.from_numpy(batch), first.preprocessing) for batch in batches)
        expected = torch.cat([torch.softmax(network(x_bchw), dim=1) for x_bchw in inputs]).numpy()
    lines = []
    for name in engines:
        found = Classifier.load(run, name).predict_dataset(data)
        largest = np.abs(found - expected).max()
        others = int((found.argmax(axis=1) != expected.argmax(axis=1)).sum())
        accuracy = 100 * np.mean(found.argmax(axis=1) == labels)
        lines.append(
            f"| {data.source} | {len(data):,} | {name} | {largest:.1e} | {others} "
            f"| {accuracy:.2f} % |"
        )
    return lines


if __name__ == "__main__":
    main()
