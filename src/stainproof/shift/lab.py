"""The laboratory profile: how a source differs from the training images, and its correction."""

from pathlib import Path
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat, model_validator

from stainproof.data.images import Images, Standardise, reduce, unchanged
from stainproof.data.white_balance import MAX_GAIN, gain_table
from stainproof.provenance import Provenance
from stainproof.runs.appearance import Measure
from stainproof.runs.artefact import SCHEMA_VERSION, Artefact

MIN_SCALE, MAX_SCALE = 0.4, 3.0
"""Allowed zoom factors."""
MAX_ENLARGED_SIDE_PX = 1024
"""Longer images are shrunk to this side before a border is added."""

Colour = tuple[FiniteFloat, FiniteFloat, FiniteFloat]


class Lab(Artefact):
    """A laboratory profile, measured on unlabelled images by `stainproof profile`.

    Example:
        >>> from stainproof.shift.lab import Lab
        >>> lab = Lab(scale=1.5, white_point=(240, 235, 200), target_white_point=(255, 232, 210))
        >>> lab.describe()
        'scale 1.50, white point 240 235 200'
    """

    schema_version: int = Field(SCHEMA_VERSION, ge=SCHEMA_VERSION, le=SCHEMA_VERSION)
    scale: float = Field(1.0, ge=MIN_SCALE, le=MAX_SCALE)
    """Factor by which an image is zoomed about its centre so that cells get the size that the
    network learnt; above 1 enlarges them.
    """
    white_point: Colour = (255.0, 255.0, 255.0)
    """Median over the images of the 95th percentile of each RGB channel, 0 to 255."""
    target_white_point: Colour = (255.0, 255.0, 255.0)
    """The white point to which `standardise` brings that of the source: that of the training
    images, or the source's own if it is not corrected.
    """
    trusted: bool = True
    """Whether the images are changed; if not, `reasons` says why."""
    reasons: tuple[str, ...] = ()
    """What was found doubtful and what was decided, one line each."""
    source: str = ""
    """Name of the source."""
    num_images: int = Field(0, ge=0)
    """Number of images that were measured."""
    measures: dict[str, Measure] = Field(default_factory=dict)
    """Name of a property -> its measure in the source."""
    reference: dict[str, Measure] = Field(default_factory=dict)
    """The same properties of the training images."""
    weights_sha256: str = ""
    """Hash of the weights of the model for which the profile was made."""
    provenance: Provenance | None = None

    @model_validator(mode="after")
    def _usable_white_points(self) -> Self:
        for colour in (self.white_point, self.target_white_point):
            if not all(1 <= value <= 255 for value in colour):
                raise ValueError(f"white_point: must be 1 to 255 in every channel, got {colour}")
        return self

    @property
    def gains(self) -> NDArray[np.float64]:
        """Factors by which the RGB channels are multiplied, float64 (3,)."""
        gains = np.array(self.target_white_point) / np.array(self.white_point)
        return np.asarray(np.clip(gains, 1 / MAX_GAIN, MAX_GAIN), dtype=np.float64)

    @property
    def changes(self) -> bool:
        """Whether `standardise` changes images."""
        return self.trusted and (self.scale != 1 or self.white_point != self.target_white_point)

    def corrected(self, scale: float, *, white: bool) -> Self:
        """Return a copy with this scale, whose target is the own white point unless `white`."""
        target = self.target_white_point if white else self.white_point
        return self.model_copy(update={"scale": scale, "target_white_point": target})

    def standardise(self, rgb: Images) -> Images:
        """Zoom an image about its centre and correct its white point.

        Args:
            rgb: uint8 (height, width, 3), at the resolution of its file.

        Returns:
            uint8 (height', width', 3): `rgb` itself if the profile is not trusted. A scale above 1
            crops the centre; one below 1 adds a border by reflection. Nothing is resized, except
            that an image longer than 1024 px is shrunk to that before a border is added.
        """
        if not self.changes:
            return rgb
        return _correct_white(_zoom(rgb, self.scale), self.gains)

    def describe(self) -> str:
        """Return what it changes, such as `scale 1.50, white point 240 235 200`."""
        if not self.changes:
            return "nothing is changed"
        if self.white_point == self.target_white_point:
            return f"scale {self.scale:.2f}"
        white = " ".join(f"{value:.0f}" for value in self.white_point)
        return f"scale {self.scale:.2f}, white point {white}"


def standardiser(lab: Lab | None) -> Standardise:
    """Return the function that standardises an image by a profile; without one it is unchanged."""
    return lab.standardise if lab else unchanged


def read_lab(lab: "Lab | str | Path | None") -> Lab | None:
    """Return a profile as it is, or read one from its file.

    Raises:
        CheckpointError: The file is missing or no profile.
    """
    return lab if lab is None or isinstance(lab, Lab) else Lab.read(Path(lab))


def _zoom(rgb: Images, scale: float) -> Images:
    """Return the centre of an image, or the image with a reflected border, at its resolution."""
    if scale == 1:
        return rgb
    longest = max(rgb.shape[:2])
    if scale < 1 and longest > MAX_ENLARGED_SIDE_PX:
        rgb = reduce(rgb, MAX_ENLARGED_SIDE_PX / longest)
    height, width = rgb.shape[:2]
    new_height, new_width = (max(1, round(side / scale)) for side in (height, width))
    if scale > 1:
        top, left = (height - new_height) // 2, (width - new_width) // 2
        return rgb[top : top + new_height, left : left + new_width]
    top, left = (new_height - height) // 2, (new_width - width) // 2
    bottom, right = new_height - height - top, new_width - width - left
    bordered = cv2.copyMakeBorder(rgb, top, bottom, left, right, cv2.BORDER_REFLECT)
    return np.asarray(bordered, dtype=np.uint8)


def _correct_white(rgb: Images, gains: NDArray[np.float64]) -> Images:
    """Return an image with each channel multiplied by its gain; values above 255 become 255."""
    corrected = cv2.LUT(np.ascontiguousarray(rgb), gain_table(gains)[None])
    return np.asarray(corrected, dtype=np.uint8)
