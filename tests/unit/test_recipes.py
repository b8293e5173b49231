import pytest

from stainproof.config.presets import make_config
from stainproof.config.recipes import RANGES, RECIPES
from stainproof.config.schema import AugmentConfig
from stainproof.errors import ConfigError


def test_settings_fill_in_the_named_recipe_operation_by_operation() -> None:
    chosen = AugmentConfig.model_validate(
        {"recipe": "stains", "operations": {"hue": {"probability": 0.5}, "stain": {"high": 0.1}}}
    )
    assert set(chosen.operations) == {"d4", "stain", "density", "white_balance", "hue"}
    assert chosen.operations["hue"].low == RANGES["hue"][0]
    assert chosen.operations["stain"].high == 0.1
    assert chosen.operations["stain"].probability == 0.6


def test_choosing_another_recipe_drops_the_operations_of_the_one_before() -> None:
    chosen = make_config(assignments=("augment.operations.hue.probability=0.9",)).augment
    assert chosen.operations["hue"].probability == 0.9
    simple = make_config("an2dl", assignments=("augment.recipe=simple",)).augment
    assert set(simple.operations) == set(RECIPES["simple"]["operations"])
    assert simple.policy == "independent"


def test_the_order_of_assignments_does_not_lose_any() -> None:
    first = ("augment.pictures=foreign", "augment.operations.hue.probability=0.4")
    for assignments in ((*first, "augment.recipe=stains"), ("augment.recipe=stains", *first)):
        chosen = make_config(assignments=assignments).augment
        assert (chosen.recipe, chosen.pictures) == ("stains", "foreign")
        assert chosen.operations["hue"].probability == 0.4


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("augment.recipe=wild", "'stainproof'.*got 'wild'"),
        ("augment.operations.wobble.probability=1", "no operation 'wobble'; allowed: d4"),
        ("augment.operations.hue.probability=2", "hue.probability"),
        ("augment.operations.hue.low=200", "low must not be above high"),
        ("augment.operations.hue.often=1", "often is unknown; allowed: probability, low, high"),
        ("augment.operations.blend.high=3", "blend takes magnitudes from 0 to 0.95, got 0.1 to 3"),
        ("augment.operations.noise.low=-1", "noise takes magnitudes from 0 to 1, got -1"),
        ("augment.operations.hue=0.3", "augment.operations.hue"),
        ("augment.operations=3", "augment.operations"),
        ("augment.operations.hue=[]", "augment.operations.hue"),
        ("augment.operations.wobble=1", "no operation 'wobble'"),
        ("augment.operations.contrast.high=1100", "contrast takes magnitudes from -6 to 6"),
        ("augment.recipe=[1]", "augment.recipe"),
        ("augment.recipe={a=1}", "augment.recipe"),
        ("augment.without=['wobble']", "no operation or family 'wobble'"),
        ("augment.borders=[]", "augment.borders"),
        ("augment.borders=['wavy']", "'reflect'"),
        ("augment.num_ops=0", "augment.num_ops"),
        ("augment.validation=wild", "augment.validation"),
        ("augment.workers=0", "augment.workers"),
    ],
)
def test_a_setting_that_no_recipe_can_have_is_refused_by_name(
    assignment: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        make_config(assignments=(assignment,))
    assert len(str(caught.value)) < 700


def test_consistency_excludes_mixing() -> None:
    with pytest.raises(ConfigError, match="mix"):
        make_config("an2dl", assignments=("augment.consistency=12",))
