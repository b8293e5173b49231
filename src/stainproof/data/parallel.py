"""Work on all cores, in order, a bounded number of items ahead."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from stainproof.machine import num_cores

Given = TypeVar("Given")
Made = TypeVar("Made")

AHEAD = 512


def in_order(function: Callable[[Given], Made], items: Iterable[Given]) -> Iterator[Made]:
    """Give `function(item)` for every item, in order, from threads that work ahead.

    Decoding releases the interpreter's lock, so threads use all cores; memory holds at most 512
    results that nobody has taken yet.
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
