"""Augmentation recipes: which operations, with which probability and range; the named recipes.

The magnitude of an operation is defined in its docstring in `augment/`; 0 leaves the image
unchanged.
"""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from stainproof.config.parsing import Settings

RANGES: dict[str, tuple[float, float]] = {
    "d4": (0, 1),
    "flip": (0, 1),
    "blend": (0.1, 0.6),
    "multiply": (0.2, 0.9),
    "amplitude_swap": (0.2, 1),
    "detail_swap": (0.5, 3),
    "rotate": (-45, 45),
    "zoom": (-0.7, 0.7),
    "aspect_ratio": (-0.3, 0.3),
    "shear": (-0.25, 0.25),
    "translate": (0, 0.25),
    "perspective": (0, 0.25),
    "elastic": (0, 0.05),
    "stain": (0, 0.35),
    "density": (0, 0.8),
    "white_balance": (0, 0.3),
    "saturation": (-1, 1),
    "hue": (-90, 90),
    "channel_shuffle": (0, 1),
    "brightness": (-0.4, 0.4),
    "contrast": (-1.4, 1),
    "gamma": (-1.2, 1.2),
    "rgb_shift": (0, 0.25),
    "tone_curve": (0, 0.3),
    "posterize": (0, 6.5),
    "solarize": (0, 0.6),
    "equalize": (0, 1),
    "autocontrast": (0, 1),
    "blur": (0, 2.5),
    "defocus": (0, 4),
    "motion_blur": (0, 9),
    "sharpen": (0, 2),
    "random_filter": (0, 0.6),
    "downscale": (0, 2.5),
    "noise": (0, 0.16),
    "salt_and_pepper": (0, 0.08),
    "jpeg": (10, 94),
    "cutout": (0.1, 0.5),
    "grid_mask": (0.1, 0.45),
}
"""Operation -> default range of its magnitude; in the order of application, from slide to file."""

_SHARES = (
    "d4", "flip", "multiply", "amplitude_swap", "channel_shuffle", "white_balance", "solarize",
    "equalize", "autocontrast", "salt_and_pepper", "grid_mask", "cutout", "noise", "rgb_shift",
    "translate",
)  # fmt: skip
LIMITS: dict[str, tuple[float, float]] = dict.fromkeys(_SHARES, (0.0, 1.0)) | {
    "blend": (0, 0.95),
    "detail_swap": (0, 32),
    "rotate": (-360, 360),
    "zoom": (-4, 4),
    "aspect_ratio": (-4, 4),
    "shear": (-2, 2),
    "perspective": (0, 0.45),
    "elastic": (0, 0.5),
    "stain": (0, 2),
    "density": (0, 4),
    "saturation": (-1, 4),
    "hue": (-360, 360),
    "brightness": (-1, 1),
    "contrast": (-6, 6),
    "gamma": (-6, 6),
    "tone_curve": (0, 2),
    "posterize": (0, 7),
    "blur": (0, 32),
    "defocus": (0, 32),
    "motion_blur": (0, 64),
    "sharpen": (-1, 16),
    "random_filter": (0, 2),
    "downscale": (0, 31),
    "jpeg": (0, 99),
}
"""Operation -> limits of its magnitude."""

FAMILIES: dict[str, tuple[str, ...]] = {
    "symmetries": ("d4", "flip"),
    "overlays": ("blend", "multiply", "amplitude_swap", "detail_swap"),
    "geometry": (
        "rotate", "zoom", "aspect_ratio", "shear", "translate", "perspective", "elastic",
    ),
    "stains": ("stain", "density", "white_balance"),
    "colours": ("saturation", "hue", "channel_shuffle", "rgb_shift", "tone_curve"),
    "tone": ("brightness", "contrast", "gamma", "equalize", "autocontrast"),
    "levels": ("posterize", "solarize"),
    "sharpness": ("blur", "defocus", "motion_blur", "sharpen", "random_filter", "downscale"),
    "grain": ("noise", "salt_and_pepper"),
    "compression": ("jpeg",),
    "occlusion": ("cutout", "grid_mask"),
}  # fmt: skip
"""Family -> its operations."""

