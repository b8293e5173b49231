"""Other packages, kept from talking of what concerns nobody here."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def silenced_logger(name: str | None = None) -> Iterator[None]:
    """Let a package's log say nothing below errors meanwhile.

    Args:
        name: Of the log; nothing: of all packages that write to the root's.
    """
    log = logging.getLogger(name)
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)
