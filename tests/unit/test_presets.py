import math
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stainproof.config.presets import (
    PRESETS,
    choose_config,
    make_config,
    read_config,
    with_assignments,
)
from stainproof.config.schema import Config, TrainingConfig
from stainproof.errors import ConfigError
from stainproof.runs.upgrade import upgrade_config

DATA = Path(__file__).parents[1] / "data"
PLAIN = Config()

TO_BACKBONE = ("network.backbone=resnet18", "network.pretrained=hub")


def read_text(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "config.toml"
    path.write_text(text, encoding="utf-8")
    return read_config(path)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_comes_back_from_toml_as_it_was(tmp_path: Path, preset: str) -> None:
    config = make_config(preset, seed=7, budget_s=90)
    assert read_text(tmp_path, config.to_toml()) == config


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31 - 1),
    rate=st.floats(1e-9, 10),
    budget_s=st.none() | st.floats(0.001, 1e6),
    stem=st.lists(st.integers(1, 500), max_size=4),
    mean=st.tuples(*[st.floats(-1, 1)] * 3),
    skip=st.booleans(),
)
def test_any_settings_come_back_from_toml_as_they_were(
    tmp_path_factory: pytest.TempPathFactory,
    seed: Any,
    rate: Any,
    budget_s: Any,
    stem: Any,
    mean: Any,
    skip: Any,
) -> None:
    config = Config.model_validate(
        {
            "seed": seed,
            "preprocessing": {"mean": mean},
            "network": {"stem": stem, "skip": skip},
            "training": {"learning_rate": rate, "budget_s": budget_s},
        }
    )
    assert read_text(tmp_path_factory.mktemp("config"), config.to_toml()) == config


def test_settings_that_a_file_leaves_out_have_their_defaults(tmp_path: Path) -> None:
    config = read_text(tmp_path, "seed = 3\n[training]\nepochs = 5\n")
    assert (config.seed, config.training.epochs) == (3, 5)
    assert config.network == PLAIN.network


def test_settings_cannot_be_changed_in_place() -> None:
    with pytest.raises(ValueError, match="frozen"):
        PLAIN.seed = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("assignment", "group", "key", "value"),
    [
        ("seed=5", None, "seed", 5),
        ("training.epochs=3", "training", "epochs", 3),
        (" training.epochs = 3", "training", "epochs", 3),
        ("training.learning_rate=1e-4", "training", "learning_rate", 1e-4),
        ("training.budget_s=90", "training", "budget_s", 90.0),
        ("training.keep_every_epoch=true", "training", "keep_every_epoch", True),
        ("network.skip=false", "network", "skip", False),
        ("network.stem=[8, 16]", "network", "stem", (8, 16)),
        ("network.stages=[]", "network", "stages", ()),
        ("preprocessing.mean=[0.5, 0.4, 0.3]", "preprocessing", "mean", (0.5, 0.4, 0.3)),
        ("preprocessing.fit=pad", "preprocessing", "fit", "pad"),
        ("preprocessing.fit='pad'", "preprocessing", "fit", "pad"),
        ('training.schedule="plateau"', "training", "schedule", "plateau"),
        ("training.schedule=one-cycle", "training", "schedule", "one-cycle"),
    ],
)
@pytest.mark.parametrize("assign", [
    lambda text: make_config("an2dl", assignments=(text,)),
    lambda text: with_assignments(PLAIN, (text,)),
])  # fmt: skip
def test_one_setting_of_each_type_can_be_assigned(
    assign: Callable[..., Any], assignment: str, group: str | None, key: str, value: Any
) -> None:
    config = assign(assignment)
    got = getattr(getattr(config, group) if group else config, key)
    assert got == value and type(got) is type(value)


