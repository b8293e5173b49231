"""Progress reporting: long work reports each item to a callback."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

Item = TypeVar("Item")

PERIOD_S = 30.0
"""Shortest interval between two lines of a `LineReporter`."""


class Track(Protocol):
    """A callback that passes items on and shows how many of `total` have passed."""

    def __call__(self, items: Iterable[Item], what: str, total: int) -> Iterable[Item]:
        """Yield the items, shown under the heading `what`."""
        ...


def silent(items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
    """Yield the items and show nothing."""
    yield from items


class LineReporter:
    """Reports progress as plain lines, at most one every 30 seconds.

    Work that took longer than that ends with a line of its own.
    """

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic):
        """Start the first interval.

        Args:
            write: Writes a line.
            clock: Returns seconds.
        """
        self.write, self.clock = write, clock
        self.last_s = clock()

    def track(self, items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
        """Yield the items and report how many have passed."""
        began_s = self.clock()
        num_done = 0
        for item in items:
            yield item
            num_done += 1
            if num_done < total:
                self.report(f"{what}: {num_done:,} of {total:,}")
        seconds = self.clock() - began_s
        if seconds > PERIOD_S:
            self.write_now(f"{what}: {num_done:,} done in {seconds:.0f} s")

    def report(self, line: str) -> None:
        """Write a line if the last one is 30 seconds old."""
        if self.clock() - self.last_s >= PERIOD_S:
            self.write_now(line)

    def write_now(self, line: str) -> None:
        """Write a line and start the next interval."""
        self.last_s = self.clock()
        self.write(line)


Say = Callable[[str], None]
"""A callback that receives one line of information, such as what was skipped."""


def silent_say(line: str) -> None:
    """Ignore the line."""
