"""Every stage that draws at random refuses a seed below 0 before it reads anything."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from stainproof import api
from stainproof.errors import ConfigError

STAGES: dict[str, Callable[..., Any]] = {
    "adapt": partial(api.adapt, "no run", "no cells"),
    "adapt_unlabelled": partial(api.adapt_unlabelled, "no run", ["no cells"]),
    "check": partial(api.check, "no run", ["no cells"]),
    "count": partial(api.count, "no run", ["no cells"]),
    "corrupt": partial(api.corrupt, "no cells"),
    "evaluate": partial(api.evaluate, "no run", "no cells"),
    "evaluate_corruptions": partial(api.evaluate_corruptions, "no run", "no cells"),
    "pick": partial(api.pick, "no run", ["no cells"]),
    "profile": partial(api.profile, "no cells", "no run"),
}


@pytest.mark.parametrize("name", STAGES)
def test_a_seed_below_zero_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^seed must be 0 or more, got -1$"):
        STAGES[name](tmp_path / "out", seed=-1)
    assert not list(tmp_path.iterdir())