Border = Literal["reflect", "edge", "colour", "black"]
Policy = Literal["independent", "randaugment", "augmix"]


class OperationRange(Settings):
    """Probability and range of one operation."""

    probability: float = Field(ge=0.0, le=1.0)
    """Probability that the operation is applied to an image, for the policy `independent`."""
    low: float
    """Smallest magnitude."""
    high: float
    """Largest magnitude; magnitudes are drawn uniformly between the two."""

    @model_validator(mode="after")
    def _in_order(self) -> "OperationRange":
        if self.low > self.high:
            raise ValueError(f"low must not be above high, got {self.low:g} and {self.high:g}")
        return self


class Recipe(Settings):
    """A set of operations and the policy that selects among them for each image."""

    policy: Policy = "independent"
    """`independent`: every operation with its own probability; `randaugment`: `num_ops` operations
    with equal probability; `augmix`: `mixture_width` chains of 1 to 3 operations, blended with the
    image.
    """
    num_ops: int = Field(2, ge=1, le=16)
    """Number of operations an image, for `randaugment`."""
    magnitude: float = Field(0.0, ge=0.0, le=1.0)
    """Magnitude of every operation, for `randaugment` and `augmix`, as a fraction of the end of its
    range; 0: the fraction is drawn from 0 to 1.
    """
    mixture_width: int = Field(3, ge=1, le=8)
    """Number of chains, for `augmix`."""
    family_probability: float = Field(1.0, gt=0.0, le=1.0)
    """Probability with which a family of operations is active for an image. Within an active family
    operations are applied more often, so that their overall probability stays the same. 1:
    operations are independent.
    """
    shuffle_probability: float = Field(0.0, ge=0.0, le=1.0)
    """Probability that the families of operations are applied in random order."""
    borders: tuple[Border, ...] = Field(("reflect",), min_length=1)
    """How pixels outside of the image are filled after a geometric operation; one is drawn each
    time. `reflect`: mirrored, `edge`: the nearest pixel, `colour`: one random colour, `black`.
    """
    pictures: str = ""
    """Folder of overlay images; empty: synthetic images and other cells."""
    operations: dict[str, OperationRange] = Field(default_factory=dict)
    """Operation -> its probability and range. Applied in the order of `RANGES`, symmetries first.
    """

    @field_validator("operations")
    @classmethod
    def _within_limits(cls, operations: dict[str, OperationRange]) -> dict[str, OperationRange]:
        for name, draw in operations.items():
            least, most = LIMITS[name]
            if draw.low < least or draw.high > most:
                raise ValueError(
                    f"{name} takes magnitudes from {least:g} to {most:g}, "
                    f"got {draw.low:g} to {draw.high:g}"
                )
        return operations

    @field_validator("operations", mode="before")
    @classmethod
    def _known(cls, operations: Any) -> Any:
        """Fill in default ranges; refuse unknown operations."""
        if not isinstance(operations, dict):
            return operations
        filled = {}
        for name, draw in operations.items():
            if name not in RANGES:
                raise ValueError(f"no operation {name!r}; allowed: {', '.join(RANGES)}")
            low, high = RANGES[name]
            usual = {"probability": 0.0, "low": low, "high": high}
            filled[name] = {**usual, **draw} if isinstance(draw, dict) else draw
        return filled


def _draws(probabilities: dict[str, float], **ranges: tuple[float, float]) -> dict[str, Any]:
    """Return operations with their default ranges or the given ones."""
    found = {}
    for name, probability in probabilities.items():
        low, high = ranges.get(name, RANGES[name])
        found[name] = {"probability": probability, "low": low, "high": high}
    return found


