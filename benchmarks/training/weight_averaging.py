"""The averaged weights of a run's epochs beside its best epoch.

python -m benchmarks.training.weight_averaging RUN --data TRAIN --tests CLEAN SHIFTED OTHER_LAB

The run must have kept its epochs and have no EMA: row `no-average` of training/study.py.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common.page import made_on, write_section
from stainproof import api

CHOICES = {
    "threshold": "mean of all epochs with a loss under 1.1 times the lowest",
    "last": "mean of the last quarter of epochs",
    "greedy": "greedy soup of epochs",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure everything, write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("--tests", nargs="+", required=True)
    options = parser.parse_args(arguments)
    runs = {"the best epoch": options.run}
    with tempfile.TemporaryDirectory() as name:
        for choice, what in CHOICES.items():
            runs[what] = Path(name) / choice
            api.average([options.run], options.data, runs[what], choice=choice)
        lines: list[str] = []
        for what, run in runs.items():
            found = [
                api.evaluate(run, test, Path(name) / f"{what}, test {number}")
                for number, test in enumerate(options.tests)
            ]
            if not lines:
                heads = " | ".join(one.source for one in found)
                lines += [f"| what answers | {heads} |", "|---" * (1 + len(found)) + "|"]
            lines.append(f"| {what} | {' | '.join(one.accuracy.percent() for one in found)} |")
    how = f"Run {options.run.name}. Accuracy with its 95 % interval (Wilson). {made_on()}"
    write_section("Means of weights", "\n".join([*lines, "", how]))


if __name__ == "__main__":
    main()
