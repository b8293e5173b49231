"""Where things are. Every movement adds to one `Warp`, so that an image is resampled once.

Matrices map the original to the changed image in coordinates whose origin is the centre, in
pixels; axes in names: y down, x right.
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
    """Movements gathered so far."""

    height: int
    width: int
    matrix: Matrix
    """3 x 3, of homogeneous coordinates."""
    flat: bool = True
    """Whether parallels stay parallel."""
    field: NDArray[np.float32] | None = None
    """Displacement (height, width, 2) in pixels, x first; added where the result is sampled."""

    def then(self, rows: tuple[tuple[float, float, float], ...]) -> None:
        """Follow with a movement of these matrix rows."""
        self.matrix = np.array(rows) @ self.matrix


def begin(rgb: Images) -> Warp:
    """Return the warp that moves nothing."""
    return Warp(rgb.shape[0], rgb.shape[1], np.eye(3))


def d4(rgb: Images, amount: float, rng: np.random.Generator) -> Images:
    """Flip and turn by quarters: the eight symmetries of the square, each as likely.

    Oblong images are only flipped and half turned. The amount is 0 for none, 1 for all.

    Source: Dieleman et al. 2015, "Rotation-invariant convolutional neural networks for
    galaxy morphology prediction".
    """
    if not amount:
        return rgb
    symmetry = int(rng.integers(8))
    if symmetry & 4 and rgb.shape[0] == rgb.shape[1]:
        rgb = np.asarray(cv2.transpose(rgb), dtype=np.uint8)
    return _flipped(rgb, bool(symmetry & 1), bool(symmetry & 2))


def flip(rgb: Images, amount: float, rng: np.random.Generator) -> Images:
    """Mirror left and right, top and bottom, each with an even chance.

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
    """Enlarge 2^amount times.

    Source: Krizhevsky et al. 2012, section 4.1; scale as in Szegedy et al. 2015, section 6.
    """
    factor = 2.0**amount
    warp.then(((factor, 0, 0), (0, factor, 0), (0, 0, 1)))


def aspect_ratio(warp: Warp, amount: float, rng: np.random.Generator) -> None:
    """Make 2^amount times as wide for the height, the area staying.

    Source: Szegedy et al. 2015, section 6 (aspect ratio 3/4 to 4/3).
    """
    factor = 2.0 ** (amount / 2)
    warp.then(((factor, 0, 0), (0, 1 / factor, 0), (0, 0, 1)))


def shear(warp: Warp, amount: float, rng: np.random.Generator) -> None:
    """Shear by `amount` pixels a pixel, along x or y.

    Source: Cubuk et al. 2019, "AutoAugment", table 6 (ShearX, ShearY).
    """
    along_x = rng.random() < 0.5
    x, y = (amount, 0.0) if along_x else (0.0, amount)
    warp.then(((1, x, 0), (y, 1, 0), (0, 0, 1)))


def translate(warp: Warp, amount: float, rng: np.random.Generator) -> None:
    """Move by up to `amount` of the side in each direction.

    Source: Cubuk et al. 2019, "AutoAugment", table 6 (TranslateX, TranslateY).
    """
    right, down = (2 * amount * (rng.random() - 0.5) for _ in range(2))
    warp.then(((1, 0, right * warp.width), (0, 1, down * warp.height), (0, 0, 1)))


def perspective(warp: Warp, amount: float, rng: np.random.Generator) -> None:
    """Tip the image: of opposite sides one comes nearer by up to `amount` of the distance.

    Source: Hartley & Zisserman 2004, "Multiple View Geometry", section 2.4 (projective part).
    """
    x, y = (2 * amount * (rng.random() - 0.5) for _ in range(2))
    warp.then(((1, 0, 0), (0, 1, 0), (2 * x / warp.width, 2 * y / warp.height, 1)))
    warp.flat = False


def elastic(warp: Warp, amount: float, rng: np.random.Generator) -> None:
    """Pull smoothly by about `amount` of the side, at 4 to 8 knots across.

    Source: Simard et al. 2003, section 2, with a cubic field on coarse knots for the blurred one.
    """
    knots = int(rng.integers(4, 9))
    field = rng.standard_normal((knots, knots, 2), dtype=np.float32)
    field *= np.float32(amount * min(warp.height, warp.width))
    size = (warp.width, warp.height)
    smooth = np.asarray(cv2.resize(field, size, interpolation=cv2.INTER_CUBIC), dtype=np.float32)
    warp.field = smooth if warp.field is None else warp.field + smooth


def resampled(rgb: Images, warp: Warp, border: str, rng: np.random.Generator) -> Images:
    """Sample the image once, bilinearly, where the gathered movements say.

    OpenCV samples four channels at once in half the time that it takes for three.
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
    """Return the matrix for coordinates whose origin is the corner, the centre being at x, y."""
    (a, b, c), (d, e, f), (g, h, i) = matrix.tolist()
    a, b, c, d, e, f = a + x * g, b + x * h, c + x * i, d + y * g, e + y * h, f + y * i
    rows = ((a, b, c), (d, e, f), (g, h, i))
    return np.array([(p, q, r - p * x - q * y) for p, q, r in rows])


@lru_cache(maxsize=4)
def _places(height: int, width: int) -> NDArray[np.float32]:
    """Return where each pixel is, float32 (height, width, 2), x first."""
    rows, columns = np.indices((height, width), dtype=np.float32)
    return np.stack([columns, rows], axis=2)
