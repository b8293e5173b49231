"""HTML page of a laboratory profile: what was measured, and images before and after."""

from collections.abc import Sequence

from PIL import Image

from stainproof.config.data_schema import Preprocessing
from stainproof.data.images import Images, to_square
from stainproof.provenance import collect
from stainproof.reports.frame import picture_uri, render_page
from stainproof.runs.appearance import Measure
from stainproof.shift.lab import Lab

NUM_PICTURES = 12

MEANINGS = {
    "magnification": "Magnification",
    "red_cell_diameter": "Diameter of red cells",
    "white_point": "White point (red, green, blue)",
    "stain_strength": "Strength of the stain",
    "stain_vectors": "Stain vectors (two of red, green, blue)",
    "focus": "Focus",
    "noise": "Noise",
}


def render_lab(lab: Lab, squares: Sequence[Images]) -> str:
    """Return the page of a profile as one self-contained HTML text.

    Args:
        lab: The profile.
        squares: Images of the source, each uint8 (side, side, 3); the first are shown.
    """
    size = Preprocessing(size_px=squares[0].shape[0])
    pairs = [
        tuple(
            picture_uri(Image.fromarray(one))
            for one in (rgb, to_square(lab.standardise(rgb), size))
        )
        for rgb in squares[:NUM_PICTURES]
    ]
    rows = [
        (
            meaning,
            _value(lab.measures.get(name)),
            _value(lab.reference.get(name)),
            lab.measures[name].how if name in lab.measures else "",
        )
        for name, meaning in MEANINGS.items()
    ]
    return render_page(
        "lab.html.jinja",
        source=lab.source,
        provenance=lab.provenance or collect(),
        lab=lab,
        pairs=pairs,
        rows=rows,
    )


def _value(measure: Measure | None) -> str:
    """Return values with their spreads and the number of images."""
    if not measure:
        return "not found"
    values = ", ".join(
        f"{value:.3g} ± {spread:.2g}"
        for value, spread in zip(measure.values, measure.spread, strict=True)
    )
    return f"{values} {measure.unit} ({measure.num_images} images)"
