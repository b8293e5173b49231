"""Errors that a user can fix. Each message names the thing, what is allowed and what was got."""


class StainproofError(Exception):
    """Base of all errors that a user can fix; the command line prints one line and exits with 2."""


class ConfigError(StainproofError):
    """A setting is unknown, out of range or contradicts another."""


class DataError(StainproofError):
    """An image, a folder or a data file cannot be used."""


class CheckpointError(StainproofError):
    """A run folder is incomplete, was altered, or was made by an incompatible version."""


class SubmissionError(StainproofError):
    """A contest submission is malformed, fails, or makes predictions in a wrong form."""


def in_words(error: OSError) -> str:
    """Return the system's error message with the file that it concerns."""
    return f"{error.filename or 'the system'}: {error.strerror or error}"


def first_line(error: BaseException) -> str:
    """Return the first line of a third-party error's message, or the name of its type."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def shortened(text: str, num: int = 200) -> str:
    """Return a text of at most `num` characters, for a message."""
    return text if len(text) <= num else f"{text[: num - 2]}.."
