import numpy as np
import pytest

from stainproof.augment import geometry, overlay
from stainproof.augment.recipe import CHANGES, Augmenter
from stainproof.config import AugmentConfig
from stainproof.data.pictures import shapes


def photo(height=40, width=40, seed=0):
    return np.random.default_rng(seed).integers(256, size=(height, width, 3), dtype=np.uint8)


def blended(rgb, rng, strength):
    return overlay.blend(rgb, shapes(rgb.shape, rng), rng, strength)


ALL = {**CHANGES, "overlay": blended}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("shape", [(40, 40), (31, 57), (96, 64)])
def test_every_change_keeps_shape_and_type_and_leaves_its_input_alone(name, shape):
    rgb = photo(*shape)
    before = rgb.copy()
    for seed in range(12):
        changed = ALL[name](rgb, np.random.default_rng(seed), 1.0)
        assert changed.shape == rgb.shape
        assert changed.dtype == np.uint8
        assert not np.shares_memory(changed, rgb)
    assert np.array_equal(rgb, before)


@pytest.mark.parametrize("name", ALL)
def test_every_change_at_zero_strength_is_the_identity(name):
    rgb = photo()
    for seed in range(12):
        changed = ALL[name](rgb, np.random.default_rng(seed), 0.0)
        assert np.abs(changed.astype(int) - rgb).max() <= 1


@pytest.mark.parametrize("name", ALL)
def test_every_change_at_full_strength_changes_most_images(name):
    rgb = photo()
    num_changed = sum(
        not np.array_equal(ALL[name](rgb, np.random.default_rng(seed), 1.0), rgb)
        for seed in range(20)
    )
    assert num_changed >= 15


@pytest.mark.parametrize("name", ALL)
def test_every_change_is_the_same_for_the_same_seed(name):
    rgb = photo()
    first, again = (ALL[name](rgb, np.random.default_rng(5), 1.0) for _ in range(2))
    assert np.array_equal(first, again)


def test_turns_reach_all_eight_symmetries_of_a_square_and_no_others():
    rgb = photo(8, 8)
    expected = {np.rot90(side, k).tobytes() for side in (rgb, rgb[:, ::-1]) for k in range(4)}
    found = {geometry.turn(rgb, np.random.default_rng(seed)).tobytes() for seed in range(120)}
    assert found == expected


def test_a_batch_depends_on_seed_epoch_and_position_only():
    images = np.stack([photo(seed=seed) for seed in range(12)])
    augmenter = Augmenter(images, AugmentConfig(), seed=1)
    whole = augmenter.batch(np.arange(12), epoch=3)
    assert np.array_equal(augmenter.batch(np.array([7, 2]), epoch=3), whole[[7, 2]])
    assert not np.array_equal(augmenter.batch(np.arange(12), epoch=4), whole)
    assert not np.array_equal(Augmenter(images, AugmentConfig(), 2).batch(np.arange(12), 3), whole)


@pytest.mark.parametrize("recipe", ["none", "turns", "varied"])
def test_no_recipe_modifies_the_images_it_was_given(recipe):
    images = np.stack([photo(seed=seed) for seed in range(6)])
    before = images.copy()
    batch = Augmenter(images, AugmentConfig(recipe=recipe), 0).batch(np.arange(6), 1)
    batch[:] = 0
    assert np.array_equal(images, before)


def test_the_recipe_none_gives_the_images_as_they_are():
    images = np.stack([photo(seed=seed) for seed in range(6)])
    settings = AugmentConfig(recipe="none")
    assert np.array_equal(Augmenter(images, settings, 0).batch(np.arange(6), 1), images)


def test_some_images_of_the_varied_recipe_are_only_turned():
    images = np.stack([photo(8, 8, seed) for seed in range(60)])
    batch = Augmenter(images, AugmentConfig(), 0).batch(np.arange(60), 1)
    turned = [
        np.array_equal(np.sort(a.ravel()), np.sort(b.ravel()))
        for a, b in zip(images, batch, strict=True)
    ]
    assert 4 <= sum(turned) <= 35
