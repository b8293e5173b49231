"""Draws the pictures of the docs: synthetic cells only."""

from pathlib import Path

import numpy as np
from PIL import Image

from stainproof.data import phantom

FOLDER = Path(__file__).with_name("pictures")


def main() -> None:
    """Draw eight classes, three cells each, at home (upper row) and in another laboratory."""
    rows = []
    for lab in ("home", "other"):
        images, labels = phantom.generate(8 * 2, seed=21, lab=lab)
        rows.append(
            np.hstack([images[np.flatnonzero(labels == c)[k]] for c in range(8) for k in (0,)])
        )
    sheet = np.vstack(rows)
    FOLDER.mkdir(exist_ok=True)
    Image.fromarray(sheet).resize((1152, 288), Image.Resampling.LANCZOS).save(
        FOLDER / "phantoms.png", optimize=True
    )


if __name__ == "__main__":
    main()
