"""A contest submission scored by the contest's own programs, beside `evaluate` on its run.

python -m benchmarks.contest.submission RUN --on LABELLED
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.common.page import made_on, write_section
from stainproof import api
from stainproof.contest.scoring import score as score_submission
from stainproof.contest.submission import submit

RUNTIMES = ("keras", "onnx")


def main(arguments: Sequence[str] | None = None) -> None:
    """Write, prove and score a submission in every runtime, write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--on", required=True)
    parser.add_argument("--runtimes", nargs="+", default=RUNTIMES, choices=RUNTIMES)
    parser.add_argument("--python", type=Path, default=Path(".venv-keras/bin/python"))
    options = parser.parse_args(arguments)
    lines = [
        "| what answers | right | of | table of confusions | zip, KB | seconds for all |",
        "|---" * 6 + "|",
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = api.evaluate(options.run, options.on, folder / "found")
        right, total = int(np.trace(found.confusion)), found.num_images
        lines.append(f"| evaluate | {right:,} | {total:,} | | | |")
        for runtime in options.runtimes:
            zipped = folder / f"{runtime}.zip"
            made = submit(options.run, zipped, runtime=runtime, python=options.python)
            score = score_submission(zipped, options.on, python=options.python)
            same = (score.classes, score.confusion) == (found.classes, found.confusion)
            lines.append(
                f"| submission, {runtime} | {np.trace(score.confusion):,} | {score.num_images:,} "
                f"| {'the same' if same else 'another'} | {made.num_bytes / 1024:,.0f} "
                f"| {score.seconds:.1f} |"
            )
    how = f"Run {options.run.name}, images {found.source}. {made_on()}"
    write_section("Submission and evaluation", "\n".join([*lines, "", how]))


if __name__ == "__main__":
    main()
