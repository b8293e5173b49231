"""Anatomy of phantom cells: the appearance of every class, outlines of cells and nuclei.

Lengths are micrometres; positions are complex numbers (x right, y down) from the image centre.
Sizes and appearance follow Bain, Blood Cells: A Practical Guide (5th ed., ch. 1 and 3), the
nomenclature of Palmer et al. 2015 (ICSH recommendations, Int J Lab Hematol 37:287) and the images
of Acevedo et al. 2020 (Data in Brief 30:105474).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from stainproof.synthetic.textures import TAU

Plane = NDArray[np.uint8]
Floats = NDArray[np.floating]
Places = NDArray[np.complex128]
Amounts = tuple[float, float, float]
Range = tuple[float, float]

_ANGLES = np.linspace(-np.pi, np.pi, 64, endpoint=False)
_STEPS = np.linspace(-0.5, 0.5, 13)
_CIRCLE = np.exp(1j * _ANGLES)
_ORDERS = np.arange(2, 13)
_WAVES = np.concatenate([np.cos(np.outer(_ORDERS, _ANGLES)), np.sin(np.outer(_ORDERS, _ANGLES))])
_FALLOFF = np.tile(_ORDERS**-0.8, 2)


@dataclass(frozen=True)
class Paint:
    """Amounts of blue (azure B), purple (azure-eosin) and pink (eosin) dye that a region binds."""

    base: Amounts
    """Mean amounts; a dense nucleus has about one unit of purple."""
    tile: str
    """Name in `textures.TILES`."""
    uneven: float = 0.15
    """Standard deviation of the amounts over the region, relative to the mean."""
    granules: Amounts = (0.0, 0.0, 0.0)
    """Amounts that a granule adds."""

    @cached_property
    def matrix(self) -> Floats:
        """(3, 4): maps a tile's three channels and a constant 1 to the three amounts."""
        base = np.array(self.base)
        return np.stack([self.uneven * base, np.array(self.granules), 0.1 * base, base], axis=1)


@dataclass(frozen=True)
class Anatomy:
    """Appearance of one class; every cell is drawn from the ranges."""

    diameter_um: Range
    cytoplasm: tuple[Paint, Paint]
    chromatin: tuple[Paint, Paint]
    nucleus_share: Range
    """Diameter of the nucleus (of a lobed one: of its arc) relative to the cell's."""
    num_lobes: tuple[int, ...] = ()
    """Possible numbers of lobes, equally likely; empty: one round nucleus."""
    lobe_um: Range = (0.0, 0.0)
    """Width of a lobe."""
    notch: Range = (0.0, 0.0)
    """Depth of the notch of the nucleus relative to its radius."""
    off_centre: float = 0.5
    """Displacement of the nucleus: 0 is the centre, 1 touches the rim."""
    ragged: Range = (0.01, 0.03)
    """Unevenness of the outline relative to the radius."""
    vacuoles: float = 0.0
    """Probability that the cytoplasm has vacuoles."""


