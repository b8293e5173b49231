"""One reader under the fuzzer Atheris, in a forked process with limits; started by `fuzz`.

Importing this module imports the readers so that Atheris sees which branches an input reaches.
"""

import os
import resource
import signal
import time
from pathlib import Path
from random import Random

import atheris

with atheris.instrument_imports(
    include=["stainproof", "PIL", "tomllib", "xml", "zipfile"], enable_loader_override=False
):
    import numpy as np
    from PIL import (  # noqa: F401  (or Pillow imports them at first use, not instrumented)
        BmpImagePlugin,
        JpegImagePlugin,
        MpoImagePlugin,
        PngImagePlugin,
        WebPImagePlugin,
    )

    from benchmarks.reliability.fuzz_targets import TARGETS, Target
    from benchmarks.reliability.judging import FAULTS, MEMORY_BYTES, OUTCOMES, SECONDS, judge

__all__ = ["COUNTS", "FOUND", "TARGETS", "Target", "work"]

MAX_SIZE = 60_000
"""Largest input in bytes."""
COUNTS = "counts"
"""Numbers of inputs by outcome, int64; a process that dies loses none."""
FOUND = "faults.txt"
"""One line for each fault."""


def work(target: Target, folder: Path, seconds: float, seed: int) -> None:
    """Fuzz one reader for so many seconds of processor time; the process ends here.

    If a reader crashes or hangs, the process dies and leaves the input in `folder/now`.

    Args:
        target: The reader.
        folder: Gets the corpus, the numbers of inputs, the faults and the inputs at fault.
        seconds: When to end.
        seed: Seed of libFuzzer.
    """
    path = folder / "now" / target.file
    corpus = folder / "corpus"
    for needed in (path.parent, corpus):
        needed.mkdir(parents=True, exist_ok=True)
    if not any(corpus.iterdir()):
        for number, content in enumerate(target.seeds()):
            (corpus / f"{number}").write_bytes(content)
    counts = _counts(folder / COUNTS)
    found = folder / FOUND
    known = {_place(line) for line in found.read_text().splitlines()} if found.exists() else set()
    name = path.name if target.named is None else target.named
    end = time.process_time() + seconds

    def read_one(content: bytes) -> None:
        if time.process_time() > end:
            os._exit(0)
        for left in path.parent.iterdir():
            left.unlink()
        path.write_bytes(content)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        what, said = judge(path, target.read, name)
        signal.setitimer(signal.ITIMER_PROF, 0)
        counts[OUTCOMES.index(what)] += 1
        if what in FAULTS and _place(said) not in known:
            known.add(_place(said))
            with found.open("a") as file:
                print(f"{target.name}: {what}: {said}", file=file)
            (folder / f"fault-{len(known)}{path.suffix}").write_bytes(content)

    def mutate(content: bytes, max_size: int, seed: int) -> bytes:
        change = target.mutate
        if change is None:
            return bytes(atheris.Mutate(content, max_size))
        return change(content, max_size, Random(seed), atheris.Mutate)

    arguments = [
        "fuzz", str(corpus), f"-seed={seed}", f"-max_len={MAX_SIZE}", f"-timeout={10**6}",
        "-rss_limit_mb=0", "-verbosity=0", f"-artifact_prefix={folder}/", "-close_fd_mask=2",
    ]  # fmt: skip
    if target.mutate:
        atheris.Setup(arguments, read_one, custom_mutator=mutate)
    else:
        atheris.Setup(arguments, read_one)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, used + MEMORY_BYTES))
    atheris.Fuzz()


def _place(said: str) -> str:
    """Return the place of the code in what was said about a fault."""
    return said.rpartition(", ")[2]


def _counts(path: Path) -> "np.memmap[tuple[int], np.dtype[np.int64]]":
    return np.memmap(path, np.int64, "r+" if path.exists() else "w+", shape=(len(OUTCOMES),))
