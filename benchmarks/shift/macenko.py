"""Full stain normalisation, for comparison with a white point alone."""

import numpy as np
from numpy.typing import NDArray

from stainproof.data.images import Images
from stainproof.runs.appearance import Appearance


def normalise_stain(
    rgb: Images, rows: dict[str, NDArray[np.float64]], reference: Appearance
) -> Images:
    """Exchange the stains of an image, whose white point is corrected, for the training images'.

    Source: Macenko et al. 2009, "A method for normalizing histology slides for quantitative
    analysis"; vectors and strength are medians over the set and not over one image.

    Args:
        rgb: uint8 (height, width, 3).
        rows: What was measured on each image of the set, see `shift.appearance.measure_rows`.
        reference: What was measured on the training images.
    """
    white = np.array(reference.measures["white_point"].values)
    here = np.nanmedian(rows["stain_vectors"], axis=0).reshape(2, 3)
    home = np.array(reference.measures["stain_vectors"].values).reshape(2, 3)
    home_strength = reference.measures["stain_strength"].values[0]
    strength = home_strength / max(float(np.nanmedian(rows["stain_strength"])), 1e-3)
    density = -np.log10(np.maximum(rgb.astype(np.float64), 1) / white)
    amounts = density.reshape(-1, 3) @ np.linalg.pinv(here)
    light = white * 10 ** -(strength * amounts @ home)
    return np.clip(np.rint(light), 0, 255).astype(np.uint8).reshape(rgb.shape)
