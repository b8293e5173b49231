"""Ctrl-C and a request to end, noted and obeyed between two steps, so that files stay whole."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass
class Interrupt:
    """Whether someone wants the work to end."""

    noted: bool = False


@contextmanager
def deferred_interrupts() -> Iterator[Interrupt]:
    """Note the first interrupt, whatever the work is at; a second one acts at once, as usual.

    Python lets only the main thread answer signals; in another one nothing is noted.
    """
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    usual = {number: signal.getsignal(number) for number in SIGNALS}

    def put_back() -> None:
        for number, handler in usual.items():
            signal.signal(number, handler)

    def note(number: int, frame: FrameType | None) -> None:
        interrupt.noted = True
        put_back()

    for number in SIGNALS:
        signal.signal(number, note)
    try:
        yield interrupt
    finally:
        put_back()
