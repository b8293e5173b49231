"""Thousands of damaged and hostile files for every reader of stainproof.

python -m benchmarks.reliability.hostile_files [--files 3300] [--seed 0] [--keep FOLDER]

Every file is made, read and removed in a process with limited memory and time. A reader must
return something valid or raise an error of stainproof in one line that names the file; anything
else is counted as a fault.
"""

import argparse
import os
import resource
import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from benchmarks.common.page import made_on, write_section
from benchmarks.reliability.files import MAKERS, write_hostile
from benchmarks.reliability.judging import (
    FAULTS,
    MEMORY_BYTES,
    OUTCOMES,
    SECONDS,
    Reader,
    judge,
)
from stainproof.audit import findings
from stainproof.config.presets import read_config
from stainproof.config.schema import Preprocessing, SourceConfig
from stainproof.data import npz, stream
from stainproof.data.class_map import read_class_map
from stainproof.data.decoding import decode
from stainproof.data.layout import Layout
from stainproof.data.listing import Listing, check_class_names
from stainproof.data.manifest import list_manifest
from stainproof.errors import DataError, StainproofError, in_words
from stainproof.files import check_regular
from stainproof.text import printable

PER_WORKER = 300
"""Files for each worker, because caches of the libraries grow."""
PATHS = (
    "basophil/1.png",
    "P1/basophil/x/1.png",
    "a" * 200,
    "a/" * 500 + "b.png",
    "train/x/y_1.png",
)


@dataclass(frozen=True)
class Outcome:
    """What became of one file."""

    number: int
    kind: str
    """Suffix."""
    what: str
    """One of `OUTCOMES`."""
    detail: str = ""


def read_image(path: Path) -> bool:
    """Decode an image file; return whether the result is valid."""
    rgb = decode(path).rgb
    return rgb.dtype == np.uint8 and rgb.ndim == 3 and rgb.shape[2] == 3 and rgb.size > 0


def is_valid(listing: Listing) -> bool:
    """Return whether the parts of a listing agree."""
    check_class_names("listing", listing.classes)
    pixels = listing.paths if listing.arrays is None else listing.arrays
    columns = [listing.names, pixels, *filter(None, (listing.groups, listing.parts))]
    return (
        {len(column) for column in columns} == {len(listing.labels)}
        and len(set(listing.names)) == len(listing.names)
        and bool((listing.labels >= 0).all() and (listing.labels < len(listing.classes)).all())
        and all(printable(name) == name for name in listing.names)
    )


def read_npz(path: Path) -> bool:
    """List an npz file and read its images as `predict` does."""
    listing = npz.list_npz(path, ",".join("abcdef"))
    return is_valid(listing) and len(npz.read_images_only(path)) > 0


def read_toml_files(path: Path) -> bool:
    """Read a TOML file as settings, and if that is refused as a class map."""
    try:
        read_config(path)
    except StainproofError:
        read_class_map(str(path))
    return True


def read_layout(path: Path) -> bool:
    """Use the text of a file as a layout."""
    try:
        check_regular(path, 2**20)
        content = path.read_bytes()
    except OSError as error:
        raise DataError(in_words(error)) from error
    pattern = Layout(content.decode("utf-8", "surrogateescape"))
    for one in PATHS:
        pattern.place(one)
    return True


def read_audit(path: Path) -> bool:
    """Read a table of findings."""
    found = findings.read_csv(path)
    findings.files_to_drop(found)
    findings.new_labels(found)
    return all(isinstance(one.file, str) for one in found)


READERS: dict[str, Reader] = {
    ".npz": read_npz,
    ".csv": lambda path: is_valid(list_manifest(path, SourceConfig())),
    ".parquet": lambda path: is_valid(list_manifest(path, SourceConfig())),
    ".toml": read_toml_files,
    ".audit": read_audit,
    ".layout": read_layout,
}
"""Suffix -> reader that returns whether the result is valid; all others are images."""


