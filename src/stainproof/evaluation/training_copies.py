"""Images of a test source that a model was trained on."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from stainproof.config.schema import Preprocessing
from stainproof.data.copies import canonical_hashes
from stainproof.data.dataset import Dataset
from stainproof.inference.classifier import Classifier


def find_training_copies(
    classifier: Classifier, data: Dataset, load: Callable[[Preprocessing], Dataset]
) -> NDArray[np.bool_]:
    """Find the images whose pixels equal those of a training image of any member.

    Rotated and mirrored copies count. Pixels are compared after the preprocessing of each member;
    members without `training_hashes.npy`, as of earlier versions, are left out.

    Args:
        classifier: A run or an ensemble.
        data: The test images as the classifier gets them, standardised if it has a profile.
        load: Reads the same images without the profile, with a preprocessing.

    Returns:
        bool (N,), true for a copy.

    Raises:
        CheckpointError: The hashes of a member are damaged.
    """
    originals = load(classifier.preprocessing) if classifier.lab else data
    hashes = {classifier.preprocessing.size_px: canonical_hashes(originals.images)}
    is_copy = np.zeros(len(data), dtype=bool)
    for member in classifier.members:
        trained_on = member.run.read_training_hashes()
        if trained_on is None:
            continue
        needed = member.card.preprocessing
        if needed.size_px not in hashes:
            hashes[needed.size_px] = canonical_hashes(load(needed).images)
        is_copy |= np.isin(hashes[needed.size_px], trained_on)
    return is_copy
