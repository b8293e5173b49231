"""Every reader under the coverage-guided fuzzer Atheris, each for the same time.

python -m benchmarks.reliability.fuzz [--minutes 60] [--only NAME ...] [--seed 0] [--keep FOLDER]

Atheris (libFuzzer) changes sound files and keeps those that reach new branches of the Python code
of stainproof, Pillow, tomllib, zipfile and xml. A reader must return something valid or raise an
error of stainproof in one line that names the file; anything else is a fault. The minutes are
processor time of all readers together.
"""

import argparse
import resource
import shutil
import signal
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.common.page import made_on, write_section
from benchmarks.reliability.judging import MEMORY_BYTES, OUTCOMES, SECONDS

if TYPE_CHECKING:
    from benchmarks.reliability.fuzz_worker import Target

FAST_DISK = Path("/dev/shm")
"""In memory, where files are written and removed fast."""


@dataclass
class Fuzzed:
    """What became of the inputs of one reader."""

    name: str
    seconds: float = 0.0
    """Processor time."""
    counts: dict[str, int] = field(default_factory=dict)
    """Outcome -> number of inputs."""
    faults: list[str] = field(default_factory=list)
    """One line for each place of the code at fault."""


def fuzz(target: "Target", seconds: float, folder: Path, seed: int) -> Fuzzed:
    """Fuzz one reader; a process that an input ends is followed by another one."""
    from benchmarks.reliability import fuzz_worker

    result, attempt, died = Fuzzed(target.name), 0, []
    while (left := seconds - result.seconds) > 0:
        attempt += 1
        before, num = _cpu_s(), sum(result.counts.values())
        worker = get_context("fork").Process(
            target=fuzz_worker.work, args=(target, folder, left, 1000 * seed + attempt)
        )
        worker.start()
        worker.join()
        result.seconds += _cpu_s() - before
        counts = np.fromfile(folder / fuzz_worker.COUNTS, np.int64)
        result.counts = dict(zip(OUTCOMES, counts.tolist(), strict=True))
        if worker.exitcode == 0:
            break
        if sum(result.counts.values()) == num:
            raise SystemExit(f"{target.name}: the fuzzer did not start")
        what = "hang" if worker.exitcode == -signal.SIGPROF else "crash"
        died.append((what, worker.exitcode))
        suffix = Path(target.file).suffix
        shutil.copy(folder / "now" / target.file, folder / f"fault-{what}-{attempt}{suffix}")
    for what, code in died:
        result.counts[what] += 1
        result.faults.append(f"{target.name}: {what} (exit code {code})")
    if (found := folder / fuzz_worker.FOUND).exists():
        result.faults += found.read_text().splitlines()
    return result


def _cpu_s() -> float:
    """Return the processor time of all child processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def table(rows: Sequence[Fuzzed]) -> str:
    """Return the inputs by reader as a table."""
    lines = ["| reader | inputs | read | refused | minutes | faults |", "|---|---|---|---|---|---|"]
    for one in (*rows, _total(rows)):
        num = sum(one.counts.values())
        read, refused = (one.counts.get(what, 0) for what in ("read", "refused"))
        lines.append(
            f"| {one.name} | {num:,} | {read:,} | {refused:,} | {one.seconds / 60:.1f} "
            f"| {len(one.faults)} |"
        )
    return "\n".join(lines)


def _total(rows: Sequence[Fuzzed]) -> Fuzzed:
    counts = {what: sum(one.counts.get(what, 0) for one in rows) for what in OUTCOMES}
    faults = [fault for one in rows for fault in one.faults]
    return Fuzzed("all", sum(one.seconds for one in rows), counts, faults)


def main(arguments: Sequence[str] | None = None) -> None:
    """Fuzz the readers, write the table, and end with an error if there are faults."""
    if not find_spec("atheris"):
        raise SystemExit("atheris is not installed; `make fuzz` installs it and fuzzes")
    from benchmarks.reliability.fuzz_worker import TARGETS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="processor time of all readers")
    parser.add_argument("--only", nargs="+", choices=TARGETS, metavar="NAME")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the files at fault")
    options = parser.parse_args(arguments)
    names = options.only or list(TARGETS)
    rows = []
    with tempfile.TemporaryDirectory(dir=FAST_DISK if FAST_DISK.is_dir() else None) as name:
        for number, reader in enumerate(names):
            folder = Path(name) / f"{number}"
            rows.append(
                fuzz(TARGETS[reader], 60 * options.minutes / len(names), folder, options.seed)
            )
            print("\n".join([table(rows[-1:]).splitlines()[2], *rows[-1].faults]), flush=True)
            if options.keep:
                for file in folder.glob("fault-*"):
                    options.keep.mkdir(parents=True, exist_ok=True)
                    shutil.copy(file, options.keep / f"{reader.replace(' ', '-')}-{file.name}")
            shutil.rmtree(folder)
    note = (
        f"Seed {options.seed}; {SECONDS:.0f} s of processor time and {MEMORY_BYTES / 2**30:.1f} "
        "GiB for each input. `inputs`: files that were read, from the seeds on; `minutes`: "
        "processor time; `faults`: places of the code at which a "
        "reader raised another exception than stainproof's own or an error that does not name the "
        "file, returned a result that contradicts itself, crashed, or took longer or more memory."
    )
    write_section("Fuzzed readers", "\n".join([table(rows), "", note, "", made_on()]))
    if any(one.faults for one in rows):
        raise SystemExit(f"{sum(len(one.faults) for one in rows)} faults")


if __name__ == "__main__":
    main()