def feed(number: int, seed: int, folder: Path) -> Outcome:
    """Make one hostile file, read it, and return what happened; the file stays if at fault."""
    path, how = write_hostile(folder, number, seed)
    needed = "" if path.suffix in (".layout", ".audit") else path.name
    what, said = judge(path, READERS.get(path.suffix, read_image), needed)
    result = Outcome(number, path.suffix, what, f"{how}: {said}" if said else how)
    if path.suffix not in READERS and not path.is_dir():
        result = _as_stream(path, result)
    if result.what in FAULTS:
        return result
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink()
    return result


def _as_stream(path: Path, result: Outcome) -> Outcome:
    """Return a fault if `predict` would not write a printable row about the file."""
    for item in stream.read([path], Preprocessing(size_px=32), 16):
        if any(printable(text) != text for text in (item.name, item.error)):
            return Outcome(result.number, result.kind, "wrong", f"not printable: {item.name!r}")
    return result


def _work(numbers: Sequence[int], seed: int, folder: Path, pipe: Connection) -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, used + MEMORY_BYTES))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libtiff writes to stderr
    for number in numbers:
        try:
            outcome = feed(number, seed, folder)
        except Exception as error:
            outcome = Outcome(number, kind_of(number), "traceback", f"{type(error)} {error}"[:300])
        pipe.send(outcome)


def kind_of(number: int) -> str:
    """Return the suffix of the file of a number."""
    return list(MAKERS)[number % len(MAKERS)]


def run(numbers: Sequence[int], seed: int, folder: Path) -> Iterator[Outcome]:
    """Feed files in worker processes, one for some hundreds or until it crashes or hangs."""
    context = get_context("fork")
    waiting = list(numbers)
    while waiting:
        ours, theirs = context.Pipe(duplex=False)
        worker = context.Process(target=_work, args=(waiting[:PER_WORKER], seed, folder, theirs))
        worker.start()
        theirs.close()
        what = ""
        for number in waiting[:PER_WORKER]:
            try:
                if ours.poll(SECONDS):
                    yield ours.recv()
                else:
                    what = "hang"
            except EOFError:
                what = "crash"
            waiting = waiting[1:]
            if what:
                yield Outcome(number, kind_of(number), what)
                break
        worker.kill()
        worker.join()
        ours.close()


def table(outcomes: Sequence[Outcome]) -> str:
    """Return the outcomes by kind of file as a table."""
    by_kind: dict[str, Counter[str]] = defaultdict(Counter)
    for outcome in outcomes:
        by_kind[outcome.kind][outcome.what] += 1
    lines = ["| file | fed | " + " | ".join(OUTCOMES) + " |", "|---" * (len(OUTCOMES) + 2) + "|"]
    total: Counter[str] = Counter()
    for kind, counts in by_kind.items():
        total += counts
        lines.append(_line(f"`{kind}`", counts))
    return "\n".join([*lines, _line("all", total)])


def _line(name: str, counts: Counter[str]) -> str:
    cells = [f"{counts[what]:,}" for what in OUTCOMES]
    return f"| {name} | {counts.total():,} | {' | '.join(cells)} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Feed the files, write the table, and end with an error if there are faults."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=3300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the files at fault")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        outcomes = list(run(range(options.files), options.seed, Path(name)))
        faults = [one for one in outcomes if one.what in FAULTS]
        for fault in faults:
            print(fault)
        if options.keep:
            shutil.copytree(name, options.keep, dirs_exist_ok=True)
    note = (
        f"Seed {options.seed}; {SECONDS:.0f} s and {MEMORY_BYTES / 2**30:.1f} GiB for each file. "
        "`read`: the reader returned a valid result; `refused`: one line that names the file. "
        "Faults: the process died (crash), took longer (hang), another exception (traceback), a "
        "result that contradicts itself or an error that does not name the file (wrong)."
    )
    write_section("Hostile files", "\n".join([table(outcomes), "", note, "", made_on()]))
    if faults:
        raise SystemExit(f"{len(faults)} faults")


if __name__ == "__main__":
    main()
