"""Time and memory of a whole audit by the number of images (generated PNG files of 96 px).

python benchmarks/audit_growth.py [--counts 3000 10000 30000]
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from results_page import made_on, peak_memory_mb, write_section
from stainproof import pipeline


def audit_here(folder: Path) -> None:
    """Audit in this process and print seconds and peak memory."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as out:
        summary = pipeline.audit(folder, out)
    print(time.perf_counter() - began, peak_memory_mb(), sum(summary.findings.values()))


def main() -> None:
    """Generate, audit each count in a process of its own, write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[3_000, 10_000, 30_000])
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.folder:
        audit_here(options.folder)
        return
    rows = [
        "| images | pixels decoded, MB | seconds | ms an image | peak memory, MB | findings |",
        "|---|---|---|---|---|---|",
    ]
    for count in options.counts:
        with tempfile.TemporaryDirectory() as folder:
            cells = pipeline.make_phantoms(Path(folder) / "cells", count, seed=count)
            done = subprocess.run(
                [sys.executable, __file__, "--folder", str(cells)],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
        seconds, peak, findings = (float(word) for word in done.stdout.split())
        decoded = count * 96 * 96 * 3 / 1e6
        rows.append(
            f"| {count:,} | {decoded:,.0f} | {seconds:.0f} | {1000 * seconds / count:.1f} "
            f"| {peak:,.0f} | {findings:.0f} |"
        )
        print(rows[-1], flush=True)
    write_section("How an audit grows", "\n".join([*rows, "", made_on()]))


if __name__ == "__main__":
    main()