ANATOMY: dict[str, Anatomy] = {
    "basophil": Anatomy(
        diameter_um=(9.4, 12.6),
        cytoplasm=(
            Paint((0.10, 0.16, 0.08), "dark", 0.2, (0.12, 0.65, 0.0)),
            Paint((0.02, 0.08, 0.16), "dark", 0.2, (0.02, 0.68, 0.10)),
        ),
        chromatin=(
            Paint((0.14, 0.24, 0.12), "dark", 0.1, (0.02, 0.64, 0.0)),
            Paint((0.18, 0.42, 0.08), "dark", 0.1, (0.02, 0.42, 0.0)),
        ),
        nucleus_share=(0.25, 0.45),
        num_lobes=(2, 2, 3),
        lobe_um=(5.0, 6.5),
        ragged=(0.01, 0.04),
    ),
    "eosinophil": Anatomy(
        diameter_um=(10.5, 13.4),
        cytoplasm=(
            Paint((0.0, 0.04, 0.32), "round", 0.2, (0.0, 0.03, 0.30)),
            Paint((0.0, 0.08, 0.42), "round", 0.2, (0.0, 0.06, 0.40)),
        ),
        chromatin=(
            Paint((0.12, 0.14, 0.10), "coarse", 0.1, (0.0, 0.66, 0.0)),
            Paint((0.14, 0.30, 0.08), "coarse", 0.1, (0.0, 0.60, 0.0)),
        ),
        nucleus_share=(0.45, 0.6),
        num_lobes=(2, 2, 2, 3),
        lobe_um=(3.6, 4.6),
    ),
    "erythroblast": Anatomy(
        diameter_um=(6.5, 11.0),
        cytoplasm=(
            Paint((0.10, 0.03, 0.14), "smooth", 0.05),
            Paint((0.42, 0.12, 0.04), "smooth", 0.1),
        ),
        chromatin=(
            Paint((0.22, 0.76, 0.10), "coarse", 0.1, (0.0, 0.06, 0.0)),
            Paint((0.16, 0.20, 0.10), "coarse", 0.1, (0.0, 0.72, 0.0)),
        ),
        nucleus_share=(0.50, 0.74),
        off_centre=0.6,
    ),
    "ig": Anatomy(
        diameter_um=(10.6, 15.0),
        cytoplasm=(
            Paint((0.05, 0.04, 0.13), "azure", 0.2, (0.02, 0.10, 0.03)),
            Paint((0.22, 0.15, 0.04), "azure", 0.25, (0.03, 0.46, 0.0)),
        ),
        chromatin=(
            Paint((0.10, 0.12, 0.12), "coarse", 0.1, (0.0, 0.68, 0.0)),
            Paint((0.14, 0.28, 0.08), "coarse", 0.1, (0.0, 0.64, 0.0)),
        ),
        nucleus_share=(0.64, 0.8),
        notch=(0.0, 0.6),
        off_centre=0.9,
        ragged=(0.005, 0.03),
    ),
    "lymphocyte": Anatomy(
        diameter_um=(7.8, 10.8),
        cytoplasm=(
            Paint((0.20, 0.08, 0.02), "smooth", 0.1),
            Paint((0.48, 0.14, 0.0), "smooth", 0.1),
        ),
        chromatin=(
            Paint((0.14, 0.20, 0.10), "clumped", 0.1, (0.0, 0.66, 0.0)),
            Paint((0.18, 0.40, 0.08), "clumped", 0.1, (0.0, 0.50, 0.0)),
        ),
        nucleus_share=(0.76, 0.97),
        notch=(0.0, 0.15),
        off_centre=0.8,
        ragged=(0.01, 0.05),
    ),
    "monocyte": Anatomy(
        diameter_um=(11.5, 15.0),
        cytoplasm=(
            Paint((0.11, 0.04, 0.03), "fine", 0.15, (0.02, 0.09, 0.0)),
            Paint((0.26, 0.12, 0.02), "fine", 0.2, (0.02, 0.16, 0.0)),
        ),
        chromatin=(
            Paint((0.09, 0.12, 0.12), "lacy", 0.1, (0.0, 0.62, 0.0)),
            Paint((0.13, 0.26, 0.10), "lacy", 0.1, (0.0, 0.60, 0.0)),
        ),
        nucleus_share=(0.64, 0.8),
        notch=(0.2, 0.8),
        off_centre=0.5,
        ragged=(0.02, 0.09),
        vacuoles=0.4,
    ),
    "neutrophil": Anatomy(
        diameter_um=(10.5, 13.8),
        cytoplasm=(
            Paint((0.0, 0.02, 0.16), "fine", 0.15, (0.0, 0.08, 0.05)),
            Paint((0.05, 0.06, 0.16), "fine", 0.15, (0.0, 0.22, 0.04)),
        ),
        chromatin=(
            Paint((0.12, 0.14, 0.10), "coarse", 0.1, (0.0, 0.74, 0.0)),
            Paint((0.14, 0.34, 0.08), "coarse", 0.1, (0.0, 0.60, 0.0)),
        ),
        nucleus_share=(0.42, 0.58),
        num_lobes=(1, 1, 2, 3, 3, 4, 5),
        lobe_um=(2.8, 3.7),
    ),
    "platelet": Anatomy(
        diameter_um=(3.8, 6.5),
        cytoplasm=(
            Paint((0.06, 0.05, 0.04), "fine", 0.2, (0.0, 0.12, 0.0)),
            Paint((0.12, 0.14, 0.0), "fine", 0.2, (0.0, 0.25, 0.0)),
        ),
        chromatin=(
            Paint((0.06, 0.22, 0.02), "platelet", 0.2, (0.0, 0.20, 0.0)),
            Paint((0.08, 0.42, 0.0), "platelet", 0.2, (0.0, 0.34, 0.0)),
        ),
        nucleus_share=(0.68, 0.9),
        ragged=(0.03, 0.08),
    ),
}
"""Class name -> its anatomy; the nucleus of a platelet is its granulomere."""


def between(rng: np.random.Generator, ends: Range) -> float:
    """Draw uniformly between two ends."""
    return ends[0] + (ends[1] - ends[0]) * rng.random()


def direction(rng: np.random.Generator) -> complex:
    """Draw a random unit vector."""
    return complex(np.exp(1j * TAU * rng.random()))


def blob(rng: np.random.Generator, radius: float, ragged: float, notch: float = 0.0) -> Places:
    """Return the outline of a roundish body around the origin, with or without a notch.

    Args:
        rng: Random generator of shape and rotation.
        radius: Mean radius; the outline is in the same unit.
        ragged: Amplitude of the outline's waves relative to the radius.
        notch: Depth of the notch relative to the radius.

    Returns:
        complex128 (64,).
    """
    wave = (ragged * _FALLOFF * rng.standard_normal(len(_FALLOFF))) @ _WAVES
    width = 0.25 + 0.35 * rng.random()
    wave -= notch * np.exp(-((_ANGLES / width) ** 2))
    outline = radius * (1 + wave) * _CIRCLE
    oval = 1 + 0.07 * rng.standard_normal()
    return np.asarray((outline.real * oval + 1j * outline.imag / oval) * direction(rng))


def lobes(
    rng: np.random.Generator, arc_radius: float, width: float, num: int
) -> tuple[Places, list[tuple[complex, complex]]]:
    """Return the layout of a segmented nucleus around the origin; one lobe is a band.

    Two to five segments joined by strands; a band is a curved rod without strands (Palmer et al.
    2015, neutrophils).

    Args:
        rng: Random generator of curvature, rotation and lengths.
        arc_radius: Mean distance of the lobes from the origin.
        width: Width of a lobe, in the same unit.
        num: Number of lobes.

    Returns:
        The path that joins the lobes, and for every lobe its centre and half its long axis.
    """
    turn = (num - 1) / (num + 0.2 + rng.random()) if num > 1 else between(rng, (0.35, 0.7))
    bend = 1 + 0.3 * np.sin(TAU * (_STEPS + rng.random()))
    path = arc_radius * bend * np.exp(1j * TAU * turn * _STEPS) * direction(rng)
    if num == 1:
        return path, []
    ovals = []
    for here in np.linspace(0, 12, num).round().astype(int).tolist():
        along = path[min(here + 1, 12)] - path[max(here - 1, 0)]
        length = width * (1.0 + 0.7 * rng.random())
        ovals.append((complex(path[here]), complex(length / 2 * along / abs(along))))
    return path, ovals