def test_the_last_assignment_wins_and_beats_the_other_arguments() -> None:
    config = make_config(
        seed=1, budget_s=60, assignments=("seed=2", "seed=3", "training.budget_s=30")
    )
    assert (config.seed, config.training.budget_s) == (3, 30)


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("training.start_scale=0", "training.start_scale: .*0.1, got 0"),
        ("training.start_scale=1.5", "training.start_scale: .*equal to 1, got 1.5"),
        (
            "training.epoch=3",
            "training.epoch is unknown; allowed: batch_size",
        ),
        ("sed=3", "sed is unknown; allowed: preset, seed"),
        ("trainig.epochs=3", "trainig is unknown; allowed: preset, seed"),
        ("training.epochs.x=3", "training.epochs"),
        ("seed.x=3", "seed is a value, not a group"),
        ("training=3", "training: "),
        ("training.epochs=", "training.epochs: .*got ''"),
        ("training.epochs=0", "training.epochs: .*greater than or equal to 1, got 0"),
        ("training.epochs=many", "training.epochs: .*integer.*got 'many'"),
        ("training.epochs=3.5", "training.epochs: .*integer.*got 3.5"),
        ("training.budget_s=0", "training.budget_s: .*greater than 0, got 0"),
        ("training.budget_s=nan", "training.budget_s"),
        ("training.budget_s=inf", "training.budget_s"),
        ("training.learning_rate=11", "training.learning_rate: .*less than or equal to 10"),
        ("training.device=tpu", "training.device: .*'cpu'.*got 'tpu'"),
        ("split.val_fraction=0", "split.val_fraction: .*greater than 0, got 0"),
        ("split.val_fraction=0.9", "split.val_fraction: .*less than 0.9"),
        ("augment.strength=-1", "augment.strength"),
        ("augment.recipe=wild", "augment.recipe: .*'stainproof'.*got 'wild'"),
        ("network.dropout=1", "network.dropout: .*less than 1, got 1"),
        ("preprocessing.size_px=8", "preprocessing.size_px: .*greater than or equal to 16, got 8"),
        ("preprocessing.size_px=1025", "preprocessing.size_px: .*less than or equal to 1024"),
        ("preprocessing.mean=[0, 0]", "preprocessing.mean"),
        ("preprocessing.std=[0, 1, 1]", "preprocessing.std"),
        ("preprocessing.mean=[nan, 0, 0]", "preprocessing.mean"),
        ("preprocessing.channels=BGR", "preprocessing.channels: .*'RGB', got 'BGR'"),
        ("seed=-1", "seed: .*greater than or equal to 0, got -1"),
        ("seed=2147483648", "seed: .*less than 2147483648"),
        ("epochs", "--set 'epochs': write key=value"),
        ("=3", "--set '=3': write key=value"),
        ("", "--set '': write key=value"),
    ],
)
@pytest.mark.parametrize("assign", [
    lambda text: make_config("light", assignments=(text,)),
    lambda text: with_assignments(PLAIN, (text,)),
])  # fmt: skip
def test_a_bad_assignment_names_the_key_what_is_allowed_and_what_was_got(
    assign: Callable[..., Any], assignment: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        assign(assignment)


@pytest.mark.parametrize("preset", ["light", "an2dl", "nonsense"])
def test_a_preset_is_no_single_setting_that_could_be_assigned_without_effect(preset: str) -> None:
    with pytest.raises(ConfigError, match="preset"):
        make_config("light", assignments=(f"preset={preset}",))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[training]\nepoch = 3\n", "training.epoch is unknown; allowed: batch_size"),
        ("colour = 'red'\n", "colour is unknown; allowed: preset"),
        ("[training]\nepochs = -3\n", "training.epochs: .*got -3"),
        ("training = 3\n", "training: "),
        ("preset = 'nonsense'\n", "preset.*nonsense"),
        ("seed = \n", "not a readable TOML file"),
        ("seed = 1\nseed = 2\n", "not a readable TOML file"),
    ],
)
def test_a_bad_file_is_named_with_its_fault(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"config\.toml.*{message}"):
        read_text(tmp_path, text)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_is_missing_or_no_text_is_named(tmp_path: Path, content: bytes | None) -> None:
    if content:
        (tmp_path / "config.toml").write_bytes(content)
    with pytest.raises(ConfigError, match=r"config\.toml: not a readable TOML file"):
        read_config(tmp_path / "config.toml")


def test_the_defaults_of_the_settings_are_the_preset_that_train_takes() -> None:
    assert Config() == make_config() == choose_config() == make_config("light")
    assert Config(seed=3, training=TrainingConfig(epochs=5)) == make_config(
        "light", seed=3, assignments=("training.epochs=5",)
    )


