"""One page of results; every benchmark owns a section between two markers."""

import re
import resource
import textwrap
from pathlib import Path

PAGE = Path(__file__).with_name("results.md")
WIDTH = 110
"""Characters of a line of text; tables are as wide as they are."""


def made_on() -> str:
    """Say which machine, commit and day a figure comes from."""
    from stainproof import provenance

    here = provenance.collect()
    return f"{here.machine}; commit {here.commit}; {here.created}; command `{here.command}`."


def peak_memory_mb() -> float:
    """Return the most memory this process and its finished children have held, in MB."""
    usage = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return max(one.ru_maxrss for one in usage) / 1024


def write_section(name: str, text: str) -> None:
    """Put the text between the markers of this section, or add the section at the end."""
    page = PAGE.read_text(encoding="utf-8") if PAGE.exists() else "# Benchmarks\n"
    body = "\n".join(map(wrapped, text.splitlines()))
    section = f"<!-- {name} -->\n## {name.replace('_', ' ')}\n\n{body}\n<!-- end {name} -->"
    pattern = re.compile(f"<!-- {name} -->.*?<!-- end {name} -->", re.DOTALL)
    if pattern.search(page):
        page = pattern.sub(lambda _: section, page)
    else:
        page = f"{page.rstrip()}\n\n{section}\n"
    PAGE.write_text(page, encoding="utf-8")
    print(section)


def wrapped(line: str) -> str:
    """Return a line as several, if it is a long one and not of a table."""
    if line.startswith("|"):
        return line
    indent = "  " if line.startswith("- ") else ""
    return textwrap.fill(
        line, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
