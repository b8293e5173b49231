"""Copies the benchmarks' tables to where docs/results.md wants them; a test keeps them equal.

python docs/results_tables.py
"""

import re
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE / "results.md"
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
    """Fill the page in place."""
    page = filled(PAGE.read_text(encoding="utf-8"), BENCHMARKS.read_text(encoding="utf-8"))
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
