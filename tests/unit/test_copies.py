import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from stainproof.audit.duplicates import count_copies
from stainproof.data.copies import canonical_hashes, canonical_pixels, invariant_key
from stainproof.synthetic import phantoms


def eight_copies(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.stack([np.rot90(side, k) for side in (rgb, rgb[:, ::-1]) for k in range(4)])


def test_the_eight_copies_share_a_hash_and_other_images_do_not() -> None:
    images = phantoms.generate(40, seed=3, size_px=32)[0]
    for rgb in images[:5]:
        assert len(set(canonical_hashes(eight_copies(rgb)).tolist())) == 1
        assert len({canonical_pixels(copy) for copy in eight_copies(rgb)}) == 1
    hashes = canonical_hashes(images)
    assert hashes.dtype == np.uint64
    assert len(hashes) == len(np.unique(hashes)) == 40


def test_symmetric_and_bordered_images_are_hashed_alike_in_every_orientation() -> None:
    images = np.zeros((2, 24, 24, 3), dtype=np.uint8)
    images[1, 8:16, 3] = 200
    for rgb in images:
        assert len(set(canonical_hashes(eight_copies(rgb)).tolist())) == 1


def test_no_image_is_no_hash() -> None:
    assert canonical_hashes(np.empty((0, 32, 32, 3), dtype=np.uint8)).shape == (0,)


def test_hashing_is_faster_than_writing_out_the_eight_copies() -> None:
    images = np.random.default_rng(0).integers(0, 256, (60, 96, 96, 3), dtype=np.uint8)

    def seconds(function: Callable[[NDArray[np.uint8]], object]) -> float:
        began = time.process_time()
        function(images)
        return time.process_time() - began

    def write_out(images: NDArray[np.uint8]) -> None:
        for rgb in images:
            min(copy.tobytes() for copy in eight_copies(rgb))

    fast, slow = (min(seconds(one) for _ in range(5)) for one in (canonical_hashes, write_out))
    assert fast < 0.5 * slow


def test_copies_in_a_second_source_are_counted() -> None:
    first, second = (phantoms.generate(12, seed=seed, size_px=32)[0] for seed in (1, 2))
    second = np.concatenate([second, first[[3]], eight_copies(first[5])[[6, 6]]])
    keys, other_keys = ([invariant_key(rgb) for rgb in images] for images in (first, second))
    assert count_copies(keys, first.__getitem__, other_keys, second.__getitem__) == 3
    keys[0] = other_keys[0] = b""  # unreadable
    assert count_copies(keys, first.__getitem__, other_keys, second.__getitem__) == 3
