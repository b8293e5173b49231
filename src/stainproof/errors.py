"""The errors a user can mend. Each message names the thing, what is allowed and what was got."""


class StainproofError(Exception):
    """Base of every error a user can mend; the command line prints one line and exits with 2."""


class ConfigError(StainproofError):
    """A setting is unknown, out of range or contradicts another."""


class DataError(StainproofError):
    """An image, a folder or a data file cannot be used as it is."""


class CheckpointError(StainproofError):
    """A run folder is incomplete, altered or made by an incompatible version."""


class SubmissionError(StainproofError):
    """A contest submission is malformed, fails, or answers otherwise than it must."""


def in_words(error: OSError) -> str:
    """Return what the system refused, and of which file."""
    return f"{error.filename or 'the system'}: {error.strerror or error}"


def first_line(error: BaseException) -> str:
    """Return the first line of what an error of another package says, or its kind."""
    return (str(error).splitlines() or [type(error).__name__])[0]