def test_the_paper_is_trained_as_it_says() -> None:
    paper = make_config("an2dl")
    assert (paper.network.stem, paper.network.stages) == ((60, 120), (240, 480))
    assert (paper.network.unit, paper.network.units, paper.network.dropout) == ("inception", 2, 0.6)
    assert (paper.network.hidden, paper.split.val_fraction) == (128, 0.2)
    training = paper.training
    assert (training.optimizer, training.learning_rate, training.batch_size) == ("adam", 1e-3, 128)
    assert (training.schedule, training.epochs, training.stop_patience) == ("plateau", 1000, 40)
    assert (training.label_smoothing, training.ema_decay, training.weight_decay) == (0, 0, 0)


def test_a_preset_is_a_network_and_a_schedule_and_each_can_be_replaced() -> None:
    assert make_config("light").network == PLAIN.network
    mixed = make_config("light", network="an2dl-simple", schedule="an2dl")
    assert mixed.network.stem == (32, 64, 128)
    assert mixed.training == make_config("an2dl").training


def test_the_name_of_a_preset_alone_is_not_taken_for_its_settings(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"preset 'tiny' without its network settings"):
        read_text(tmp_path, "preset = 'tiny'\nseed = 1\n")
    with pytest.raises(ValueError, match="preset 'tiny' without"):
        Config(preset="tiny")


def test_a_run_folder_holds_every_setting_so_that_new_defaults_do_not_change_it() -> None:
    def missing(group: dict[str, Any], written: dict[str, Any], start: str = "") -> set[str]:
        left_out = {f"{start}{name}" for name in group.keys() - written.keys()}
        inner = (
            missing(value, written.get(name, {}), f"{start}{name}.")
            for name, value in group.items()
            if isinstance(value, dict)
        )
        return left_out.union(*inner)

    for preset in PRESETS:
        config = make_config(preset)
        written = tomllib.loads(config.to_toml())
        none = {"preprocessing.white_point", "training.budget_s", "training.unfrozen_blocks"}
        assert missing(config.model_dump(), written) == none
    later = {"audit.doctored_drop_threshold", "training.start_from"}
    old = upgrade_config(tomllib.loads((DATA / "run_v2" / "config.toml").read_text()))
    assert missing(Config().model_dump(exclude={"augment", "source"}), old) == none | later


