"""The zoom of a source by two rulers, scale head and red cells, and whether it may be trusted."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from stainproof.runs.appearance import Appearance
from stainproof.shift.appearance import MAGNIFICATION

MIN_IMAGES = 16
MIN_SHARE = 0.5
"""Smallest share of the images in which a ruler must find something."""
MODEL_ERROR = 0.1
"""Standard error of a ruler itself, in log scale, which more images do not reduce: another mixture
of classes, another stain. It is the error of the scale head for one class of LISC.
"""
MAX_ERROR = 0.15
"""Largest standard error of a log scale that is trusted."""
MAX_SPREAD = 0.4
"""Largest spread of the log scale between images that is trusted."""
RELIABLE = (math.log(0.45), math.log(2.6))
"""Range of log scales in which the rulers were tested."""
MAX_DISAGREEMENT = 0.5
"""Largest difference in log scale between the two rulers."""
MEDIAN_ERROR = 1.2533
"""Standard error of a median divided by that of a mean, for a normal distribution."""


@dataclass(frozen=True)
class Ruler:
    """The zoom that one way of measuring finds."""

    name: str
    log_scale: float
    error: float
    """Standard error of `log_scale`."""
    doubt: str = ""
    """Why it does not count; empty if it does."""

    def describe(self) -> str:
        """Return the zoom with its 95 % interval as text."""
        low, high = (math.exp(self.log_scale + sign * 1.96 * self.error) for sign in (-1, 1))
        text = f"{self.name}: {math.exp(self.log_scale):.2f} ({low:.2f} to {high:.2f})"
        return f"{text}; {self.doubt}" if self.doubt else text


@dataclass(frozen=True)
class MeasuredScale:
    """The zoom that the rulers find together."""

    log_scale: float
    error: float
    """Standard error of `log_scale`."""
    said: tuple[str, ...] = ()
    """What each ruler found, one line each."""
    refusal: str = ""
    """Why it may not be trusted; empty if it may."""


def read_rulers(source: Appearance, reference: Appearance) -> list[Ruler]:
    """Return what scale head and red cells say, as far as both sources have them."""
    rulers = []
    for name, key, in_log in (
        ("scale head", MAGNIFICATION, True),
        ("red cells", "red_cell_diameter", False),
    ):
        here, home = source.measures.get(key), reference.measures.get(key)
        if not here or not home:
            continue
        value, usual = here.values[0], home.values[0]
        log_scale = usual - value if in_log else math.log(usual / value)
        unit = (1.0, 1.0) if in_log else (value, usual)
        variance = sum(
            (MEDIAN_ERROR * one.spread[0] / size) ** 2 / max(one.num_images, 1)
            for one, size in zip((here, home), unit, strict=True)
        )
        error = math.sqrt(variance + MODEL_ERROR**2)
        doubt = _doubt(here.num_images, source.num_images, error, here.spread[0] / unit[0])
        rulers.append(Ruler(name, log_scale, error, doubt))
    return rulers


def combine(num_images: int, rulers: Sequence[Ruler]) -> MeasuredScale:
    """Return the mean of the rulers that are not doubtful, weighted by their inverse variances.

    Args:
        num_images: Number of images of the source that were measured.
        rulers: What `read_rulers` found.
    """
    said = tuple(one.describe() for one in rulers)
    sure = [one for one in rulers if not one.doubt]
    if not sure:
        doubts = "; ".join(f"{one.name}: {one.doubt}" for one in rulers)
        refusal = doubts or "no image could be measured"
        if num_images < MIN_IMAGES:
            refusal = f"{num_images} images, {MIN_IMAGES} are needed"
        return MeasuredScale(0.0, math.inf, said, refusal)
    weights = [one.error**-2 for one in sure]
    total = sum(weights)
    log_scale = sum(w * one.log_scale for w, one in zip(weights, sure, strict=True)) / total
    found = [one.log_scale for one in sure]
    refusal = ""
    if max(found) - min(found) > MAX_DISAGREEMENT:
        refusal = "scale head and red cells disagree"
    elif not RELIABLE[0] <= log_scale <= RELIABLE[1]:
        refusal = f"scale {math.exp(log_scale):.2f} is outside of the range that was tested"
    return MeasuredScale(log_scale, total**-0.5, said, refusal)


def _doubt(num_measured: int, num_images: int, error: float, spread: float) -> str:
    if num_measured < MIN_SHARE * num_images:
        return f"found in {num_measured} of {num_images} images only"
    if num_measured < MIN_IMAGES:
        return f"found in {num_measured} images, {MIN_IMAGES} are needed"
    if spread > MAX_SPREAD:
        return f"differs by {100 * spread:.0f} % between images, at most {100 * MAX_SPREAD:.0f} %"
    if error > MAX_ERROR:
        return f"standard error {100 * error:.0f} %, at most {100 * MAX_ERROR:.0f} % is trusted"
    return ""
