import numpy as np

from stainproof.data.dataset import Dataset
from stainproof.data.splits import TRAIN, VAL
from tests.common.cells import make_dataset


def test_a_subset_keeps_what_belongs_to_each_image() -> None:
    parts = (TRAIN, VAL) * 15
    source = make_dataset(np.arange(30) % 3, groups=range(30), parts=parts)
    subset = source.subset(np.array([7, 3, 20]))
    assert subset.names == ("cell_7", "cell_3", "cell_20")
    assert subset.groups == ("7", "3", "20")
    assert subset.parts == (VAL, VAL, TRAIN)
    assert subset.labels.tolist() == [1, 0, 2]
    assert np.array_equal(subset.images, source.images[[7, 3, 20]])


def test_the_hash_of_a_set_tells_pixels_labels_and_names_apart() -> None:
    source = make_dataset(np.arange(6) % 3)
    pixel = source.images.copy()
    pixel[3, 0, 0, 0] ^= 1
    label = source.labels.copy()
    label[0] = 2
    changes = ({"images": pixel}, {"labels": label}, {"names": ("x", *source.names[1:])},
               {"classes": ("a", "b", "c")})  # fmt: skip
    hashes = {Dataset(**vars(source) | change).sha256() for change in ({}, *changes)}
    assert len(hashes) == 5
    assert source.sha256() == make_dataset(np.arange(6) % 3).sha256()
