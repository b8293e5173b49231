"""Draws the pictures of the docs: synthetic cells only."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from stainproof.augment.augmenter import Augmenter
from stainproof.augment.operations import apply
from stainproof.augment.overlays import OverlaySource
from stainproof.config.recipes import RANGES, RECIPES
from stainproof.config.schema import AugmentConfig
from stainproof.synthetic import phantoms

FOLDER = Path(__file__).with_name("pictures")
CELL_PX, GAP_PX, NAME_PX, COLUMNS = 72, 5, 138, 3
INK, PAPER = (27, 36, 49), (255, 255, 255)


def laboratories() -> Image.Image:
    """Draw eight classes at home (upper row) and in another laboratory."""
    rows = []
    for lab in ("home", "other"):
        images, labels = phantoms.generate(16, seed=21, lab=lab)
        rows.append(np.hstack([images[np.flatnonzero(labels == label)[0]] for label in range(8)]))
    return Image.fromarray(np.vstack(rows)).resize((1152, 288), Image.Resampling.LANCZOS)


def operations() -> Image.Image:
    """Draw every operation at five magnitudes from one end of its range to the other."""
    images, labels = phantoms.generate(64, seed=21)
    cell = images[np.flatnonzero(labels == 6)[0]]
    pictures = OverlaySource(images, "", 0)
    rows = []
    for name, (low, high) in RANGES.items():
        magnitudes = np.linspace(low, high, 5) if low < 0 else np.linspace(high / 5, high, 5)
        changed = [
            apply(cell, [(name, float(magnitude))], np.random.default_rng(7), pictures)
            for magnitude in magnitudes
        ]
        rows.append((name, f"{magnitudes[0]:.3g} to {magnitudes[-1]:.3g}", changed))
    return _sheet(rows, 5)


def recipes() -> Image.Image:
    """Draw the same six cells under every recipe."""
    images, labels = phantoms.generate(64, seed=21)
    cells = images[[np.flatnonzero(labels == label)[0] for label in (0, 1, 3, 4, 6, 7)]]
    rows = []
    for name in RECIPES:
        settings = AugmentConfig.model_validate({"recipe": name})
        batch = Augmenter(cells, settings, 5).batch(np.arange(len(cells)), 1)
        rows.append((name, "", list(batch)))
    return _sheet(rows, len(cells), columns=1)


def _sheet(
    rows: list[tuple[str, str, list[np.ndarray]]], num_cells: int, columns: int = COLUMNS
) -> Image.Image:
    """Lay out named rows of cells in columns, the order running down each."""
    num_rows = -(-len(rows) // columns)
    step = CELL_PX + GAP_PX
    width = NAME_PX + num_cells * step + 4 * GAP_PX
    sheet = Image.new("RGB", (columns * width, num_rows * step + GAP_PX), PAPER)
    draw = ImageDraw.Draw(sheet)
    font, small = ImageFont.load_default(14), ImageFont.load_default(11)
    for index, (name, note, cells) in enumerate(rows):
        left, top = index // num_rows * width + 2 * GAP_PX, index % num_rows * step + GAP_PX
        draw.text((left, top + 20), name, INK, font=font)
        draw.text((left, top + 40), note, (88, 99, 116), font=small)
        for place, rgb in enumerate(cells):
            picture = Image.fromarray(rgb).resize((CELL_PX, CELL_PX), Image.Resampling.LANCZOS)
            sheet.paste(picture, (left + NAME_PX + place * step, top))
    return sheet


def main() -> None:
    """Draw them all."""
    FOLDER.mkdir(exist_ok=True)
    laboratories().save(FOLDER / "phantoms.png", optimize=True)
    operations().save(FOLDER / "operations.jpg", quality=88)
    recipes().save(FOLDER / "recipes.jpg", quality=88)


if __name__ == "__main__":
    main()
