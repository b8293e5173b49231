"""Adverse conditions: full disks, two writers, stopped processes, clock steps, umask, many files.

python -m benchmarks.reliability.conditions [--files 100000] [--repeats 5] [--only two_writers]

Every condition is tried with commands in processes of their own. A try is good if the command ends
with exit code 0 and the right results, or with exit code 2 and one line, and leaves whole files
only. Full disks and read-only folders need root, to mount a small file system.
"""

import argparse
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.common.page import made_on, write_section
from benchmarks.reliability.commands import content_of, visible_files
from stainproof import api

TINY = (
    "--set", "preprocessing.size_px=32", "--set", "network.stem=[8]", "--set",
    "network.stages=[16]", "--set", "network.blocks=1", "--set", "augment.recipe=d4", "--set",
    "training.batch_size=16", "--set", "training.threads=1", "--set", "training.precision=float32",
)  # fmt: skip
TIMEOUT_S = 300
FULL_DISKS_KB = (20, 60, 150, 300)
CLOCK = (
    "import time; real = time.time; began = time.monotonic(); "
    "time.time = lambda: real() + (-86400.0 if time.monotonic() - began > 1.5 else 86400.0); "
    "from stainproof.cli import main; main()"
)
"""A clock that is a day ahead and steps back two days while the command runs."""


@dataclass
class Tally:
    """What was tried under one condition."""

    condition: str
    num_tries: int = 0
    faults: list[str] = field(default_factory=list)

    def judge(self, done: "subprocess.CompletedProcess[str] | None", place: Path) -> None:
        """Count a try and what is wrong with it."""
        self.num_tries += 1
        if done is None:
            self.faults.append("hung")
            return
        lines = [line for line in done.stderr.splitlines() if line.startswith("stainproof: ")]
        if done.returncode not in (0, 2) or "Traceback" in done.stderr:
            self.faults.append(f"exit code {done.returncode}: {done.stderr[-200:]}")
        elif done.returncode == 2 and len(lines) != 1:
            self.faults.append(f"{len(lines)} lines: {done.stderr[-200:]}")
        for path in visible_files(place):
            try:
                content_of(path)
            except Exception as error:
                self.faults.append(f"{path.name}: {type(error).__name__}")


def start(*words: str | Path, code: str = "", umask: int = -1) -> "subprocess.Popen[str]":
    """Start a command of stainproof in a process of its own."""
    how = ["-c", code] if code else ["-m", "stainproof"]
    return subprocess.Popen(
        [sys.executable, *how, *map(str, words)], text=True, umask=umask,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "NO_COLOR": "1"},
    )  # fmt: skip


