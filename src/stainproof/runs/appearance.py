"""The appearance of a source of images: scale, colour, focus and noise, as measured values."""

from pydantic import Field

from stainproof.runs.artefact import Artefact


class Measure(Artefact):
    """One property of the images of a source, measured image by image."""

    values: tuple[float, ...] = Field(min_length=1)
    """The median over the images; one value, or one for each channel or vector component."""
    spread: tuple[float, ...] = Field(min_length=1)
    """Robust standard deviation between images, 1.4826 times the median absolute deviation; as
    many values as `values`.
    """
    num_images: int = Field(ge=0)
    """Number of images in which it could be measured."""
    unit: str = ""
    how: str
    """How it was measured, in one line."""


class Appearance(Artefact):
    """What was measured on the images of one source."""

    num_images: int = Field(ge=0)
    """Number of images that were measured."""
    measures: dict[str, Measure]
    """Name of a property -> its measure."""
