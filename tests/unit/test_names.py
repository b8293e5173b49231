from collections.abc import Collection
from typing import get_args

import pytest

from stainproof.config import names
from stainproof.config.presets import NETWORKS, PRESETS, SCHEDULES
from stainproof.config.recipes import RECIPES
from stainproof.contest.submission import RUNTIMES
from stainproof.inference.engines import ENGINES
from stainproof.inference.frequency_filters import FILTERS
from stainproof.inference.tta import TTA_MODES
from stainproof.inference.voting import VOTINGS
from stainproof.synthetic.imaging import LABS
from stainproof.training.weight_averaging import CHOICES

NAMED: dict[str, Collection[str]] = {
    "PresetName": PRESETS,
    "NetworkName": NETWORKS,
    "ScheduleName": SCHEDULES,
    "RecipeName": RECIPES,
    "EngineName": ENGINES,
    "EngineChoice": ("auto", *ENGINES),
    "TtaMode": TTA_MODES,
    "FilterName": FILTERS,
    "Voting": VOTINGS,
    "AveragingChoice": CHOICES,
    "Runtime": RUNTIMES,
    "LabName": LABS,
}


@pytest.mark.parametrize("name", NAMED)
def test_a_list_of_names_is_that_of_what_it_names(name: str) -> None:
    assert sorted(get_args(getattr(names, name))) == sorted(NAMED[name])


def test_no_list_of_names_is_left_out() -> None:
    lists = {name for name, value in vars(names).items() if get_args(value)}
    assert lists == set(NAMED)


def test_every_preset_names_a_network_and_a_schedule() -> None:
    for network, schedule in PRESETS.values():
        assert network in NETWORKS
        assert schedule in SCHEDULES
