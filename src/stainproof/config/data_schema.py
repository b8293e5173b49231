"""Settings of the data: preprocessing, sources, split and audit."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat

from stainproof.config.parsing import Settings

MAX_SIZE_PX = 1024
Level = Annotated[int, Field(ge=1, le=255)]


class Preprocessing(Settings):
    """Preprocessing of a network's images, stored with the weights and defined nowhere else."""

    size_px: int = Field(96, ge=16, le=MAX_SIZE_PX)
    """Height and width of the network's input in pixels."""
    fit: Literal["crop", "pad", "stretch"] = "crop"
    """How an image that is not square becomes square: `crop` takes the centre, `pad` adds grey
    borders, `stretch` changes the aspect ratio.
    """
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Subtracted from each RGB channel after scaling to [0, 1]."""
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = (1.0, 1.0, 1.0)
    """Divides each RGB channel after the subtraction."""
    channels: Literal["RGB"] = "RGB"
    """Channel order of the network's input."""
    white_point: tuple[Level, Level, Level] | None = None
    """White point, RGB from 1 to 255, to which every image is brought before it is augmented or
    predicted, where its background is found; BloodMNIST's is [255, 230, 203]. None: no image is.
    """


class SourceConfig(Settings):
    """How a source is read, where it does not say so itself."""

    layout: str = ""
    """Pattern of the paths below a folder, such as `{group}/**/{label}/*`; empty: guessed."""
    path_column: str = ""
    """Column of a manifest with the image files; empty: found by its name."""
    label_column: str = ""
    """Column of a manifest with the classes; empty: found by its name."""
    group_column: str = ""
    """Column of a manifest with patients or slides; empty: found by its name."""
    classes: str = ""
    """Class names of an npz file without them, in the order of its labels, separated by commas;
    `bloodmnist` stands for its eight.
    """
    class_map: str = ""
    """TOML file that renames, merges and leaves out classes, or `haematology`, the packaged one."""
    bits: Literal[0, 8, 10, 12, 14, 16] = 0
    """Number of bits that the values of 16-bit files use; 0: that of the file, or found from the
    largest value of the source.
    """
    skip_unreadable: bool = False
    """Whether images that cannot be read are left out and listed, instead of ending the command."""


class SplitConfig(Settings):
    """Train, validation and test split."""

    val_fraction: float = Field(0.1, gt=0.0, lt=0.9)
    """Fraction of the images used for early stopping, the schedule and the choice of the best
    epoch."""
    test_fraction: float = Field(0.0, ge=0.0, lt=0.9)
    """Fraction of the images held out for one evaluation after training."""


class AuditConfig(Settings):
    """Thresholds of an audit, in units that adapt to the data set."""

    near_duplicate_deviations: float = Field(6.0, gt=0.0, le=100.0)
    """A pair of images is a near duplicate if its log distance lies this many robust standard
    deviations below the median log nearest-neighbour distance, and its distance is at most 0.015.
    """
    doctored_margin: float = Field(1.3, ge=1.0, le=10.0)
    """Factor by which an image's correlation with the overlay of a group must exceed the largest
    one that rotated copies reach.
    """
    doctored_threshold: float = Field(0.2, ge=0.0, le=100.0)
    """SVM decision value, in units of the margin, above which a single image counts as doctored."""
    doctored_drop_threshold: float = Field(0.7, ge=0.0, le=100.0)
    """Decision value from which a single doctored image is dropped; below it a person reviews it.
    Cells of a rare stain reach values up to 0.65.
    """
    outlier_threshold: float = Field(3.0, gt=0.0, le=100.0)
    """Distance of an outlier from the median, divided by that of the 1st percentile (below) or the
    99th (above)."""
    min_label_probability: float = Field(0.02, ge=0.0, le=1.0)
    """Cross-validated probability of the given label below which it is a label issue."""
    seed: int = Field(0, ge=0, lt=2**31)
    """Seed of samples and folds."""
