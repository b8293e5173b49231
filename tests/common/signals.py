"""Signals without their risk: one sent to a worker of pytest-xdist can end it."""

import signal


def call_handler(number: int = signal.SIGINT) -> None:
    """Call the handler of a signal as Python does when the signal arrives."""
    handler = signal.getsignal(number)
    assert callable(handler)
    handler(number, None)
