"""The augmenter: applies a recipe to batches, reproducibly from seed, epoch and sample number."""

import time
from collections.abc import Container, Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from numpy.typing import NDArray

from stainproof.augment.operations import SampledOperation, apply
from stainproof.augment.overlays import OverlaySource
from stainproof.config.recipes import FAMILIES, LIMITS, RANGES, Recipe
from stainproof.data.images import Images

SYMMETRIES = FAMILIES["symmetries"]
FAMILY_OF = {name: family for family, names in FAMILIES.items() for name in names}
INDEPENDENT = -1
"""Takes the place of a family's number for operations that are drawn independently of it."""


class Augmenter:
    """Augments batches; the same seed, epoch and sample numbers give the same bytes."""

    def __init__(
        self,
        images: Images,
        recipe: Recipe,
        seed: int,
        *,
        without: Sequence[str] = (),
        strength: float = 1.0,
        workers: int = 1,
    ):
        """Prepare the operations.

        Args:
            images: uint8 (N, height, width, 3); never modified. They are also used as overlays.
            recipe: Operations and policy.
            seed: Seed of all random numbers.
            without: Operations and families that are left out.
            strength: Multiplies every magnitude, within its limits; 0: no augmentation.
            workers: Number of threads; the result does not depend on it.

        Raises:
            DataError: The recipe's folder of overlay images contains none.
        """
        self.images = images
        self.recipe = recipe
        self.seed = seed
        self.workers = workers
        excluded = {op for name in without for op in FAMILIES.get(name, (name,))}
        enabled = {name for name, op in recipe.operations.items() if op.probability} - excluded
        self.names = [name for name in RANGES if name in enabled] if strength else []
        operations = [recipe.operations[name] for name in self.names]
        self.probabilities, self.families = self._within_families(
            [operation.probability for operation in operations]
        )
        self.ranges: list[tuple[float, float]] = []
        for name, op in zip(self.names, operations, strict=True):
            low, high = np.clip((strength * op.low, strength * op.high), *LIMITS[name])
            self.ranges.append((float(low), float(high)))
        self.symmetries = [index for index, name in enumerate(self.names) if name in SYMMETRIES]
        self.others = [index for index, name in enumerate(self.names) if name not in SYMMETRIES]
        self.overlays = OverlaySource(images, recipe.pictures, seed)
        self.cpu_time_s = 0.0
        """Processor time of all batches so far, in seconds, summed over threads."""

    def _within_families(self, probabilities: list[float]) -> tuple[NDArray[np.float64], list[int]]:
        """Return each operation's probability given that its family is active, and the family.

        Dividing by the probability of the family keeps the overall probability of the operation. An
        operation that is more probable than its family is drawn independently of it.

        Args:
            probabilities: Overall probability of each operation.

        Returns:
            Conditional probabilities, float64, and numbers of families in the order of `FAMILIES`,
            or `INDEPENDENT`.
        """
        of_family = self.recipe.family_probability
        numbers = {family: number for number, family in enumerate(FAMILIES)}
        conditional, families = [], []
        for name, probability in zip(self.names, probabilities, strict=True):
            is_independent = of_family == 1 or probability > of_family
            conditional.append(probability if is_independent else probability / of_family)
            families.append(INDEPENDENT if is_independent else numbers[FAMILY_OF[name]])
        return np.array(conditional), families

    def batch(self, samples: NDArray[np.int64], epoch: int, copy: int = 0) -> Images:
        """Return augmented copies of images.

        Args:
            samples: int64 (n,), sample numbers from `sampling.epoch_order`: position of the image +
                N x repetition.
            epoch: Selects the random numbers.
            copy: Selects other random numbers for the same samples.

        Returns:
            uint8 (n, height, width, 3).
        """
        positions = samples % len(self.images)
        if not self.names:
            return self.images[positions]
        batch = np.empty((len(samples), *self.images.shape[1:]), dtype=np.uint8)

        def augment(rows: range) -> float:
            start_s = time.thread_time()
            streams = RandomStreams(self.seed, epoch)
            for row in rows:
                rgb = self.images[positions[row]]
                rng = streams.generator(int(samples[row]), copy)
                batch[row] = self._augment(rgb, rng, epoch)
            return time.thread_time() - start_s

        parts = [range(start, len(samples), self.workers) for start in range(self.workers)]
        if self.workers == 1:
            self.cpu_time_s += augment(parts[0])
        else:
            with ThreadPoolExecutor(self.workers) as pool:
                self.cpu_time_s += sum(pool.map(augment, parts))
        return batch

    def _augment(self, rgb: Images, rng: np.random.Generator, epoch: int) -> Images:
        if self.recipe.policy == "augmix":
            symmetries = self._sample_independently(self.symmetries, rng)
            return self._augmix(self._apply(rgb, symmetries, rng, epoch), rng, epoch)
        return self._apply(rgb, self._sample(rng), rng, epoch)

    def _apply(
        self,
        rgb: Images,
        operations: list[SampledOperation],
        rng: np.random.Generator,
        epoch: int,
    ) -> Images:
        return apply(rgb, operations, rng, self.overlays, epoch, self.recipe.borders)

    def _sample(self, rng: np.random.Generator) -> list[SampledOperation]:
        """Draw the operations of one image, in the order of their application."""
        if self.recipe.policy == "randaugment":
            symmetries = self._sample_independently(self.symmetries, rng)
            return symmetries + self._sample_uniformly(self.recipe.num_ops, rng)
        operations = self._sample_independently(range(len(self.names)), rng)
        if len(operations) > 1 and rng.random() < self.recipe.shuffle_probability:
            rank = dict(zip(FAMILIES, rng.random(len(FAMILIES)).tolist(), strict=True))
            operations.sort(key=lambda operation: rank[FAMILY_OF[operation[0]]])
        return operations

    def _sample_independently(
        self, allowed: Container[int], rng: np.random.Generator
    ) -> list[SampledOperation]:
        """Draw each allowed operation with its own probability; magnitudes are uniform.

        Args:
            allowed: Positions in `names`.
            rng: The number of its draws does not depend on `allowed`.
        """
        draws, fractions = rng.random((2, len(self.names)))
        drawn = np.flatnonzero(draws < self.probabilities).tolist()
        if self.recipe.family_probability < 1:
            is_active = rng.random(len(FAMILIES)) < self.recipe.family_probability
            drawn = [
                i for i in drawn if self.families[i] == INDEPENDENT or is_active[self.families[i]]
            ]
        operations = []
        for i in drawn:
            if i in allowed:
                low, high = self.ranges[i]
                operations.append((self.names[i], low + float(fractions[i]) * (high - low)))
        return operations

    def _sample_uniformly(self, num: int, rng: np.random.Generator) -> list[SampledOperation]:
        """Draw operations with equal probability; their magnitude is the recipe's, or random.

        RandAugment (Cubuk et al. 2020) and TrivialAugment (Mueller & Hutter 2021); the operations
        are applied in the order from slide to file.
        """
        operations: list[SampledOperation] = []
        chosen = rng.integers(len(self.others), size=num) if self.others else ()
        for index in sorted(self.others[one] for one in chosen):
            fraction = self.recipe.magnitude or float(rng.random())
            low, high = self.ranges[index]
            end = low if low < 0 and rng.random() < 0.5 else high
            operations.append((self.names[index], fraction * end))
        return operations

    def _augmix(self, rgb: Images, rng: np.random.Generator, epoch: int) -> Images:
        """Blend chains of operations, then blend the result with the image.

        AugMix (Hendrycks et al. 2020, algorithm 1): weights of the chains from Dirichlet(1), weight
        of their sum from Beta(1, 1).
        """
        weights = rng.dirichlet(np.ones(self.recipe.mixture_width)).tolist()
        augmented_weight = float(rng.random())
        mixed = (1 - augmented_weight) * rgb.astype(np.float32)
        for weight in weights:
            operations = self._sample_uniformly(int(rng.integers(1, 4)), rng)
            chain = self._apply(rgb, operations, rng, epoch)
            mixed = cv2.scaleAdd(chain.astype(np.float32), augmented_weight * weight, mixed)
        return np.asarray(np.clip(mixed + 0.5, 0, 255), dtype=np.uint8)


class RandomStreams:
    """Independent random streams of an epoch's samples: Philox, keyed by seed and epoch.

    Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3": streams with
    different keys or counters are independent, so threads can process samples in any order.
    """

    def __init__(self, seed: int, epoch: int):
        self.bit_generator = np.random.Philox(key=np.array([seed, epoch], dtype=np.uint64))
        self.rng = np.random.Generator(self.bit_generator)
        self.state = self.bit_generator.state

    def generator(self, sample: int, copy: int) -> np.random.Generator:
        """Return the generator at the start of a stream; the same object is reused each time.

        Args:
            sample: Sample number.
            copy: Number of the augmented copy of the sample.
        """
        self.state["state"]["counter"] = np.array([0, 0, copy, sample], dtype=np.uint64)
        self.bit_generator.state = self.state
        return self.rng
