"""SIGINT and SIGTERM, deferred until a training step is complete, so that files stay consistent."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass
class Interrupt:
    """Whether an interrupt was received."""

    noted: bool = False


@contextmanager
def deferred_interrupts() -> Iterator[Interrupt]:
    """Record the first interrupt instead of raising it; a second one acts immediately.

    The usual handler is called for the first one too, so that it can note which signal it was; the
    KeyboardInterrupt that it raises is dropped. Python handles signals in the main thread only; in
    other threads nothing is recorded.
    """
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    usual = {int(number): signal.getsignal(number) for number in SIGNALS}

    def put_back() -> None:
        for number, handler in usual.items():
            signal.signal(number, handler)

    def note(number: int, frame: FrameType | None) -> None:
        interrupt.noted = True
        put_back()
        handler = usual[number]
        if callable(handler):
            with suppress(KeyboardInterrupt):
                handler(number, frame)

    for number in SIGNALS:
        signal.signal(number, note)
    try:
        yield interrupt
    finally:
        put_back()
