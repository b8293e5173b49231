"""Imaging of a phantom smear in a laboratory: stain, illumination, optics and sensor.

The Beer-Lambert law turns dye amounts into intensity: I = white x 10^-(amounts . vectors), with one
optical-density vector for each dye (Ruifrok & Johnston 2001, Anal Quant Cytol Histol 23:291).
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from stainproof.data.images import Images
from stainproof.synthetic.anatomy import Amounts, Range, between


@dataclass(frozen=True)
class Stain:
    """A May-Gruenwald-Giemsa stain: the optical density of one unit of each dye."""

    blue: Amounts = (0.80, 0.67, 0.27)
    """Azure B and methylene blue bound to RNA: red, green, blue."""
    purple: Amounts = (0.56, 1.10, 0.18)
    """Azure B with eosin on DNA and in granules (Romanowsky effect)."""
    pink: Amounts = (0.21, 0.50, 0.28)
    """Eosin on proteins, including the absorption of haemoglobin."""
    strength: Amounts = (1.0, 1.0, 1.0)
    """Units of blue, purple and pink bound here for each unit in the laboratory `home`."""
    spread: float = 0.08
    """Standard deviation of the strength between images."""


@dataclass(frozen=True)
class Scene:
    """Slide and microscope of one laboratory."""

    stain: Stain = Stain()
    """The stain."""
    white: Amounts = (254.0, 229.0, 201.0)
    """Red, green and blue of the background."""
    white_spread: float = 1.5
    """Standard deviation of the background between images, in grey levels."""
    vignetting: float = 0.02
    """Fraction of the light lost in the image corner."""
    blur_um: Range = (0.0, 0.0)
    """Range of the standard deviation of the optical blur."""
    sharpening: Range = (-0.6, 0.4)
    """Range of the camera's sharpening; negative values blur."""
    noise: float = 1.2
    """Standard deviation of the sensor noise in grey levels."""
    field_um: float = 18.0
    """Width of the image."""


LABS: dict[str, Scene] = {
    "home": Scene(),
    "other": Scene(
        stain=Stain(purple=(0.72, 1.05, 0.26), strength=(1.25, 0.78, 1.35), spread=0.1),
        white=(226.0, 224.0, 232.0),
        white_spread=6.0,
        vignetting=0.15,
        blur_um=(0.16, 0.32),
        sharpening=(0.0, 0.0),
        noise=4.0,
        field_um=21.0,
    ),
}
"""Laboratory -> its scene. `home` resembles the PBC data set; `other` has another stain,
illumination, optics and magnification.
"""


def expose(rng: np.random.Generator, amounts: NDArray[np.float32], scene: Scene) -> Images:
    """Render dye amounts as an image.

    Args:
        rng: Random generator of stain, background, focus and noise.
        amounts: float32 (size, size, 3), units of blue, purple and pink.
        scene: The laboratory.

    Returns:
        uint8 (size, size, 3), RGB.
    """
    size_px, stain = len(amounts), scene.stain
    px_per_um = size_px / scene.field_um
    strength = np.array(stain.strength) * (1 + stain.spread * rng.standard_normal(3))
    vectors = np.array([stain.blue, stain.purple, stain.pink]).T * strength
    white = np.array(scene.white) + scene.white_spread * rng.standard_normal(3)
    matrix = np.column_stack([-np.log(10) * vectors, np.log(white)])
    light = cv2.exp(cv2.transform(amounts, matrix))
    blur_px = between(rng, scene.blur_um) * px_per_um
    if blur_px:
        light = cv2.GaussianBlur(light, (0, 0), blur_px)
    gain = between(rng, scene.sharpening)
    if gain:
        reach_px = 2 * round(0.2 * px_per_um) + 1
        light = cv2.addWeighted(light, 1 + gain, cv2.blur(light, (reach_px, reach_px)), -gain, 0)
    a, b, c, d = (rng.random(4) * size_px).astype(int).tolist()
    light *= _lamp(size_px, scene.vignetting)[a : a + size_px, b : b + size_px]
    grain = _grain(size_px, scene.noise)[c : c + size_px, d : d + size_px]
    return np.asarray(cv2.add(light, grain, dtype=cv2.CV_8U), np.uint8)


@lru_cache(maxsize=8)
def _lamp(size_px: int, vignetting: float) -> NDArray[np.float32]:
    axis = np.linspace(-1, 1, 2 * size_px, dtype=np.float32)
    loss = vignetting * (axis[:, None] ** 2 + axis**2) / 2
    return np.repeat((1 - loss)[..., None], 3, axis=2)


@lru_cache(maxsize=8)
def _grain(size_px: int, noise: float) -> NDArray[np.float32]:
    rng = np.random.default_rng(size_px)
    grain = rng.standard_normal((2 * size_px, 2 * size_px, 3), dtype=np.float32)
    grain = cv2.GaussianBlur(grain, (0, 0), 0.6)
    return np.asarray(grain * (noise / grain.std()), np.float32)
