"""Signals without their risk: one sent to a worker of pytest-xdist can end it."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


def call_handler(number: int = signal.SIGINT) -> None:
    """Call the handler of a signal as Python does when the signal arrives."""
    handler = signal.getsignal(number)
    assert callable(handler)
    handler(number, None)


@contextmanager
def kept_handlers() -> Iterator[None]:
    """Put the handlers of signals back that the command line installs."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = [signal.getsignal(number) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, handlers, strict=True):
            signal.signal(number, handler)
