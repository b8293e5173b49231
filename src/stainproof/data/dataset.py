"""The data set: labelled images of one size in memory, the type that every stage uses."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from stainproof.data.images import Images
from stainproof.errors import DataError
from stainproof.labels import match_classes

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Dataset:
    """Labelled images of one size in memory."""

    source: str
    """Name of the source: its last folder or file name."""
    images: Images
    """uint8 (N, size, size, 3), RGB, 0 to 255."""
    labels: Labels
    """int64 (N,), positions in `classes`."""
    names: tuple[str, ...]
    """N file names or row names."""
    classes: tuple[str, ...]
    """Class names in the order of the labels."""
    groups: tuple[str, ...] | None = None
    """N names of patients or slides whose images stay in one split; None if the source has none."""
    parts: tuple[str, ...] | None = None
    """N of `train`, `val`, `test`, if the source defines its own split."""
    notes: tuple[str, ...] = ()
    """What was changed while reading the images."""

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: NDArray[np.int64]) -> Self:
        """Return the images at these positions, in this order."""

        def pick(values: tuple[str, ...] | None) -> tuple[str, ...] | None:
            return None if values is None else tuple(values[i] for i in indices)

        return replace(
            self,
            images=self.images[indices],
            labels=self.labels[indices],
            names=tuple(self.names[i] for i in indices),
            groups=pick(self.groups),
            parts=pick(self.parts),
        )

    def class_counts(self) -> dict[str, int]:
        """Count the images of every class."""
        counts = np.bincount(self.labels, minlength=len(self.classes))
        return dict(zip(self.classes, counts.tolist(), strict=True))

    def sha256(self) -> str:
        """Return a hash of classes, names, labels and pixels."""
        digest = hashlib.sha256()
        digest.update("\0".join((*self.classes, *self.names)).encode("utf-8", "surrogateescape"))
        digest.update(self.labels.tobytes())
        for rgb in self.images:
            digest.update(rgb.tobytes())
        return digest.hexdigest()

    def labels_in(self, classes: Sequence[str], owner: str = "the model") -> Labels:
        """Return the labels as positions in another list of classes.

        Args:
            classes: Class names, for instance a model's, in the order of its outputs.
            owner: Whose classes these are, for the error message.

        Returns:
            int64 (N,), positions in `classes`.

        Raises:
            DataError: The set is empty or has a class that is not in the list.
        """
        if not len(self):
            raise DataError(f"{self.source}: no images to evaluate on")
        present = [name for name, count in self.class_counts().items() if count]
        position = dict(zip(present, match_classes(present, classes, owner), strict=True))
        lookup = np.array([position.get(name, -1) for name in self.classes])
        labels: Labels = lookup[self.labels]
        return labels
