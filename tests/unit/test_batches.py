from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stainproof.config.presets import make_config
from stainproof.data.dataset import Dataset
from stainproof.training.batches import Batches


@pytest.fixture
def data(cells: tuple[NDArray[np.uint8], NDArray[np.int64]]) -> Dataset:
    images, labels = cells
    names = tuple(map(str, range(len(labels))))
    return Dataset("cells", images, labels, names, ("a", "b", "c"))


def batches(data: Dataset, *assignments: str, seed: int = 0) -> Batches:
    fixed = ("training.batch_size=5", "preprocessing.size_px=32", "network.stages=[24]")
    return Batches(data, make_config(seed=seed, assignments=(*fixed, *assignments)))


def test_an_epoch_visits_every_image_once_with_its_label(data: Dataset) -> None:
    found = list(batches(data, "augment.recipe=none").epoch(1))
    images = np.concatenate([batch.images for batch in found])
    labels = np.concatenate([batch.targets for batch in found]).argmax(axis=1)
    expected = sorted(
        (rgb.tobytes(), label) for rgb, label in zip(data.images, data.labels, strict=True)
    )
    assert (
        sorted((rgb.tobytes(), label) for rgb, label in zip(images, labels, strict=True))
        == expected
    )
    assert [len(batch.targets) for batch in found] == [5, 5, 2]


@pytest.mark.parametrize("mix", ["none", "either"])
def test_the_same_seed_and_epoch_give_the_same_bytes(data: Dataset, mix: str) -> None:
    def content(seed: Any, epoch: Any) -> Any:
        made = batches(data, f"augment.mix={mix}", seed=seed)
        return [(b.images.tobytes(), b.targets.tobytes()) for b in made.epoch(epoch)]

    assert content(1, 2) == content(1, 2)
    assert content(1, 2) != content(1, 3)
    assert content(1, 2) != content(2, 2)


def test_a_last_batch_of_one_is_left_out_since_batch_norm_cannot_learn_from_it(
    data: Dataset,
) -> None:
    made = batches(data, "training.batch_size=11")
    assert [len(batch.targets) for batch in made.epoch(1)] == [11]
    assert made.num_an_epoch == 1


def test_consistency_gives_each_image_and_two_augmented_copies(data: Dataset) -> None:
    made = batches(data, "augment.consistency=12", "augment.recipe=stains")
    batch = next(made.epoch(1))
    plain, first, second = np.split(batch.images, 3)
    originals = {rgb.tobytes() for rgb in data.images}
    assert {rgb.tobytes() for rgb in plain} <= originals
    assert not np.array_equal(first, plain)
    assert not np.array_equal(first, second)


def test_oversampling_lengthens_the_epoch(data: Dataset) -> None:
    fewer = data.subset(np.flatnonzero((data.labels > 0) | (np.arange(12) == 0)))
    assert batches(fewer).num_an_epoch == 2
    made = list(batches(fewer, "augment.class_balance=oversample").epoch(1))
    assert np.concatenate([b.targets for b in made]).sum(axis=0).tolist() == [4, 4, 4]


@pytest.mark.parametrize("num_processes", [2, 3])
def test_processes_share_every_batch_without_overlap(data: Dataset, num_processes: int) -> None:
    config = make_config(
        assignments=(
            "training.batch_size=9", "preprocessing.size_px=32", "network.stages=[24]",
            "augment.recipe=none",
        )
    )  # fmt: skip
    (whole, *_) = Batches(data, config).epoch(1)
    shares = [
        next(iter(Batches(data, config, rank, num_processes).epoch(1)))
        for rank in range(num_processes)
    ]
    for rank, share in enumerate(shares):
        assert np.array_equal(share.images, whole.images[rank::num_processes])
        assert np.array_equal(share.targets, whole.targets[rank::num_processes])


def test_a_batch_too_small_to_be_shared_is_left_out(data: Dataset) -> None:
    assert batches(data).num_an_epoch == 3
    fixed = ("training.batch_size=5", "preprocessing.size_px=32", "network.stages=[24]")
    assert Batches(data, make_config(assignments=fixed), 0, 2).num_an_epoch == 2
