"""Batches of a training step: augmented images and soft targets, prepared in the background."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stainproof.augment.augmenter import Augmenter
from stainproof.augment.mixing import Targets, mix
from stainproof.augment.sampling import epoch_order
from stainproof.config.schema import Config
from stainproof.data.dataset import Dataset
from stainproof.data.images import Images

MIXING = 2**31
"""Separates the random stream of mixing from that of the order."""


@dataclass(frozen=True)
class Batch:
    """Images and targets of one step."""

    images: Images
    """uint8 (b, height, width, 3); with the consistency loss (3b, ...): the images, then two
    augmented versions of each.
    """
    targets: Targets
    """float32 (b, classes), rows sum to 1."""


class Batches:
    """The batches of an epoch; the same seed and epoch give the same bytes."""

    def __init__(self, train: Dataset, config: Config, rank: int = 0, num_processes: int = 1):
        """Prepare augmentation.

        Args:
            train: Training images.
            config: All settings.
            rank: Number of this process; it gets its share of every batch.
            num_processes: Number of processes that train together.

        Raises:
            DataError: The folder of overlay images contains none.
        """
        self.settings = config.augment
        self.seed = config.seed
        self.rank, self.num_processes = rank, num_processes
        self.batch_size = config.training.batch_size
        self.labels = train.labels
        self.one_hot = np.eye(len(train.classes), dtype=np.float32)
        self.augmenter = Augmenter(
            train.images,
            config.augment,
            config.seed,
            without=config.augment.without,
            strength=config.augment.strength,
            workers=config.augment.workers,
        )
        self.num_an_epoch = len(self._order(1))

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """Yield the epoch's shuffled batches; the next one is prepared in the background."""
        order = self._order(epoch)
        with ThreadPoolExecutor(1) as ahead:
            coming = ahead.submit(self._make, order[0], epoch)
            for following in order[1:]:
                batch = coming.result()
                coming = ahead.submit(self._make, following, epoch)
                yield batch
            yield coming.result()

    def _order(self, epoch: int) -> list[NDArray[np.int64]]:
        rng = np.random.default_rng((self.seed, epoch))
        order = epoch_order(self.labels, self.settings.class_balance, rng)
        starts = range(0, len(order), self.batch_size)
        parts = [order[start : start + self.batch_size] for start in starts]
        if len(parts) > 1 and len(parts[-1]) < 2 * self.num_processes:
            parts.pop()
        return [part[self.rank :: self.num_processes] for part in parts]

    def _make(self, part: NDArray[np.int64], epoch: int) -> Batch:
        positions = part % len(self.labels)
        targets = self.one_hot[self.labels[positions]]
        if self.settings.consistency:
            copies = [self.augmenter.batch(part, epoch, copy) for copy in (0, 1)]
            images = np.concatenate([self.augmenter.images[positions], *copies])
        else:
            rng = np.random.default_rng((self.seed, epoch, MIXING, int(part[0])))
            images = self.augmenter.batch(part, epoch)
            images, targets = mix(images, targets, self.settings, rng)
        return Batch(images, targets)
