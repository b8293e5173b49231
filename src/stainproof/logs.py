"""Silence third-party loggers."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def silenced_logger(name: str | None = None) -> Iterator[None]:
    """Suppress the messages of a logger below the level ERROR inside the block.

    Args:
        name: Name of the logger; None: the root logger.
    """
    log = logging.getLogger(name)
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)
