"""Copy tables of the benchmarks into the pages with results; a test keeps them equal.

python docs/results_tables.py
"""

import re
from pathlib import Path

HERE = Path(__file__).parent
PAGES = tuple(
    path
    for path in sorted(HERE.rglob("*.md"))
    if "<!-- from benchmarks: " in path.read_text(encoding="utf-8")
)
BENCHMARKS = HERE.parent / "benchmarks" / "results.md"
SLOT = re.compile(r"<!-- from benchmarks: (.+?) -->\n.*?<!-- end -->", re.DOTALL)


def filled(page: str, benchmarks: str) -> str:
    """Return the page with every slot filled from the benchmarks' section of its name."""

    def section(slot: re.Match[str]) -> str:
        name = re.escape(slot[1])
        found = re.search(
            f"<!-- {name} -->\n## [^\n]*\n\n(.*?)\n<!-- end {name} -->", benchmarks, re.DOTALL
        )
        if not found:
            raise SystemExit(f"{BENCHMARKS.name} has no section {slot[1]!r}; run its benchmark")
        return f"<!-- from benchmarks: {slot[1]} -->\n{found[1].strip()}\n<!-- end -->"

    return SLOT.sub(section, page)


def main() -> None:
    """Fill the pages in place."""
    benchmarks = BENCHMARKS.read_text(encoding="utf-8")
    for path in PAGES:
        path.write_text(filled(path.read_text(encoding="utf-8"), benchmarks), encoding="utf-8")


if __name__ == "__main__":
    main()