def test_settings_are_chosen_with_keywords_as_with_options(tmp_path: Path) -> None:
    expected = make_config(
        "tiny",
        schedule="an2dl",
        seed=4,
        budget_s=5,
        assignments=("training.batch_size=32", "network.stem=[8,16]"),
    )
    given: dict[str, Any] = {"preset": "tiny", "schedule": "an2dl", "seed": 4}
    budgets: tuple[Any, ...] = ("5s", 5, 5.0, np.float32(5))
    for budget in budgets:
        for one in (
            ("training.batch_size=32", "network.stem=[8,16]"),
            {"training.batch_size": 32, "network.stem": (8, 16)},
            {"training__batch_size": 32, "network__stem": [8, 16]},
        ):
            assert choose_config(**given, budget=budget, assignments=one) == expected
    (tmp_path / "own.toml").write_text(expected.to_toml())
    for config in (expected, tmp_path / "own.toml", str(tmp_path / "own.toml")):
        assert choose_config(config) == expected
        changed = choose_config(config, seed=5, assignments={"network__backbone": ""})
        assert changed == with_assignments(expected, ("seed=5",))
    assert choose_config(assignments={"training__teacher": Path("a")}).training.teacher == "a"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"config": PLAIN, "preset": "light"}, "preset: not allowed here; config says it"),
        ({"config": PLAIN, "network": "tiny"}, "network: not allowed here; config says it"),
        ({"config": PLAIN, "schedule": "an2dl"}, "schedule: not allowed here; config says it"),
        ({"kept": PLAIN, "seed": 0}, "seed: not allowed here; a resumed run keeps its own"),
        ({"kept": PLAIN, "config": PLAIN}, "config: not allowed here; a resumed run keeps"),
        ({"config": {"seed": 1}}, "config must be a Config or the path of a TOML file, got dict"),
        ({"budget": "soon"}, "budget 'soon' is no length of time; write for instance 90s"),
        ({"budget": 0}, "budget 0 is no length of time"),
        ({"budget": True}, "budget True is no length of time"),
        ({"budget": math.nan}, "budget nan is no length of time"),
        ({"preset": ["light"]}, r"preset \['light'\] is unknown; allowed: tiny, small"),
        ({"preset": ""}, "preset '' is unknown"),
        ({"seed": 1.5}, "seed: .*got 1.5"),
        ({"assignments": {"training__batchsize": 3}}, "training.batchsize is unknown; allowed: ba"),
        ({"assignments": {"bugdet": "5s"}}, "bugdet is unknown; allowed: preset, seed"),
        ({"assignments": {"seed__x": 3}}, "seed is a value, not a group of settings"),
    ],
)
def test_arguments_of_train_that_contradict_or_are_unknown_are_refused(
    given: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        choose_config(**given)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"preset": "fast"}, "preset 'fast' is unknown; allowed: tiny, small"),
        ({"network": "vgg"}, "network 'vgg' is unknown; allowed: tiny, small"),
        ({"schedule": "slow"}, "schedule 'slow' is unknown; allowed: an2dl, one-cycle"),
    ],
)
def test_an_unknown_name_is_refused_with_the_allowed_ones(
    names: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make_config(**names)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_time_budget_takes_the_place_of_the_epochs_unless_they_are_set_too(preset: str) -> None:
    usual, timed = make_config(preset).training, make_config(preset, budget_s=60).training
    assert (usual.budget_s, timed.budget_s) == (None, 60)
    assert timed.epochs >= 100 * usual.epochs
    both = make_config(preset, budget_s=60, assignments=("training.epochs=3",)).training
    assert (both.budget_s, both.epochs) == (60, 3)


def test_making_settings_does_not_change_the_presets() -> None:
    before = make_config("light")
    make_config("light", budget_s=5, assignments=("training.epochs=1", "network.units=3"))
    assert make_config("light") == before


def test_small_images_at_the_start_need_a_schedule_that_knows_how_far_the_run_is() -> None:
    with pytest.raises(ConfigError, match=r"start_scale .*one-cycle"):
        make_config("an2dl", assignments=("training.start_scale=0.5",))


def test_a_backbone_takes_the_place_of_our_own_layers_and_their_input() -> None:
    config = make_config("light", assignments=("preprocessing.mean=[0.1,0.1,0.1]", *TO_BACKBONE))
    assert config.network.stem == config.network.stages == ()
    assert config.network.dropout == 0.2
    assert config.preprocessing.mean == (0.1, 0.1, 0.1)
    replaced = with_assignments(
        make_config("an2dl-residual", assignments=("preprocessing.std=[2,2,2]",)), TO_BACKBONE
    )
    assert replaced.network.unit == "inception"
    assert "std" not in replaced.preprocessing.model_fields_set


def test_what_is_left_to_the_network_stays_so_when_something_else_is_assigned() -> None:
    config = with_assignments(make_config(assignments=TO_BACKBONE), ("preprocessing.size_px=64",))
    assert config.preprocessing.model_fields_set == {"size_px"}


def test_settings_with_a_backbone_come_back_from_toml_as_they_were(tmp_path: Path) -> None:
    config = make_config(assignments=(*TO_BACKBONE, "training.unfrozen_blocks=0"))
    assert read_text(tmp_path, config.to_toml()) == config
    short = read_text(tmp_path, "[network]\nbackbone = 'resnet18'\n")
    assert short.network.stem == () and short.network.backbone == "resnet18"


def test_no_backbone_leaves_our_own_layers_as_they_are() -> None:
    assert make_config("light", assignments=("network.backbone=''",)) == make_config("light")


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        ((*TO_BACKBONE, "network.stem=[8]"), "network: stem "),
        ((*TO_BACKBONE, "network.norm=group"), "network: norm "),
        (("network.pretrained=hub",), "network: pretrained .*backbone"),
        (("training.layer_decay=0.5",), "layer_decay .*network.backbone"),
        (("training.unfrozen_blocks=0",), "unfrozen_blocks .*network.pretrained"),
        (("training.freeze_norms=true",), "freeze_norms .*network.pretrained"),
    ],
)
def test_what_goes_with_a_backbone_alone_is_refused_without_it(
    assignments: tuple[Any, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make_config(assignments=assignments)
