"""The command line: one command a stage. Results go to stdout, progress and messages to stderr."""

import signal
import sys
import time
from types import FrameType

import typer

from stainproof.cli import (  # noqa: F401
    cells,
    contest,
    data,
    deliver,
    deploy,
    laboratory,
    measure,
    models,
    search,
    serve,
    train,
    verify,
)
from stainproof.cli.app import app
from stainproof.cli.terminal import complain, prepare
from stainproof.errors import StainproofError, in_words

REPEAT_S = 1.0
"""Signals that arrive within this time after the first one are the same interrupt: timeout(1), for
example, signals its process and then the group of the process."""


def main() -> None:
    """Run the command line; a user's mistake is one line and exit code 2.

    An interrupted command ends as one that the signal ends: 130 for SIGINT, 143 for SIGTERM.
    """
    prepare()
    received, time_received = signal.SIGINT, -REPEAT_S

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal received, time_received
        if time.monotonic() - time_received >= REPEAT_S:
            received, time_received = signal.Signals(number), time.monotonic()
            raise KeyboardInterrupt

    handled = [signal.SIGTERM]
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        handled.append(signal.SIGINT)
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
        handled.append(signal.SIGHUP)
    for number in handled:
        signal.signal(number, interrupt)
    try:
        code = app(sys.argv[1:] or ["--help"], standalone_mode=False)
        if code == 128 + signal.SIGINT:  # Typer's word for any KeyboardInterrupt
            raise KeyboardInterrupt
        sys.exit(code if isinstance(code, int) else 0)
    except StainproofError as error:
        message = str(error)
    except OSError as error:
        message = in_words(error)
    except (KeyboardInterrupt, typer.Abort):
        # A further signal ends the process without a traceback from the interpreter's shutdown.
        for number in handled:
            signal.signal(number, signal.SIG_DFL)
        sys.exit(128 + received)
    except typer.TyperException as error:
        message = getattr(error, "format_message", error.__str__)()
    complain(" ".join(message.replace("Value error, ", "").split()))
    sys.exit(2)
