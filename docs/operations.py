"""Generates docs/operations.md from the docstrings of the operations; a test keeps them equal."""

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

Generated from the code by `make docs`. Magnitudes are drawn uniformly from the range; 0 is the
identity. The share is the fraction of images to which the recipe `stainproof` applies the
operation. Operations are applied in the order of this page; neighbouring warps, lookup tables and
colour matrices are composed into one pass over the image.

![Every operation at five magnitudes of its range](pictures/operations.jpg)
"""


def page_text() -> str:
    """Return the page for the operations and recipes of the code."""
    recipe = RECIPES["stainproof"]["operations"]
    parts = [HEAD]
    for family, names in FAMILIES.items():
        parts.append(
            f"\n## {family}\n\n| operation | what it does | range | share | source |\n"
            "|---|---|---|---|---|\n"
        )
        for name in names:
            what, source = _docstring(FUNCTIONS[name])
            low, high = RANGES[name]
            share = f"{100 * recipe[name]['probability']:.0f} %" if name in recipe else "-"
            parts.append(f"| `{name}` | {what} | {low:g} to {high:g} | {share} | {source} |\n")
    return "".join(parts)


def _docstring(function: object) -> tuple[str, str]:
    """Return the first line and the source of an operation's docstring."""
    text = inspect.getdoc(function) or ""
    what, source = text.split("\n", 1)[0], text.split("Source: ", 1)[1]
    return what.replace("|", "\\|"), re.sub(r"\s+", " ", source).strip()


if __name__ == "__main__":
    PAGE.write_text(page_text(), encoding="utf-8")
