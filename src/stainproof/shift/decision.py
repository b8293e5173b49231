"""Decide on the zoom of a source: which ruler counts, and whether it may be trusted."""

import math
from dataclasses import dataclass

from stainproof.runs.appearance import Appearance
from stainproof.shift.appearance import MAGNIFICATION
from stainproof.shift.criterion import Preference

MIN_IMAGES = 16
MIN_SHARE = 0.5
"""Smallest share of the images in which the ruler must find something."""
MODEL_ERROR = 0.04
"""Standard error of a ruler itself, in log scale, which more images do not reduce."""
MAX_ERROR = 0.12
"""Largest standard error of a log scale that is trusted."""
MAX_SPREAD = 0.4
"""Largest spread of the log scale between images that is trusted."""
SAME_SCALE = 0.06
"""Log scales nearer to 0 than this, or than their standard error, are left at 1."""
RELIABLE = (math.log(0.45), math.log(2.3))
"""Range of log scales in which the scale head was tested."""
MAX_DISAGREEMENT = 0.5
"""Largest difference in log scale between the scale head and the red cells."""
MEDIAN_ERROR = 1.2533
"""Standard error of a median divided by that of a mean, for a normal distribution."""


@dataclass(frozen=True)
class Ruler:
    """The zoom that one way of measuring finds."""

    name: str
    log_scale: float
    error: float
    """Standard error of `log_scale`."""
    num_images: int
    doubt: str = ""
    """Why it does not count; empty if it does."""

    def describe(self) -> str:
        """Return the zoom with its 95 % interval as text."""
        low, high = (math.exp(self.log_scale + sign * 1.96 * self.error) for sign in (-1, 1))
        text = f"{self.name}: {math.exp(self.log_scale):.2f} ({low:.2f} to {high:.2f})"
        return f"{text}; {self.doubt}" if self.doubt else text


@dataclass(frozen=True)
class Decision:
    """The zoom that a profile applies, and why."""

    scale: float
    trusted: bool
    reasons: tuple[str, ...]


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
        spread = here.spread[0] / unit[0]
        doubt = _doubt(here.num_images, source.num_images, error, spread)
        rulers.append(Ruler(name, log_scale, error, here.num_images, doubt))
    return rulers


def decide(num_images: int, rulers: list[Ruler], preference: Preference | None) -> Decision:
    """Return the zoom.

    The scale head decides; red cells can refuse it. The predictions' criterion is reported, and
    decides nothing, because a skewed mixture of classes misleads it.

    Args:
        num_images: Number of images of the source that were measured.
        rulers: What `read_rulers` found.
        preference: The zoom that the predictions prefer.
    """
    said = [one.describe() for one in rulers]
    if preference:
        said.append(f"predictions: {preference.scale:.2f}, {preference.gain:+.3f} nats")
    by_name = {one.name: one for one in rulers}
    head, red = by_name.get("scale head"), by_name.get("red cells")
    doubt = _refusal(num_images, head, red)
    if doubt or head is None:
        return Decision(1.0, False, (f"not trusted: {doubt}; nothing is changed", *said))
    if abs(head.log_scale) < max(SAME_SCALE, head.error):
        kept = "the scale agrees with that of the training images and stays 1"
        return Decision(1.0, True, (kept, *said))
    return Decision(round(math.exp(head.log_scale), 3), True, tuple(said))


def _refusal(num_images: int, head: Ruler | None, red: Ruler | None) -> str:
    """Return why the scale head is not followed; empty if it is."""
    if num_images < MIN_IMAGES:
        return f"{num_images} images, {MIN_IMAGES} are needed"
    if head is None:
        return "the scale head recognised no image"
    if head.doubt:
        return f"scale head: {head.doubt}"
    if not RELIABLE[0] <= head.log_scale <= RELIABLE[1]:
        return f"scale {math.exp(head.log_scale):.2f} is outside of the range that was tested"
    if red and not red.doubt and abs(red.log_scale - head.log_scale) > MAX_DISAGREEMENT:
        return "scale head and red cells disagree"
    return ""


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