_SIMPLE = _draws(
    {"flip": 1, "translate": 1, "rotate": 1, "zoom": 1, "brightness": 1, "contrast": 1},
    translate=(0, 0.2),
    rotate=(-72, 72),
    zoom=(-0.26, 0.32),
    brightness=(-0.5, 0.5),
    contrast=(-2, 0.81),
)
_POLICY = _draws(
    dict.fromkeys(
        (
            "rotate", "shear", "translate", "brightness", "contrast", "saturation", "sharpen",
            "posterize", "solarize", "equalize", "autocontrast",
        ),
        1,
    ),
    brightness=(-0.5, 0.5),
    translate=(0, 0.33),
    shear=(-0.3, 0.3),
    solarize=(0, 1),
    posterize=(0, 6),
)  # fmt: skip

RECIPES: dict[str, dict[str, Any]] = {
    "none": {},
    "d4": {"operations": _draws({"d4": 1})},
    "simple": {"operations": _SIMPLE},
    "overlays": {
        "operations": {
            **_draws({"blend": 0.5, "multiply": 0.25}, blend=(0.2, 0.7)),
            **_SIMPLE,
        },
    },
    "randaugment": {
        "policy": "randaugment",
        "num_ops": 3,
        "magnitude": 0.5,
        "operations": {**_draws({"d4": 1}), **_POLICY},
    },
    "trivialaugment": {
        "policy": "randaugment",
        "num_ops": 1,
        "operations": {**_draws({"d4": 1}), **_POLICY},
    },
    "augmix": {"policy": "augmix", "operations": {**_draws({"d4": 1}), **_POLICY}},
    "prime": {
        "policy": "augmix",
        "operations": _draws({"d4": 1, "elastic": 1, "tone_curve": 1, "random_filter": 1}),
    },
    "hybrid": {
        "operations": _draws({"d4": 1, "amplitude_swap": 0.5, "detail_swap": 0.5}),
    },
    "stains": {
        "operations": _draws({"d4": 1, "stain": 0.6, "density": 0.5, "white_balance": 0.5}),
    },
    "stainproof": {
        "family_probability": 0.3,
        "shuffle_probability": 0.3,
        "borders": ("reflect", "edge", "colour", "black"),
        "operations": _draws(
            {
                "d4": 1.0,
                "blend": 0.28,
                "multiply": 0.07,
                "amplitude_swap": 0.01,
                "detail_swap": 0.015,
                "rotate": 0.12,
                "zoom": 0.25,
                "aspect_ratio": 0.06,
                "shear": 0.05,
                "translate": 0.15,
                "perspective": 0.05,
                "elastic": 0.05,
                "stain": 0.08,
                "density": 0.1,
                "white_balance": 0.08,
                "saturation": 0.1,
                "hue": 0.1,
                "channel_shuffle": 0.02,
                "brightness": 0.12,
                "contrast": 0.12,
                "gamma": 0.08,
                "rgb_shift": 0.04,
                "tone_curve": 0.04,
                "posterize": 0.08,
                "solarize": 0.03,
                "equalize": 0.02,
                "autocontrast": 0.01,
                "blur": 0.06,
                "defocus": 0.04,
                "motion_blur": 0.03,
                "sharpen": 0.03,
                "random_filter": 0.03,
                "downscale": 0.05,
                "noise": 0.09,
                "salt_and_pepper": 0.03,
                "jpeg": 0.08,
                "cutout": 0.18,
                "grid_mask": 0.02,
            }
        ),
    },
}
"""Every named recipe, as its difference from an empty `Recipe`:

`none`: no augmentation; `d4`: the eight symmetries of the square; `simple`: the first recipe of the
AN2DL paper (section 4); `overlays`: the same after blending overlay images in, the paper's second
recipe; `randaugment`: Cubuk et al. 2020; `trivialaugment`: Mueller & Hutter 2021; `augmix`:
Hendrycks et al. 2020; `prime`: the three families of Modas et al. 2022; `hybrid`: amplitude swaps
of Chen et al. 2021 (APR) and high-frequency swaps of Yucel et al. 2023 (HybridAugment++); `stains`:
optical-density augmentation, Tellez et al. 2018; `stainproof`: our own, all families. All but
`simple` and `overlays` include `d4`, because a smear has no upright direction.
"""
