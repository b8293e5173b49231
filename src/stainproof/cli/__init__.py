"""The command line: one command a stage. Results go to stdout, progress and messages to stderr."""

import signal
import sys

import typer

from stainproof.cli import contest, data, deliver, measure, search, train  # noqa: F401
from stainproof.cli.app import app
from stainproof.cli.terminal import complain, prepare
from stainproof.errors import StainproofError, in_words

INTERRUPTED = 130


def main() -> None:
    """Run the command line; a user's mistake is one line and exit code 2."""
    prepare()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
        signal.signal(signal.SIGHUP, signal.default_int_handler)
    try:
        code = app(sys.argv[1:] or ["--help"], standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except StainproofError as error:
        message = str(error)
    except OSError as error:
        message = in_words(error)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(INTERRUPTED)
    except typer.TyperException as error:
        message = getattr(error, "format_message", error.__str__)()
    complain(" ".join(message.replace("Value error, ", "").split()))
    sys.exit(2)
