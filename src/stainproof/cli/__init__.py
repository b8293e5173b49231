"""The command line: one command a stage. Results go to stdout, progress and messages to stderr."""

import signal
import sys

from stainproof.cli import contest, data, deliver, measure, search, train  # noqa: F401
from stainproof.cli.app import app
from stainproof.cli.console import complain
from stainproof.errors import StainproofError, in_words


def main() -> None:
    """Run the command line; a user's mistake is one line and exit code 2."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app()
    except StainproofError as error:
        complain(" ".join(str(error).split()))
        sys.exit(2)
    except OSError as error:
        complain(in_words(error))
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
