"""Text for people: printable names, cells that no spreadsheet runs, numbers of bytes."""

import re
from pathlib import Path

_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Control characters, line separators, marks of text direction, and bytes that are not UTF-8."""
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_QUOTED_FORMULA = re.compile(r"'+[=+\-@\t\r]")


def size(num_bytes: int) -> str:
    """Return a number of bytes as text, such as `16 GiB`; fractions are rounded to one digit."""
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if num_bytes >= factor:
            return f"{num_bytes / factor:.1f} {unit}".replace(".0 ", " ")
    return f"{num_bytes} bytes"


def printable(path: Path | str) -> str:
    r"""Return a path with forward slashes, or a text, that can be written to any table or page.

    Control characters, line separators, marks of text direction and bytes that are not UTF-8 become
    escapes such as `\n`, `\u202e` and `\xff`.
    """
    words = path.as_posix() if isinstance(path, Path) else path
    return _UNPRINTABLE.sub(lambda found: _escaped(found[0]), words)


def _escaped(letter: str) -> str:
    if "\udc80" <= letter <= "\udcff":  # a byte that is not UTF-8
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter.encode("unicode_escape").decode()


def quote_formula(text: str) -> str:
    """Return a cell of a CSV table that no spreadsheet takes for a formula.

    A cell that begins with `=`, `+`, `-`, `@`, tab or carriage return gets an apostrophe in front,
    and so does one that begins with apostrophes before such a character; see `unquote_formula`.
    """
    return f"'{text}" if _FORMULA.match(text) else text


def unquote_formula(text: str) -> str:
    """Return the text that `quote_formula` was given."""
    return text[1:] if _QUOTED_FORMULA.match(text) else text
