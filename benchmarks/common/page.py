"""The results page: every benchmark owns a section between two markers."""

import os
import re
import resource
import textwrap
from pathlib import Path

OUT = Path(os.environ.get("STAINPROOF_BENCHMARKS", Path(__file__).parents[1]))
"""Folder of results.md and of the rows; the smoke test writes to another one."""
WIDTH = 110
"""Characters of a line of text; tables are as wide as they are."""


def made_on() -> str:
    """Return the machine, commit, time and command of a measurement."""
    from stainproof import provenance

    here = provenance.collect()
    return f"{here.machine}; commit {here.commit}; {here.created}; command `{here.command}`."


def peak_memory_mb() -> float:
    """Return the peak memory of this process and its finished children in MB."""
    usage = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return max(one.ru_maxrss for one in usage) / 1024


def write_section(name: str, text: str) -> None:
    """Replace the section of this name in results.md, or add it at the end."""
    path = OUT / "results.md"
    OUT.mkdir(parents=True, exist_ok=True)
    page = path.read_text(encoding="utf-8") if path.exists() else "# Benchmarks\n"
    body = "\n".join(map(wrapped, text.splitlines()))
    section = f"<!-- {name} -->\n## {name.replace('_', ' ')}\n\n{body}\n<!-- end {name} -->"
    pattern = re.compile(f"<!-- {name} -->.*?<!-- end {name} -->", re.DOTALL)
    if pattern.search(page):
        page = pattern.sub(lambda _: section, page)
    else:
        page = f"{page.rstrip()}\n\n{section}\n"
    path.write_text(page, encoding="utf-8")
    print(section)


def wrapped(line: str) -> str:
    """Return a long line as several lines, unless it belongs to a table."""
    if line.startswith("|"):
        return line
    indent = "  " if line.startswith("- ") else ""
    return textwrap.fill(
        line, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
