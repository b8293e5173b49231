"""Parallel map over all cores that keeps the order and limits how far it works ahead."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from stainproof.machine import num_cores

Given = TypeVar("Given")
Made = TypeVar("Made")

AHEAD = 512


def in_order(function: Callable[[Given], Made], items: Iterable[Given]) -> Iterator[Made]:
    """Yield `function(item)` for every item, in order, computed by threads.

    Decoding releases the GIL, so threads use all cores. At most 512 results wait in memory.
    """
    pending: deque[Future[Made]] = deque()
    pool = ThreadPoolExecutor(num_cores())
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) >= AHEAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
