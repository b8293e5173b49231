"""How long work says how far it is, without knowing who listens."""

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

Item = TypeVar("Item")


class Track(Protocol):
    """Passes items on and shows how many of `total` have passed."""

    def __call__(self, items: Iterable[Item], what: str, total: int) -> Iterable[Item]:
        """Pass the items on under the heading `what`."""
        ...


def silent(items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
    """Pass the items on and show nothing."""
    yield from items
