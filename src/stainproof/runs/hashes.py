"""The file of hashes of the training images, `training_hashes.npy`."""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stainproof.errors import CheckpointError


def hashes_as_npy(hashes: NDArray[np.uint64]) -> bytes:
    """Return the content of the file: the different hashes, ascending.

    Args:
        hashes: uint64 (N,), see `data.copies.canonical_hashes`.
    """
    content = io.BytesIO()
    np.save(content, np.unique(hashes), allow_pickle=False)
    return content.getvalue()


def parse_hashes(content: bytes, path: Path) -> NDArray[np.uint64]:
    """Return the hashes in the content of the file, uint64 (N,), ascending.

    Args:
        content: The file's bytes.
        path: The file, for messages.

    Raises:
        CheckpointError: The content is no array of such hashes.
    """
    try:
        hashes = np.load(io.BytesIO(content), allow_pickle=False)
    except Exception as error:  # NumPy raises many types for a damaged header
        raise CheckpointError(f"{path}: damaged; not a NumPy file") from error
    if not isinstance(hashes, np.ndarray) or hashes.dtype != np.uint64 or hashes.ndim != 1:
        raise CheckpointError(f"{path}: damaged; not one uint64 an image")
    return hashes
