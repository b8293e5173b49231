"""Writes docs/operations.md from the operations' own words; a test keeps them equal."""

import inspect
import re
from pathlib import Path

from stainproof.augment.operations import (
    COLOUR_MATRIX_OPERATIONS,
    IMAGE_OPERATIONS,
    LOOKUP_OPERATIONS,
    OVERLAY_OPERATIONS,
    WARP_OPERATIONS,
)
from stainproof.config.recipes import FAMILIES, RANGES, RECIPES

PAGE = Path(__file__).with_name("operations.md")
FUNCTIONS = {
    **WARP_OPERATIONS,
    **LOOKUP_OPERATIONS,
    **COLOUR_MATRIX_OPERATIONS,
    **IMAGE_OPERATIONS,
    **OVERLAY_OPERATIONS,
}
HEAD = """# Augmentation operations

Generated from the code by `make docs`. The amount of an operation is uniform within its range; 0
changes nothing. The share is the fraction of images to which the recipe `stainproof` applies the
operation. Operations are applied in the order of this page; neighbouring warps, lookup tables and
colour matrices are composed into one pass over the image.

![Every operation at five amounts from one end of its range to the other](pictures/operations.jpg)
"""


def page_text() -> str:
    """Return the page as the code would have it now."""
    ours = RECIPES["stainproof"]["operations"]
    parts = [HEAD]
    for family, names in FAMILIES.items():
        parts.append(
            f"\n## {family}\n\n| operation | what it does | range | share | source |\n"
            "|---|---|---|---|---|\n"
        )
        for name in names:
            what, source = _words(FUNCTIONS[name])
            low, high = RANGES[name]
            share = f"{100 * ours[name]['probability']:.0f} %" if name in ours else "-"
            parts.append(f"| `{name}` | {what} | {low:g} to {high:g} | {share} | {source} |\n")
    return "".join(parts)


def _words(function: object) -> tuple[str, str]:
    """Return an operation's first sentence and its source."""
    text = inspect.getdoc(function) or ""
    what, source = text.split("\n", 1)[0], text.split("Source: ", 1)[1]
    return what.replace("|", "\\|"), re.sub(r"\s+", " ", source).strip()


if __name__ == "__main__":
    PAGE.write_text(page_text(), encoding="utf-8")
