"""The augmenter: applies a recipe to batches, determined by seed, epoch and visit only."""

import time
from collections.abc import Container, Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from numpy.typing import NDArray

from stainproof.augment.operations import Step, apply
from stainproof.augment.overlays import OverlayPictures
from stainproof.config.recipes import FAMILIES, LIMITS, RANGES, Recipe
from stainproof.data.images import Images

SYMMETRIES = FAMILIES["symmetries"]
FAMILY_OF = {name: family for family, names in FAMILIES.items() for name in names}


class Augmenter:
    """Returns augmented batches; the same seed, epoch and visit give the same bytes."""

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
            strength: Multiplies every amount, within its limits; 0: no augmentation.
            workers: Number of threads; the result does not depend on it.

        Raises:
            DataError: The recipe's folder of overlay images contains none.
        """
        self.images = images
        self.recipe = recipe
        self.seed = seed
        self.workers = workers
        left_out = {op for name in without for op in FAMILIES.get(name, (name,))}
        drawn = {name for name, draw in recipe.operations.items() if draw.probability}
        names = [name for name in RANGES if name in drawn - left_out]
        self.names = names if strength else []
        draws = [recipe.operations[name] for name in self.names]
        self.probability, self.family = self._gates([draw.probability for draw in draws])
        self.ends: list[tuple[float, float]] = []
        for name, draw in zip(self.names, draws, strict=True):
            low, high = np.clip((strength * draw.low, strength * draw.high), *LIMITS[name])
            self.ends.append((float(low), float(high)))
        self.symmetries = [index for index, name in enumerate(self.names) if name in SYMMETRIES]
        self.others = [index for index, name in enumerate(self.names) if name not in SYMMETRIES]
        self.pictures = OverlayPictures(images, recipe.pictures, seed)
        self.busy_s = 0.0
        """Processor seconds that all batches have taken."""

    def _gates(self, probabilities: list[float]) -> tuple[NDArray[np.float64], list[int]]:
        """Return each operation's probability within an active family, and the family's number.

        An operation with a probability above the families' is independent of them: number -1.
        """
        share = self.recipe.family_probability
        families = list(FAMILIES)
        alone = [share == 1 or probability > share for probability in probabilities]
        within = [p if own else p / share for p, own in zip(probabilities, alone, strict=True)]
        numbers = [
            -1 if own else families.index(FAMILY_OF[name])
            for name, own in zip(self.names, alone, strict=True)
        ]
        return np.array(within), numbers

    def batch(self, visits: NDArray[np.int64], epoch: int, view: int = 0) -> Images:
        """Return augmented copies of images.

        Args:
            visits: int64 (n,), position of each image + N x number of its earlier visits in the
                epoch.
            epoch: Selects the random numbers.
            view: Selects other random numbers for the same images.

        Returns:
            uint8 (n, height, width, 3).
        """
        positions = visits % len(self.images)
        if not self.names:
            return self.images[positions]
        batch = np.empty((len(visits), *self.images.shape[1:]), dtype=np.uint8)

        def change(slots: range) -> float:
            began = time.thread_time()
            rng = Streams(self.seed, epoch)
            for slot in slots:
                rgb = self.images[positions[slot]]
                batch[slot] = self._changed(rgb, rng.at(int(visits[slot]), view), epoch)
            return time.thread_time() - began

        parts = [range(start, len(visits), self.workers) for start in range(self.workers)]
        if self.workers == 1:
            self.busy_s += change(parts[0])
        else:
            with ThreadPoolExecutor(self.workers) as pool:
                self.busy_s += sum(pool.map(change, parts))
        return batch

    def _changed(self, rgb: Images, rng: np.random.Generator, epoch: int) -> Images:
        if self.recipe.policy == "augmix":
            turned = self._run(rgb, self._each(self.symmetries, rng), rng, epoch)
            return self._chains(turned, rng, epoch)
        return self._run(rgb, self._steps(rng), rng, epoch)

    def _run(self, rgb: Images, steps: list[Step], rng: np.random.Generator, epoch: int) -> Images:
        return apply(rgb, steps, rng, self.pictures, epoch, self.recipe.borders)

    def _steps(self, rng: np.random.Generator) -> list[Step]:
        """Draw the operations of one image."""
        if self.recipe.policy == "randaugment":
            return self._each(self.symmetries, rng) + self._some(self.recipe.num_ops, rng)
        steps = self._each(range(len(self.names)), rng)
        if len(steps) > 1 and rng.random() < self.recipe.shuffle_probability:
            rank = dict(zip(FAMILIES, rng.random(len(FAMILIES)).tolist(), strict=True))
            steps.sort(key=lambda step: rank[FAMILY_OF[step[0]]])
        return steps

    def _each(self, indices: Container[int], rng: np.random.Generator) -> list[Step]:
        """Draw each of these operations with its own probability and an amount from its range."""
        chance, share = rng.random((2, len(self.names)))
        drawn = np.flatnonzero(chance < self.probability).tolist()
        if self.recipe.family_probability < 1:
            luck = rng.random(len(FAMILIES)).tolist()
            most = self.recipe.family_probability
            drawn = [i for i in drawn if self.family[i] < 0 or luck[self.family[i]] < most]
        steps = []
        for i in drawn:
            if i in indices:
                low, high = self.ends[i]
                steps.append((self.names[i], low + float(share[i]) * (high - low)))
        return steps

    def _some(self, num: int, rng: np.random.Generator) -> list[Step]:
        """Draw operations with equal probability; their magnitude is the recipe's, or random.

        RandAugment (Cubuk et al. 2020) and TrivialAugment (Mueller & Hutter 2021); the operations
        are applied in the order from slide to file.
        """
        steps: list[Step] = []
        chosen = rng.integers(len(self.others), size=num) if self.others else ()
        for index in sorted(self.others[one] for one in chosen):
            magnitude = self.recipe.magnitude or float(rng.random())
            low, high = self.ends[index]
            end = low if low < 0 and rng.random() < 0.5 else high
            steps.append((self.names[index], magnitude * end))
        return steps

    def _chains(self, rgb: Images, rng: np.random.Generator, epoch: int) -> Images:
        """Blend chains of operations, then blend the result with the image.

        AugMix (Hendrycks et al. 2020, algorithm 1): weights from Dirichlet(1), the last share from
        Beta(1, 1).
        """
        weights = rng.dirichlet(np.ones(self.recipe.mixture_width)).tolist()
        share = float(rng.random())
        mixed = (1 - share) * rgb.astype(np.float32)
        for weight in weights:
            steps = self._some(int(rng.integers(1, 4)), rng)
            chain = self._run(rgb, steps, rng, epoch)
            mixed = cv2.scaleAdd(chain.astype(np.float32), share * weight, mixed)
        return np.asarray(np.clip(mixed + 0.5, 0, 255), dtype=np.uint8)


class Streams:
    """An independent random stream for each visit of an epoch: Philox, keyed by seed and epoch.

    Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3": streams with other
    keys or counters are independent, so any thread can start anywhere.
    """

    def __init__(self, seed: int, epoch: int):
        self.bits = np.random.Philox(key=np.array([seed, epoch], dtype=np.uint64))
        self.rng = np.random.Generator(self.bits)
        self.start = self.bits.state

    def at(self, visit: int, view: int) -> np.random.Generator:
        """Return the generator, set to the start of this visit's stream."""
        self.start["state"]["counter"] = np.array([0, 0, view, visit], dtype=np.uint64)
        self.bits.state = self.start
        return self.rng