def end(
    process: "subprocess.Popen[str]", timeout_s: float = TIMEOUT_S
) -> "subprocess.CompletedProcess[str] | None":
    """Wait for a command; None if it does not end in time."""
    try:
        out, err = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return None
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[Path]:
    """Mount a temporary file system on a folder."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
        folder.rmdir()


def commands_into(inputs: Path, out: Path) -> list[list[str | Path]]:
    """Return commands that write into a folder."""
    cells, run = inputs / "cells", inputs / "run"
    return [
        ["train", cells, "--out", out / "run", "--set", "training.epochs=2", *TINY],
        ["evaluate", run, cells, "--out", out / "evaluation"],
        ["predict", run, cells, "--out", out / "table.csv"],
        ["audit", cells, "--out", out / "audit"],
        ["clean", cells, "--audit", inputs / "audit", "--out", out / "clean"],
        ["phantom", "--out", out / "cells", "--n", "40", "--size", "32"],
    ]


def full_disks(inputs: Path, folder: Path, repeats: int) -> Tally:
    """Write to file systems that are too small."""
    tally = Tally("full disk")
    for size_kb in FULL_DISKS_KB:
        for number in range(len(commands_into(inputs, folder))):
            with mounted(folder / "small", f"size={size_kb}k") as small:
                tally.judge(end(start(*commands_into(inputs, small)[number])), small)
    return tally


def read_only_folders(inputs: Path, folder: Path, repeats: int) -> Tally:
    """Write to a read-only file system."""
    tally = Tally("read-only folder")
    for number in range(len(commands_into(inputs, folder))):
        with mounted(folder / "fixed", "ro") as fixed:
            done = end(start(*commands_into(inputs, fixed)[number]))
            tally.judge(done, fixed)
            if done and done.returncode != 2:
                tally.faults.append("not refused")
    return tally


def two_writers(inputs: Path, folder: Path, repeats: int) -> Tally:
    """Train twice into one folder at the same time: one run is whole, the other is refused."""
    tally = Tally("two trainings in one folder")
    for number in range(repeats):
        place = folder / f"both-{number}"
        words: list[str | Path] = ["train", inputs / "cells", "--out", place / "run", *TINY]
        both = [start(*words, "--set", "training.epochs=6") for _ in range(2)]
        ended = [end(one) for one in both]
        for done in ended:
            tally.judge(done, place)
        codes = sorted(done.returncode for done in ended if done)
        if codes != [0, 2] or end(start("verify", place / "run")).returncode:  # type: ignore[union-attr]
            tally.faults.append(f"exit codes {codes}")
    return tally


def stopped_processes(inputs: Path, folder: Path, repeats: int) -> Tally:
    """Stop a training with SIGSTOP for a while: the weights are those of an undisturbed one."""
    return _same_weights("SIGSTOP and SIGCONT", inputs, folder, repeats, _stop_and_continue)


def clock_steps(inputs: Path, folder: Path, repeats: int) -> Tally:
    """Train while the clock steps back by two days."""
    return _same_weights("clock steps by two days", inputs, folder, repeats, lambda process: None,
                         code=CLOCK)  # fmt: skip


def _stop_and_continue(process: "subprocess.Popen[str]") -> None:
    time.sleep(2.5)
    for number in (signal.SIGSTOP, signal.SIGCONT) * 2:
        if process.poll() is None:
            process.send_signal(number)
            time.sleep(0.5)


def _same_weights(
    condition: str,
    inputs: Path,
    folder: Path,
    repeats: int,
    disturb: Callable[["subprocess.Popen[str]"], None],
    code: str = "",
) -> Tally:
    """Train under a condition; compare the weights with those of the undisturbed run."""
    tally = Tally(condition)
    expected = content_of(inputs / "run" / "best.safetensors")
    for number in range(repeats):
        place = folder / f"disturbed-{number}"
        process = start(
            "train", inputs / "cells", "--out", place / "run", "--set", "training.epochs=3", *TINY,
            code=code,
        )  # fmt: skip
        disturb(process)
        tally.judge(end(process), place)
        weights = place / "run" / "best.safetensors"
        if not weights.exists() or content_of(weights) != expected:
            tally.faults.append("other weights")
        shutil.rmtree(place, ignore_errors=True)
    return tally


def umasks(inputs: Path, folder: Path, repeats: int) -> Tally:
    """Write under umask 077: nobody else may read the results."""
    tally = Tally("umask 077")
    for number, _ in enumerate(commands_into(inputs, folder)):
        place = folder / f"private-{number}"
        place.mkdir()
        tally.judge(end(start(*commands_into(inputs, place)[number], umask=0o077)), place)
        wide = [path for path in place.rglob("*") if stat.S_IMODE(path.stat().st_mode) & 0o077]
        tally.faults += [f"{path.name}: {oct(path.stat().st_mode)}" for path in wide]
    return tally


def many_files(inputs: Path, folder: Path, num_files: int) -> Tally:
    """Predict a folder of many files: one row for each, in bounded memory."""
    tally = Tally(f"{num_files:,} files")
    pictures = sorted((inputs / "cells").rglob("*.png"))
    many = folder / "many"
    for number in range(num_files):
        place = many / f"{number // 1000:04d}" / f"{number:07d}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        os.link(pictures[number % len(pictures)], place)
    process = start("predict", inputs / "run", many, "--out", folder / "many.csv")
    tally.judge(end(process, 1800), folder / "nothing")
    rows = sum(1 for _ in (folder / "many.csv").open()) - 1
    if rows != num_files:
        tally.faults.append(f"{rows} rows")
    shutil.rmtree(many)
    return tally


def prepare(inputs: Path) -> None:
    """Make cells, their audit, and a run to compare with."""
    api.make_phantoms(inputs / "cells", 64, seed=1, size_px=32)
    api.audit(inputs / "cells", inputs / "audit")
    done = end(start(
        "train", inputs / "cells", "--out", inputs / "run", "--set", "training.epochs=3", *TINY
    ))  # fmt: skip
    assert done and done.returncode == 0, done


def main(arguments: Sequence[str] | None = None) -> None:
    """Try every condition and write the section of the results page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", nargs="+", help="names of conditions, such as two_writers")
    options = parser.parse_args(arguments)
    conditions = [two_writers, stopped_processes, clock_steps, umasks]
    if os.geteuid() == 0 and shutil.which("mount"):
        conditions += [full_disks, read_only_folders]
    if options.only:
        conditions = [one for one in conditions if one.__name__ in options.only]
    tallies = []
    with tempfile.TemporaryDirectory() as name:
        inputs, folder = Path(name) / "inputs", Path(name) / "places"
        folder.mkdir()
        prepare(inputs)
        for condition in conditions:
            tallies.append(condition(inputs, folder, options.repeats))
            print(tallies[-1], flush=True)
        tallies.append(many_files(inputs, folder, options.files))
    rows = [f"| {one.condition} | {one.num_tries} | {len(one.faults)} |" for one in tallies]
    text = (
        "Commands under adverse conditions. A fault is another exit code than 0 or 2, a traceback, "
        "more than one line, a file cut short, a command that hangs, or another result than "
        "without the condition."
    )
    head = ("| condition | tries | faults |", "|---|---|---|")
    faults = [f"- {one.condition}: {fault}" for one in tallies for fault in one.faults[:3]]
    write_section("conditions", "\n".join((text, "", *head, *rows, "", *faults, made_on())))


if __name__ == "__main__":
    main()
