"""Recipes: what is drawn for an image, and that nothing but seed, epoch and visit decides it."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stainproof.augment.augmenter import FAMILY_OF, Augmenter
from stainproof.config.recipes import FAMILIES, LIMITS, RANGES, RECIPES, Recipe


def photos(num: int = 12, height: int = 32, width: int = 32) -> NDArray[np.uint8]:
    rng = np.random.default_rng(0)
    return rng.integers(256, size=(num, height, width, 3), dtype=np.uint8)


def named(name: str, **settings: float | str) -> Recipe:
    return Recipe.model_validate(RECIPES[name] | settings)


def only(*names: str, **settings: float | str) -> Recipe:
    """Return a recipe that always applies these operations."""
    operations = {name: {"probability": 1.0} for name in names}
    return Recipe.model_validate({"operations": operations, **settings})


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("shape", [(32, 32), (24, 40)])
def test_every_recipe_keeps_the_shape_and_does_not_modify_the_images(
    name: str, shape: tuple[int, int]
) -> None:
    images = photos(6, *shape)
    before = images.copy()
    batch = Augmenter(images, named(name), 0).batch(np.arange(6), 1)
    assert batch.shape == images.shape and batch.dtype == np.uint8
    batch[:] = 0
    assert np.array_equal(images, before)


@pytest.mark.parametrize("name", sorted(set(RECIPES) - {"none"}))
def test_every_recipe_depends_on_seed_epoch_visit_and_view_only(name: str) -> None:
    images = photos()
    augmenter = Augmenter(images, named(name), 1)
    whole = augmenter.batch(np.arange(12), 3)
    assert np.array_equal(augmenter.batch(np.array([7, 2]), 3), whole[[7, 2]])
    others = [
        augmenter.batch(np.arange(12), 4),
        augmenter.batch(np.arange(12) + 12, 3),
        augmenter.batch(np.arange(12), 3, copy=1),
        Augmenter(images, named(name), 2).batch(np.arange(12), 3),
    ]
    for other in others:
        assert not np.array_equal(other, whole)


@pytest.mark.parametrize("workers", [2, 5, 40])
def test_the_number_of_workers_does_not_change_a_byte(workers: int) -> None:
    images, recipe = photos(30), named("stainproof")
    alone, together = (
        Augmenter(images, recipe, 0, workers=num).batch(np.arange(30), 1) for num in (1, workers)
    )
    assert np.array_equal(alone, together)


def test_the_recipe_none_and_zero_strength_give_the_images_as_they_are() -> None:
    images = photos()
    none = Augmenter(images, named("none"), 0)
    weak = Augmenter(images, named("stainproof"), 0, strength=0.0)
    for augmenter in (none, weak):
        assert np.array_equal(augmenter.batch(np.arange(12), 1), images)


def test_an_operation_is_applied_with_its_probability() -> None:
    recipe = Recipe.model_validate({"operations": {"brightness": {"probability": 0.3}}})
    images = np.full((1000, 8, 8, 3), 100, dtype=np.uint8)
    batch = Augmenter(images, recipe, 0).batch(np.arange(1000), 1)
    assert 250 < (batch != 100).any(axis=(1, 2, 3)).sum() < 350


def test_amounts_fill_their_range_and_strength_scales_them() -> None:
    recipe = Recipe.model_validate(
        {"operations": {"brightness": {"probability": 1, "low": 0.0, "high": 0.4}}}
    )
    images = np.full((500, 4, 4, 3), 100, dtype=np.uint8)
    for strength, most in ((1.0, 102), (0.5, 51)):
        batch = Augmenter(images, recipe, 0, strength=strength).batch(np.arange(500), 1)
        added = batch[:, 0, 0, 0].astype(int) - 100
        assert 0 <= added.min() < 5 and most - 5 < added.max() <= most


@pytest.mark.parametrize("name", RECIPES)
def test_twice_the_strength_stays_within_the_limits(name: str) -> None:
    augmenter = Augmenter(photos(), named(name), 0, strength=2.0)
    for operation, (low, high) in zip(augmenter.names, augmenter.ranges, strict=True):
        least, most = LIMITS[operation]
        assert least <= low <= high <= most
    batch = augmenter.batch(np.arange(12), 1)
    assert batch.shape == (12, 32, 32, 3)


@pytest.mark.parametrize("policy", ["independent", "randaugment", "augmix"])
def test_a_recipe_with_d4_alone_only_permutes_pixels(policy: str) -> None:
    recipe = named("randaugment", policy=policy)
    rest = [name for name in recipe.operations if name != "d4"]
    batch = Augmenter(photos(), recipe, 0, without=rest).batch(np.arange(12), 1)
    assert np.array_equal(
        np.sort(batch.reshape(12, -1), axis=1), np.sort(photos().reshape(12, -1), axis=1)
    )


@pytest.mark.parametrize("left_out", ["symmetries", "overlays", "noise"])
def test_operations_left_out_are_never_applied(left_out: str) -> None:
    augmenter = Augmenter(photos(), named("stainproof"), 0, without=[left_out])
    gone = set(FAMILIES.get(left_out, (left_out,)))
    assert gone.isdisjoint(augmenter.names)
    assert set(augmenter.names) == set(RECIPES["stainproof"]["operations"]) - gone


@pytest.fixture
def steps_of(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Return the operations that a recipe applies to each of many images."""

    def call(recipe: Any, num: Any = 300) -> Any:
        found = []

        def note(rgb: Any, steps: Any, *rest: Any) -> Any:
            found.append(steps)
            return rgb

        with monkeypatch.context() as patched:
            patched.setattr("stainproof.augment.augmenter.apply", note)
            Augmenter(photos(), recipe, 0).batch(np.arange(num), 1)
        return found

    return call


