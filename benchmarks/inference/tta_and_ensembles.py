"""Test-time augmentation, noise filters and ensembles of trained networks.

python -m benchmarks.inference.tta_and_ensembles RUN RUN RUN --tests CLEAN SHIFTED OTHER_LAB

The first run is evaluated with every TTA mode and filter, all of them as an ensemble.
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.common.page import made_on, write_section
from stainproof import api
from stainproof.config.presets import make_inference_config
from stainproof.config.schema import InferenceConfig

NUM_VIEWS = {"none": 1, "flips": 4, "d4": 8}
FILTERS = (
    ("ideal", 0.5),
    ("gaussian", 0.5),
    ("gaussian", 0.3),
    ("butterworth", 0.5),
    ("notch", 0.5),
)


def ways(runs: list[Path], folder: Path) -> Iterator[tuple[str, Path, InferenceConfig]]:
    """Give what to measure: its name, the folder that answers, how."""
    first = runs[0]
    for tta in NUM_VIEWS:
        inference = make_inference_config(tta)
        yield f"one network, {inference.describe() or 'as it is'}", first, inference
    for kind, cutoff in FILTERS:
        inference = make_inference_config("none", kind, cutoff)
        yield f"one network, {inference.describe()}", first, inference
    for voting in ("soft", "hard"):
        api.ensemble(runs, folder / voting, voting=voting)
        yield f"{len(runs)} networks, {voting} vote", folder / voting, InferenceConfig()
    yield f"{len(runs)} networks, soft vote, d4", folder / "soft", make_inference_config("d4")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure everything, write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--tests", nargs="+", required=True)
    options = parser.parse_args(arguments)
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, (what, run, inference) in enumerate(ways(options.runs, folder)):
            found = [
                api.evaluate(run, test, folder / f"{number}-{rank}", inference=inference)
                for rank, test in enumerate(options.tests)
            ]
            if not lines:
                heads = " | ".join(one.source for one in found)
                lines += [f"| model | {heads} | predictions per image |", "|---" * 5 + "|"]
            figures = " | ".join(one.accuracy.percent() for one in found)
            networks = len(options.runs) if run.parent == folder else 1
            answers = networks * NUM_VIEWS[inference.tta]
            lines.append(f"| {what} | {figures} | {answers} |")
            print(lines[-1], flush=True)
    how = (
        f"Runs {', '.join(run.name for run in options.runs)}; the first where one network answers. "
        "Accuracy with its 95 % interval (Wilson); the same images in every row, so that rows "
        f"differ by less than their intervals say. {made_on()}"
    )
    write_section("Test-time augmentation and ensembles", "\n".join([*lines, "", how]))


if __name__ == "__main__":
    main()
