"""Geometric operations. They compose into one `Warp`, so that an image is resampled once.

Matrices map the original to the augmented image in pixel coordinates with the origin in the centre;
y points down, x right.
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
    is_affine: bool = True
    """Whether parallel lines stay parallel."""
    displacement: NDArray[np.float32] | None = None
    """float32 (height, width, 2) in pixels, x first; added to the pixel positions of the augmented
    image before `matrix` is inverted.
    """

    def compose(self, rows: tuple[tuple[float, float, float], ...]) -> None:
        """Compose with the transform that these rows of a matrix define."""
        self.matrix = np.array(rows) @ self.matrix


def identity_warp(rgb: Images) -> Warp:
    """Return the identity warp."""
    return Warp(rgb.shape[0], rgb.shape[1], np.eye(3))


def d4(rgb: Images, magnitude: float, rng: np.random.Generator) -> Images:
    """Apply one of the eight symmetries of the square (flips and rotations by 90 degrees).

    Images that are not square are only flipped and rotated by 180 degrees. The magnitude is 0
    (identity) or 1.

    Source: Dieleman et al. 2015, "Rotation-invariant convolutional neural networks for galaxy
    morphology prediction".
    """
    if not magnitude:
        return rgb
    symmetry = int(rng.integers(8))
    if symmetry & 4 and rgb.shape[0] == rgb.shape[1]:
        rgb = np.asarray(cv2.transpose(rgb), dtype=np.uint8)
    return _flip_axes(rgb, bool(symmetry & 1), bool(symmetry & 2))


def flip(rgb: Images, magnitude: float, rng: np.random.Generator) -> Images:
    """Flip horizontally and vertically, each with probability 0.5.

    Source: Krizhevsky et al. 2012, section 4.1, with both axes.
    """
    if not magnitude:
        return rgb
    symmetry = int(rng.integers(4))
    return _flip_axes(rgb, bool(symmetry & 1), bool(symmetry & 2))


def _flip_axes(rgb: Images, horizontally: bool, vertically: bool) -> Images:
    if not horizontally and not vertically:
        return rgb
    code = -1 if horizontally and vertically else int(horizontally)
    return np.asarray(cv2.flip(rgb, code), dtype=np.uint8)


def rotate(warp: Warp, magnitude: float, rng: np.random.Generator) -> None:
    """Rotate about the centre by `magnitude` degrees.

    Source: Simard et al. 2003, "Best practices for convolutional neural networks", section 2.
    """
    cos, sin = math.cos(math.radians(magnitude)), math.sin(math.radians(magnitude))
    warp.compose(((cos, -sin, 0), (sin, cos, 0), (0, 0, 1)))


def zoom(warp: Warp, magnitude: float, rng: np.random.Generator) -> None:
    """Scale about the centre by a factor of 2^magnitude.

    Source: Krizhevsky et al. 2012, section 4.1; scale as in Szegedy et al. 2015, section 6.
    """
    factor = 2.0**magnitude
    warp.compose(((factor, 0, 0), (0, factor, 0), (0, 0, 1)))


def aspect_ratio(warp: Warp, magnitude: float, rng: np.random.Generator) -> None:
    """Multiply the aspect ratio by 2^magnitude; the area stays the same.

    Source: Szegedy et al. 2015, section 6 (aspect ratio 3/4 to 4/3).
    """
    factor = 2.0 ** (magnitude / 2)
    warp.compose(((factor, 0, 0), (0, 1 / factor, 0), (0, 0, 1)))


def shear(warp: Warp, magnitude: float, rng: np.random.Generator) -> None:
    """Shear along x or y by `magnitude` pixels per pixel.

    Source: Cubuk et al. 2019, "AutoAugment", table 6 (ShearX, ShearY).
    """
    along_x = rng.random() < 0.5
    x, y = (magnitude, 0.0) if along_x else (0.0, magnitude)
    warp.compose(((1, x, 0), (y, 1, 0), (0, 0, 1)))


def translate(warp: Warp, magnitude: float, rng: np.random.Generator) -> None:
    """Translate by up to `magnitude` of the side in each direction.

    Source: Cubuk et al. 2019, "AutoAugment", table 6 (TranslateX, TranslateY).
    """
    x, y = (2 * magnitude * (rng.random() - 0.5) for _ in range(2))
    warp.compose(((1, 0, x * warp.width), (0, 1, y * warp.height), (0, 0, 1)))


def perspective(warp: Warp, magnitude: float, rng: np.random.Generator) -> None:
    """Apply a perspective transform; depth at the edges changes by up to a fraction `magnitude`.

    Source: Hartley & Zisserman 2004, "Multiple View Geometry", section 2.4 (projective part).
    """
    x, y = (2 * magnitude * (rng.random() - 0.5) for _ in range(2))
    warp.compose(((1, 0, 0), (0, 1, 0), (2 * x / warp.width, 2 * y / warp.height, 1)))
    warp.is_affine = False


def elastic(warp: Warp, magnitude: float, rng: np.random.Generator) -> None:
    """Deform elastically; control points are displaced by about `magnitude` of the shorter side.

    Source: Simard et al. 2003, section 2, with cubic interpolation of 4 to 8 control points along
    each side.
    """
    num_points = int(rng.integers(4, 9))
    points = rng.standard_normal((num_points, num_points, 2), dtype=np.float32)
    points *= np.float32(magnitude * min(warp.height, warp.width))
    size = (warp.width, warp.height)
    smooth = np.asarray(cv2.resize(points, size, interpolation=cv2.INTER_CUBIC), dtype=np.float32)
    warp.displacement = smooth if warp.displacement is None else warp.displacement + smooth


def resample(rgb: Images, warp: Warp, border: str, rng: np.random.Generator) -> Images:
    """Resample the image once, bilinearly, as the warp defines.

    Args:
        rgb: uint8 (height, width, 3); not modified.
        warp: The composed geometric operations.
        border: A name in `BORDERS`: how pixels outside of the image are filled.
        rng: Draws the colour for the border `colour`.
    """
    height, width = warp.height, warp.width
    colour = (256 * rng.random(3)).tolist() if border == "colour" else (0, 0, 0)
    options: dict[str, Any] = {"borderMode": BORDERS[border], "borderValue": (*colour, 0)}
    matrix = _corner_origin(warp.matrix, (width - 1) / 2, (height - 1) / 2)
    # OpenCV resamples four channels in half the time of three.
    rgba = cv2.cvtColor(rgb, cv2.COLOR_RGB2RGBA)
    if warp.displacement is not None:
        positions = _pixel_grid(height, width) + warp.displacement
        inverse = np.linalg.inv(matrix)
        if warp.is_affine:
            sources = cv2.transform(positions, inverse[:2])
        else:
            sources = cv2.perspectiveTransform(positions, inverse)
        columns, rows = cv2.split(sources)
        warped = cv2.remap(rgba, columns, rows, cv2.INTER_LINEAR, **options)
    elif warp.is_affine:
        warped = cv2.warpAffine(rgba, matrix[:2], (width, height), **options)
    else:
        warped = cv2.warpPerspective(rgba, matrix, (width, height), **options)
    return np.asarray(cv2.cvtColor(warped, cv2.COLOR_RGBA2RGB), dtype=np.uint8)


def _corner_origin(matrix: Matrix, x: float, y: float) -> Matrix:
    """Return the matrix for coordinates whose origin is the corner instead of the centre x, y."""
    (a, b, c), (d, e, f), (g, h, i) = matrix.tolist()
    a, b, c, d, e, f = a + x * g, b + x * h, c + x * i, d + y * g, e + y * h, f + y * i
    rows = ((a, b, c), (d, e, f), (g, h, i))
    return np.array([(p, q, r - p * x - q * y) for p, q, r in rows])


@lru_cache(maxsize=4)
def _pixel_grid(height: int, width: int) -> NDArray[np.float32]:
    """Return the position of each pixel, float32 (height, width, 2), x first."""
    rows, columns = np.indices((height, width), dtype=np.float32)
    return np.stack([columns, rows], axis=2)
