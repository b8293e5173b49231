"""Geometric operations. They compose into one `Warp`, so that an image is resampled once.

Matrices map the original to the augmented image in pixel coordinates with the origin in the centre;
axes in names: y down, x right.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stainproof.data.images import Images

Matrix = NDArray[np.float64]

BORDERS = {
    "reflect": cv2.BORDER_REFLECT_101,
    "edge": cv2.BORDER_REPLICATE,
    "colour": cv2.BORDER_CONSTANT,
    "black": cv2.BORDER_CONSTANT,
}


@dataclass
class Warp:
    """Geometric operations composed so far."""

    height: int
    width: int
    matrix: Matrix
    """3 x 3, homogeneous coordinates."""
    flat: bool = True
    """Whether parallel lines stay parallel (affine)."""
    field: NDArray[np.float32] | None = None
    """Displacement (height, width, 2) in pixels, x first; added to the sampling positions."""

    def then(self, rows: tuple[tuple[float, float, float], ...]) -> None:
        """Compose with the geometric operation of these matrix rows."""
        self.matrix = np.array(rows) @ self.matrix


def begin(rgb: Images) -> Warp:
    """Return the identity warp."""
    return Warp(rgb.shape[0], rgb.shape[1], np.eye(3))


def d4(rgb: Images, amount: float, rng: np.random.Generator) -> Images:
    """Apply one of the eight symmetries of the square (flips and rotations by 90 degrees).

    Images that are not square are only flipped and rotated by 180 degrees. The amount is 0 or 1.

    Source: Dieleman et al. 2015, "Rotation-invariant convolutional neural networks for galaxy
    morphology prediction".
    """
    if not amount:
        return rgb
    symmetry = int(rng.integers(8))
    if symmetry & 4 and rgb.shape[0] == rgb.shape[1]:
        rgb = np.asarray(cv2.transpose(rgb), dtype=np.uint8)
    return _flipped(rgb, bool(symmetry & 1), bool(symmetry & 2))


def flip(rgb: Images, amount: float, rng: np.random.Generator) -> Images:
    """Flip horizontally and vertically, each with probability 0.5.

    Source: Krizhevsky et al. 2012, section 4.1, with both axes.
    """
    if not amount:
        return rgb
    symmetry = int(rng.integers(4))
    return _flipped(rgb, bool(symmetry & 1), bool(symmetry & 2))


def _flipped(rgb: Images, sideways: bool, upside_down: bool) -> Images:
    if not sideways and not upside_down:
        return rgb
    code = -1 if sideways and upside_down else int(sideways)
    return np.asarray(cv2.flip(rgb, code), dtype=np.uint8)


def rotate(warp: Warp, amount: float, rng: np.random.Generator) -> None:
    """Rotate about the centre by `amount` degrees.

    Source: Simard et al. 2003, "Best practices for convolutional neural networks", section 2.
    """
    cos, sin = math.cos(math.radians(amount)), math.sin(math.radians(amount))
    warp.then(((cos, -sin, 0), (sin, cos, 0), (0, 0, 1)))


def zoom(warp: Warp, amount: float, rng: np.random.Generator) -> None:
    """Scale about the centre by a factor of 2^amount.

    Source: Krizhevsky et al. 2012, section 4.1; scale as in Szegedy et al. 2015, section 6.
    """
    factor = 2.0**amount
    warp.then(((factor, 0, 0), (0, factor, 0), (0, 0, 1)))


def aspect_ratio(warp: Warp, amount: float, rng: np.random.Generator) -> None:
    """Multiply the aspect ratio by 2^amount; the area stays the same.

    Source: Szegedy et al. 2015, section 6 (aspect ratio 3/4 to 4/3).
    """
    factor = 2.0 ** (amount / 2)
    warp.then(((factor, 0, 0), (0, 1 / factor, 0), (0, 0, 1)))


def shear(warp: Warp, amount: float, rng: np.random.Generator) -> None:
    """Shear by `amount` pixels per pixel, along x or y.

    Source: Cubuk et al. 2019, "AutoAugment", table 6 (ShearX, ShearY).
    """
    along_x = rng.random() < 0.5
    x, y = (amount, 0.0) if along_x else (0.0, amount)
    warp.then(((1, x, 0), (y, 1, 0), (0, 0, 1)))


def translate(warp: Warp, amount: float, rng: np.random.Generator) -> None:
    """Translate by up to `amount` of the side in each direction.

    Source: Cubuk et al. 2019, "AutoAugment", table 6 (TranslateX, TranslateY).
    """
    right, down = (2 * amount * (rng.random() - 0.5) for _ in range(2))
    warp.then(((1, 0, right * warp.width), (0, 1, down * warp.height), (0, 0, 1)))


def perspective(warp: Warp, amount: float, rng: np.random.Generator) -> None:
    """Apply a perspective transform: opposite sides differ in distance by up to `amount`.

    Source: Hartley & Zisserman 2004, "Multiple View Geometry", section 2.4 (projective part).
    """
    x, y = (2 * amount * (rng.random() - 0.5) for _ in range(2))
    warp.then(((1, 0, 0), (0, 1, 0), (2 * x / warp.width, 2 * y / warp.height, 1)))
    warp.flat = False


def elastic(warp: Warp, amount: float, rng: np.random.Generator) -> None:
    """Deform elastically by about `amount` of the side, with 4 to 8 control points across.

    Source: Simard et al. 2003, section 2, with cubic interpolation of coarse control points.
    """
    knots = int(rng.integers(4, 9))
    field = rng.standard_normal((knots, knots, 2), dtype=np.float32)
    field *= np.float32(amount * min(warp.height, warp.width))
    size = (warp.width, warp.height)
    smooth = np.asarray(cv2.resize(field, size, interpolation=cv2.INTER_CUBIC), dtype=np.float32)
    warp.field = smooth if warp.field is None else warp.field + smooth


def resampled(rgb: Images, warp: Warp, border: str, rng: np.random.Generator) -> Images:
    """Resample the image once, bilinearly, at the positions of the warp.

    OpenCV resamples four channels in half the time of three.
    """
    height, width = warp.height, warp.width
    colour = (256 * rng.random(3)).tolist() if border == "colour" else (0, 0, 0)
    beyond: dict[str, Any] = {"borderMode": BORDERS[border], "borderValue": (*colour, 0)}
    matrix = _about_corner(warp.matrix, (width - 1) / 2, (height - 1) / 2)
    rgba = cv2.cvtColor(rgb, cv2.COLOR_RGB2RGBA)
    if warp.field is not None:
        there = _places(height, width) + warp.field
        inverse = np.linalg.inv(matrix)
        if warp.flat:
            here = cv2.transform(there, inverse[:2])
        else:
            here = cv2.perspectiveTransform(there, inverse)
        columns, rows = cv2.split(here)
        moved = cv2.remap(rgba, columns, rows, cv2.INTER_LINEAR, **beyond)
    elif warp.flat:
        moved = cv2.warpAffine(rgba, matrix[:2], (width, height), **beyond)
    else:
        moved = cv2.warpPerspective(rgba, matrix, (width, height), **beyond)
    return np.asarray(cv2.cvtColor(moved, cv2.COLOR_RGBA2RGB), dtype=np.uint8)


def _about_corner(matrix: Matrix, x: float, y: float) -> Matrix:
    """Return the matrix for coordinates whose origin is the corner instead of the centre x, y."""
    (a, b, c), (d, e, f), (g, h, i) = matrix.tolist()
    a, b, c, d, e, f = a + x * g, b + x * h, c + x * i, d + y * g, e + y * h, f + y * i
    rows = ((a, b, c), (d, e, f), (g, h, i))
    return np.array([(p, q, r - p * x - q * y) for p, q, r in rows])


@lru_cache(maxsize=4)
def _places(height: int, width: int) -> NDArray[np.float32]:
    """Return the position of each pixel, float32 (height, width, 2), x first."""
    rows, columns = np.indices((height, width), dtype=np.float32)
    return np.stack([columns, rows], axis=2)
