"""One page of results; every benchmark owns a section between two markers."""

import re
import resource
from pathlib import Path

PAGE = Path(__file__).with_name("results.md")


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
    section = f"<!-- {name} -->\n## {name.replace('_', ' ')}\n\n{text}\n<!-- end {name} -->"
    pattern = re.compile(f"<!-- {name} -->.*?<!-- end {name} -->", re.DOTALL)
    if pattern.search(page):
        page = pattern.sub(lambda _: section, page)
    else:
        page = f"{page.rstrip()}\n\n{section}\n"
    PAGE.write_text(page, encoding="utf-8")
    print(section)