def test_operations_come_from_the_slide_to_the_file_unless_shuffled(
    steps_of: Callable[..., Any],
) -> None:
    order = list(RANGES)
    for steps in steps_of(named("stainproof", shuffle_probability=0.0)):
        ranks = [order.index(name) for name, _ in steps]
        assert ranks == sorted(ranks)


def test_any_range_within_the_limits_stays_in_order_at_any_strength() -> None:
    recipe = Recipe.model_validate(
        {
            "operations": {
                "saturation": {"probability": 1, "low": -1, "high": -0.8},
                "blend": {"probability": 1, "low": 0.55, "high": 0.6},
            }
        }
    )
    augmenter = Augmenter(photos(), recipe, 0, strength=2.0)
    assert dict(zip(augmenter.names, augmenter.ranges, strict=True)) == {
        "blend": (0.95, 0.95),
        "saturation": (-1, -1),
    }


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize("side", [0, 1])
def test_every_operation_can_be_done_at_its_limits(name: str, side: int) -> None:
    recipe = Recipe.model_validate(
        {
            "operations": {
                name: {"probability": 1, **dict.fromkeys(("low", "high"), LIMITS[name][side])}
            }
        }
    )
    batch = Augmenter(photos(3, 16, 16), recipe, 0).batch(np.arange(3), 1)
    assert batch.shape == (3, 16, 16, 3)


@pytest.mark.parametrize("policy", ["independent", "randaugment", "augmix"])
def test_probability_zero_switches_an_operation_off_under_every_policy(policy: str) -> None:
    operations = {"brightness": {"probability": 0.0}, "d4": {"probability": 1.0}}
    recipe = Recipe.model_validate({"operations": operations, "policy": policy})
    assert Augmenter(photos(), recipe, 0).names == ["d4"]


def test_busy_s_sums_the_cpu_time_of_all_workers() -> None:
    images = photos(200, 96, 96)
    alone, together = (Augmenter(images, named("stainproof"), 0, workers=num) for num in (1, 2))
    for augmenter in (alone, together):
        augmenter.batch(np.arange(200), 1)
    assert 0.75 * alone.cpu_time_s < together.cpu_time_s < 5 * alone.cpu_time_s


def test_shuffling_keeps_families_together(steps_of: Callable[..., Any]) -> None:
    seen = set()
    for steps in steps_of(named("stainproof", shuffle_probability=1.0)):
        families = [FAMILY_OF[name] for name, _ in steps]
        runs = [f for i, f in enumerate(families) if i == 0 or families[i - 1] != f]
        assert len(runs) == len(set(runs))
        seen.add(tuple(runs))
    assert ("grain", "geometry") in {pair for runs in seen for pair in pairwise(runs)}


def test_clustered_families_keep_probabilities_and_come_together(
    steps_of: Callable[..., Any],
) -> None:
    recipe = named("stainproof", family_probability=0.3)
    found = [dict(steps) for steps in steps_of(recipe, 4000)]
    for name in ("zoom", "contrast", "noise", "d4"):
        share = np.mean([name in steps for steps in found])
        assert share == pytest.approx(recipe.operations[name].probability, abs=0.025)
    moves = set(FAMILIES["geometry"])
    touched = np.mean([bool(moves & set(steps)) for steps in found])
    assert 0.2 < touched < 0.31
    alone = [
        set(steps)
        for steps in map(dict, steps_of(named("stainproof", family_probability=1.0), 4000))
    ]
    assert np.mean([bool(moves & steps) for steps in alone]) > 0.5


def test_randaugment_takes_as_many_operations_as_it_says_at_one_magnitude(
    steps_of: Callable[..., Any],
) -> None:
    recipe = named("randaugment", num_ops=4, magnitude=0.25)
    for steps in steps_of(recipe):
        picked = [(name, magnitude) for name, magnitude in steps if name != "d4"]
        assert len(picked) == 4
        for name, magnitude in picked:
            draw = recipe.operations[name]
            assert magnitude in (0.25 * draw.high, 0.25 * draw.low)


def test_trivialaugment_takes_one_operation_of_any_magnitude(steps_of: Callable[..., Any]) -> None:
    found = steps_of(named("trivialaugment"), 600)
    magnitudes = [abs(a) for steps in found for name, a in steps if name == "rotate"]
    assert all(sum(name != "d4" for name, _ in steps) == 1 for steps in found)
    assert min(magnitudes) < 10 and max(magnitudes) > 35


def test_augmix_stays_between_the_image_and_its_augmented_copies() -> None:
    images = np.full((40, 16, 16, 3), 100, dtype=np.uint8)
    recipe = only("brightness", policy="augmix", magnitude=1.0)
    batch = Augmenter(images, recipe, 0).batch(np.arange(40), 1).astype(int)
    assert batch.min() >= 0 and batch.std() > 5
    assert (batch[:, :1, :1, :1] == batch).all()
