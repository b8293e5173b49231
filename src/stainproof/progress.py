"""Progress reporting: long work reports each item to a callback."""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

Item = TypeVar("Item")


class Track(Protocol):
    """A callback that passes items on and shows how many of `total` have passed."""

    def __call__(self, items: Iterable[Item], what: str, total: int) -> Iterable[Item]:
        """Yield the items, shown under the heading `what`."""
        ...


def silent(items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
    """Yield the items and show nothing."""
    yield from items


Say = Callable[[str], None]
"""A callback that receives one line of information, such as what was skipped."""


def silent_say(line: str) -> None:
    """Ignore the line."""
