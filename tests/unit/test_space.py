"""What a search may draw, what it draws next, and which trials stand out."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.samplers import RandomSampler
from optuna.trial import FixedTrial

from stainproof.config.presets import make_config
from stainproof.errors import ConfigError
from stainproof.models.network import check_network
from stainproof.search.space import (
    DEFAULT_FILE,
    Space,
    assignments,
    parse_space,
    read_space,
    study_in_memory,
)
from stainproof.training.progressive_resizing import training_sizes_px


@pytest.fixture(scope="module")
def default_space() -> Space:
    return parse_space(tomllib.loads(DEFAULT_FILE.read_text()))


def draws(space: Space, num: int, seed: Any = 0) -> Iterator[Any]:
    study = study_in_memory(["maximize"], RandomSampler(seed=seed))
    for _ in range(num):
        trial = study.ask()
        yield trial, space.draw(trial)


@pytest.mark.slow
def test_every_draw_of_our_space_can_be_built(default_space: Space) -> None:
    kinds = set()
    for _, drawn in draws(default_space, 400):
        config = make_config(assignments=assignments(drawn))
        check_network(config, training_sizes_px(config))
        kinds.add((config.network.unit, config.training.optimizer, len(config.network.stages)))
    assert len(kinds) == 2 * 4 * 2


def test_every_trial_has_all_names_whatever_was_drawn(default_space: Space) -> None:
    names = {tuple(sorted(trial.params)) for trial, _ in draws(default_space, 40)}
    assert len(names) == 1


def test_the_preset_lies_in_our_space_and_is_found_where_it_is_drawn(default_space: Space) -> None:
    config = make_config()
    located = default_space.coordinates_of(config)
    assert located
    drawn = default_space.draw(FixedTrial(located))
    again = make_config(assignments=assignments(drawn))
    assert again == config


@pytest.mark.parametrize(
    "assignment", ["network.units=5", "network.stem=[8]", "network.stages=[7]"]
)
def test_settings_outside_the_space_are_not_located(default_space: Space, assignment: str) -> None:
    assert (
        default_space.coordinates_of(make_config(assignments=("network.unit=conv", assignment)))
        is None
    )


def test_a_range_goes_by_the_choice_above_it(default_space: Space) -> None:
    rates: dict[object, list[Any]] = {}
    for _, drawn in draws(default_space, 200):
        rates.setdefault(drawn["training.optimizer"], []).append(drawn["training.learning_rate"])
    assert max(rates["lion"]) <= 2e-3 < 1e-2 <= min(rates["sgd"])


def test_a_range_that_goes_by_a_choice_keeps_to_its_steps() -> None:
    text = """
        training.optimizer = ["adamw", "muon"]
        training.batch_size = { by = "training.optimizer", adamw = { low = 32, high = 96, step = 32 }, muon = { low = 8, high = 9 } }
        network.dropout = { by = "training.optimizer", adamw = { low = 0.0, high = 0.6, step = 0.2 }, muon = { low = 0.1, high = 0.2 } }
    """  # noqa: E501
    seen: dict[str, set[Any]] = {"training.batch_size": set(), "network.dropout": set()}
    for _, drawn in draws(parse_space(tomllib.loads(text)), 60):
        if drawn["training.optimizer"] == "adamw":
            for key, values in seen.items():
                values.add(drawn[key])
    assert seen == {"training.batch_size": {32, 64, 96}, "network.dropout": {0.0, 0.2, 0.4, 0.6}}
    assert all(isinstance(value, int) for value in seen["training.batch_size"])


def test_the_preset_is_found_in_a_space_of_how_often_an_operation_comes() -> None:
    text = "augment.operations.jpeg.probability = { low = 0.0, high = 0.9 }"
    space = parse_space(tomllib.loads(text))
    preset = make_config(assignments=("augment.operations.jpeg.probability=0.3",))
    assert space.coordinates_of(preset) == {"augment.operations.jpeg.probability": 0.3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("network.units = { low = 3, high = 1 }", "network.units: low 3 lies above high 1"),
        ("network.units = { low = 1, high = 4, step = 2 }", "steps of 2 from 1 miss 4"),
        ("network.units = { low = 0, high = 4, log = true }", "log takes a low above 0"),
        ("network.units = 3", "network.units"),
        ("network.units = []", "network.units.values"),
        ("network.units = { low = nan, high = 1.0 }", "finite"),
        ("network.units = { low = 1, high = 2, most = 3 }", "network.units.most"),
        (
            "network.stem = { each = [[8]], min_length = 2 }",
            "min_length 2 is more than the 1 items",
        ),
        ("network.stem = { each = 3 }", "network.stem"),
        ("network.breadth = [1, 2]", "network.breadth is unknown"),
        ("network.units = [1, 99]", "units: Input should be less than or equal to 16, got 99"),
        ("network.stages = { each = [{ low = 10, high = 20 }] }", "a multiple of 4 from 12 up"),
        ("seed = [1, 2]", "seed: cannot be searched"),
        ("split.val_fraction = [0.1, 0.2]", "split.val_fraction: cannot be searched"),
        ("preprocessing.size_px = [32]", "searched, and fixed by --set"),
        ('training.learning_rate = { by = "training.optimizer" }', "not a choice defined above"),
        (
            'training.optimizer = ["sgd", "lion"]\n[training.weight_decay]\n'
            'by = "training.optimizer"\nsgd = { low = 0.0, high = 0.1 }',
            "no range for training.optimizer=lion",
        ),
        ("", "no setting to search"),
        ("network.units = [", "not a readable TOML file"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "space.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_space(path, ("preprocessing.size_px=64",))
    assert message in str(caught.value)
    assert "space.toml" in str(caught.value)


def test_optuna_logs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    study_in_memory(["maximize"])
    assert optuna.logging.get_verbosity() >= optuna.logging.WARNING
    assert capsys.readouterr() == ("", "")
