"""One page of results; every benchmark owns a section between two markers."""

import re
from pathlib import Path

PAGE = Path(__file__).with_name("results.md")


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
