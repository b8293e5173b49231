"""Writes docs/command-line.md: the real help texts, so that the page cannot lie."""

import os
import subprocess
import sys
from pathlib import Path

from stainproof.cli.app import PANELS

PAGE = Path(__file__).with_name("command-line.md")


def page_text() -> str:
    """Return the page as the installed command would have it now."""
    parts = ["# The command line\n\nMade by `make docs` from the commands themselves.\n"]
    names = [name for names in PANELS.values() for name in names]
    for command in ["", *names]:
        words = [word for word in (command, "--help") if word]
        done = subprocess.run(
            [sys.executable, "-m", "stainproof", *words],
            env={**os.environ, "COLUMNS": "96", "TERM": "dumb", "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            check=True,
        )
        lines = "\n".join(line.rstrip() for line in done.stdout.strip().splitlines())
        title = " ".join(["stainproof", *words[:-1]])
        parts.append(
            f"\n## {title}\n\n```text\n{lines.replace('python -m stainproof', 'stainproof')}\n```\n"
        )
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page_text(), encoding="utf-8")
