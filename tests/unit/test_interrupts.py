"""Interrupts are noted once, and handlers are as before afterwards.

Handlers are called as Python would call them; what a real signal does is tested on a process of its
own, in test_train_measure_predict.py: one sent to a worker of pytest-xdist can end it.
"""

import signal
import threading

import pytest

from stainproof.training.interrupts import SIGNALS, deferred_interrupts
from tests.common.signals import call_handler


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_interrupt_is_noted_and_the_second_acts(number: int) -> None:
    usual = signal.signal(number, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), deferred_interrupts() as interrupt:
            call_handler(number)
            assert interrupt.noted
            call_handler(number)
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, usual)


def test_signal_handlers_are_restored() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with deferred_interrupts() as interrupt:
        assert [signal.getsignal(number) for number in SIGNALS] != before
    assert not interrupt.noted
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_another_thread_trains_without_touching_signals() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    seen = []

    def work() -> None:
        with deferred_interrupts() as interrupt:
            seen.append((interrupt.noted, [signal.getsignal(number) for number in SIGNALS]))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(False, before)]
