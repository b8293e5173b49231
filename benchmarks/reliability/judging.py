"""What became of a file that was read: valid, refused in one line that names it, or a fault."""

import traceback
from collections.abc import Callable
from pathlib import Path

from stainproof.errors import StainproofError

FAULTS = ("crash", "hang", "traceback", "wrong")
OUTCOMES = ("read", "refused", *FAULTS)
SECONDS = 10.0
"""A file that takes longer hangs the reader."""
MEMORY_BYTES = 3 * 2**29
"""Memory that a reader may take beyond what its process has at the start."""
MAX_MESSAGE = 4000

Reader = Callable[[Path], bool]
"""Reads a file; returns whether the result is valid."""


def judge(path: Path, read: Reader, name: str) -> tuple[str, str]:
    """Read a file and return what happened.

    Args:
        path: The file.
        read: Its reader.
        name: What a message about the file must have in it.

    Returns:
        One of `OUTCOMES`, and for faults and refusals what was said and where.
    """
    try:
        return "read" if read(path) else "wrong", ""
    except StainproofError as error:
        text = str(error)
        is_right = name in text and len(text) < MAX_MESSAGE and "\n" not in text.replace(name, "")
        return "refused" if is_right else "wrong", f"{text[:200]!r}, {_place(error)}"
    except Exception as error:
        return "traceback", f"{type(error).__name__}: {str(error)[:200]!r}, {_place(error)}"


def _place(error: BaseException) -> str:
    """Return the line of the package that an exception passed last, such as `table.py:46`."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [one for one in frames if "stainproof" in Path(one.filename).parts] or frames
    return f"{Path(own[-1].filename).name}:{own[-1].lineno}"
