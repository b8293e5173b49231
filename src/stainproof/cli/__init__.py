"""The command line: one command a stage. Results go to stdout, progress and messages to stderr."""

import signal
import sys
from types import FrameType
from typing import NoReturn

import typer

from stainproof.cli import (  # noqa: F401
    contest,
    data,
    deliver,
    laboratory,
    measure,
    search,
    train,
    verify,
)
from stainproof.cli.app import app
from stainproof.cli.terminal import complain, prepare
from stainproof.errors import StainproofError, in_words


def main() -> None:
    """Run the command line; a user's mistake is one line and exit code 2.

    An interrupted command ends as one that the signal ends: 130 for SIGINT, 143 for SIGTERM.
    """
    prepare()
    received = signal.SIGINT

    def terminate(number: int, frame: FrameType | None) -> NoReturn:
        nonlocal received
        received = signal.Signals(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, terminate)
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
        signal.signal(signal.SIGHUP, terminate)
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
        sys.exit(128 + received)
    except typer.TyperException as error:
        message = getattr(error, "format_message", error.__str__)()
    complain(" ".join(message.replace("Value error, ", "").split()))
    sys.exit(2)
