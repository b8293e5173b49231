"""Worker processes of a Ray cluster, so that tests and benchmarks can kill them."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

POLL_S = 0.05


def busy_workers(name: str) -> list[int]:
    """Return the ids of the processes, below this one, that run a function in Ray now."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            title = (folder / "cmdline").read_bytes().decode("utf-8", "replace")
            if title.startswith("ray::") and name in title and _is_below(int(folder.name)):
                found.append(int(folder.name))
    return sorted(found)


def _is_below(process: int) -> bool:
    """Return whether a process was started by this one, or in turn by what it started."""
    while process > 1 and process != os.getpid():
        status = Path(f"/proc/{process}/stat").read_text()
        process = int(status.rpartition(")")[2].split()[1])
    return process > 1


@contextmanager
def killed_once(ready: Callable[[], bool], name: str = "_work") -> Iterator[list[int]]:
    """Send SIGKILL to one worker that runs a function when something is ready; yield its id."""
    killed: list[int] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(POLL_S) and not killed:
            if ready() and (workers := busy_workers(name)):
                os.kill(workers[0], signal.SIGKILL)
                killed.append(workers[0])

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield killed
    finally:
        ended.set()
        watcher.join()


def wait_for(ready: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Wait until something is ready."""
    end_s = time.monotonic() + timeout_s
    while not ready():
        assert time.monotonic() < end_s, "not ready in time"
        time.sleep(POLL_S)
