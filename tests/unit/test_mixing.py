import numpy as np
import pytest
from numpy.typing import NDArray

from stainproof.augment.mixing import mix
from stainproof.config.schema import AugmentConfig

CELLS = np.stack([np.full((20, 30, 3), 10 * i, dtype=np.uint8) for i in range(12)])
TARGETS = np.eye(12, dtype=np.float32)


def mixed(
    kind: str, seed: int = 0, probability: float = 1.0
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    settings = AugmentConfig(mix=kind, mix_probability=probability)
    return mix(CELLS, TARGETS, settings, np.random.default_rng(seed))


@pytest.mark.parametrize("kind", ["cutmix", "mixup", "either"])
def test_mixed_labels_are_the_fractions_of_the_mixed_images(kind: str) -> None:
    for seed in range(10):
        images, targets = mixed(kind, seed)
        assert images.dtype == np.uint8 and targets.dtype == np.float32
        assert np.allclose(targets.sum(axis=1), 1)
        means = images.mean(axis=(1, 2, 3))
        expected = targets @ (10 * np.arange(12))
        assert np.abs(means - expected).max() < 0.6


def test_cutmix_leaves_every_pixel_one_of_the_two_and_mixup_makes_new_ones() -> None:
    cut, _ = mixed("cutmix")
    blended, _ = mixed("mixup")
    assert set(np.unique(cut)) <= set(range(0, 120, 10))
    assert not set(np.unique(blended)) <= set(range(0, 120, 10))


@pytest.mark.parametrize("kind", ["cutmix", "mixup", "either"])
def test_mixing_does_not_modify_its_input_and_repeats_for_the_same_seed(kind: str) -> None:
    before = CELLS.copy(), TARGETS.copy()
    first, again, other = (mixed(kind, seed) for seed in (3, 3, 4))
    assert np.array_equal(CELLS, before[0]) and np.array_equal(TARGETS, before[1])
    assert np.array_equal(first[0], again[0]) and np.array_equal(first[1], again[1])
    assert not np.array_equal(first[1], other[1])


def test_none_and_zero_probability_mix_nothing() -> None:
    for images, targets in (mixed("none"), mixed("mixup", probability=0.0)):
        assert np.array_equal(images, CELLS)
        assert np.array_equal(targets, TARGETS)
