import numpy as np

from stainproof.augment.sampling import epoch_order


def test_without_oversampling_every_image_is_used_once() -> None:
    labels = np.array([0, 0, 0, 1, 2])
    assert sorted(epoch_order(labels, "none", np.random.default_rng(0))) == [0, 1, 2, 3, 4]


def test_oversampling_repeats_images_of_small_classes_with_different_numbers() -> None:
    labels = np.array([0] * 7 + [1] * 3 + [2])
    order = epoch_order(labels, "oversample", np.random.default_rng(0))
    assert len(set(order.tolist())) == len(order) == 21
    assert np.bincount(labels[order % 11]).tolist() == [7, 7, 7]
    per_image = np.bincount(order % 11)[7:10]
    assert per_image.max() - per_image.min() <= 1


def test_oversampling_ignores_a_class_without_images() -> None:
    labels = np.array([0, 0, 2])
    order = epoch_order(labels, "oversample", np.random.default_rng(0))
    assert np.bincount(labels[order % 3], minlength=3).tolist() == [2, 0, 2]
