"""Progressive resizing: training images start small and grow to full size."""

from collections.abc import Sequence

from stainproof.config.schema import Config

FULL_SIZE_FROM = 2 / 3
"""Fraction of a run after which images have their full size."""
STEP_PX = 8
"""Step in which images grow."""
BACKBONE_HALVINGS = 5
"""Most networks of timm reduce height and width by a factor of 2^5."""


def start_px(config: Config) -> int:
    """Return the height and width of training images at the start of a run.

    It is scaled by `training.start_scale`, but at least 2 to the power of the network's number of
    halvings.
    """
    settings, full_px = config.network, config.preprocessing.size_px
    halvings = BACKBONE_HALVINGS if settings.backbone else len(settings.stem + settings.stages)
    return min(max(round(config.training.start_scale * full_px), 1 << halvings), full_px)


def size_px(progress: float, config: Config) -> int:
    """Return the height and width of training images at a point of the run.

    They grow in steps of 8 px and are full after two thirds of the run (progressive resizing, as in
    Tan & Le 2021, "EfficientNetV2", section 4).

    Args:
        progress: 0 at the start of training, 1 at its end.
        config: Defines the final size, the initial scale and the number of halvings.
    """
    full_px, first_px = config.preprocessing.size_px, start_px(config)
    grown = min(progress / FULL_SIZE_FROM, 1.0)
    if grown == 1:
        return full_px
    return first_px + int(grown * (full_px - first_px) / STEP_PX) * STEP_PX


def training_sizes_px(config: Config) -> Sequence[int]:
    """Return every height and width that training images of a run have, ascending."""
    full_px = config.preprocessing.size_px
    return (*range(start_px(config), full_px, STEP_PX), full_px)
