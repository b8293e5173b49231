"""Text on a terminal: what comes from data is printed literally, in any encoding."""

import io
import os
import shutil
import sys
from collections.abc import Iterable, Sequence


def prepare() -> None:
    r"""Make output robust: characters that the encoding lacks become escapes such as `\u2265`.

    Where the environment asks for plain text, the help has no colours either.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if is_plain():
        from typer import rich_utils

        rich_utils.COLOR_SYSTEM = None


def is_plain() -> bool:
    """Return whether the environment asks for text without terminal codes."""
    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") in ("dumb", "unknown")


def visible(text: object) -> str:
    r"""Return a text with characters that do not print as escapes, such as `\x1b`."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in str(text)
    )


def echo(line: object, *, err: bool = False) -> None:
    """Write one line to stdout or stderr."""
    stream = sys.stderr if err else sys.stdout
    stream.write(visible(line) + "\n")  # typer.echo would write UTF-8 to an ASCII terminal
    stream.flush()


def complain(message: str) -> None:
    """Write one line to stderr."""
    echo(f"stainproof: {message}", err=True)


def num_columns() -> int:
    """Return the width of the terminal; unlimited if there is none."""
    return shutil.get_terminal_size((sys.maxsize, 24)).columns


def shorten(text: str, width: int) -> str:
    """Return a text of at most `width` columns; one that was cut ends with two dots."""
    from rich.cells import cell_len, set_cell_size

    if cell_len(text) <= width:
        return text
    return set_cell_size(text, max(width - 2, 0)).rstrip() + ".."


def join_fitting(parts: Iterable[str], width: int) -> str:
    """Join the first parts that fit in `width` columns together."""
    text = ""
    for part in parts:
        longer = f"{text}  {part}" if text else part
        if len(longer) > width:
            break
        text = longer
    return text


def print_table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; where the terminal is too narrow, each row as one block of lines."""
    from rich.cells import cell_len

    def pad(cell: str, width: int) -> str:
        return cell + " " * (width - cell_len(cell))

    table = [[visible(cell) for cell in row] for row in (titles, *rows)]
    widths = [max(map(cell_len, column)) for column in zip(*table, strict=True)]
    if sum(widths) + 2 * len(widths) <= num_columns():
        for row in table:
            cells = map(pad, row, widths)
            echo(" " + "  ".join(cells).rstrip())
        return
    header, *body = table
    width = max(map(cell_len, header))
    for first, *others in body:
        echo(f" {first}")
        for title, cell in zip(header[1:], others, strict=True):
            echo(f"   {pad(title, width)}  {cell}")
