"""Commands that are killed leave whole files, and the same command again gives the same results.

More kills: `python -m benchmarks.reliability.kills`.
"""

import numpy as np
import pytest

from benchmarks.reliability.commands import COMMANDS
from benchmarks.reliability.kills import Killer

pytestmark = pytest.mark.slow

MORE = [("train", "moment"), ("evaluate", "moment"), ("average", "moment")]
CASES = [(name, "operation") for name in COMMANDS]


@pytest.fixture(scope="module")
def killer(tmp_path_factory: pytest.TempPathFactory) -> Killer:
    return Killer(tmp_path_factory.mktemp("kills"))


@pytest.mark.parametrize(("command", "way"), [*CASES, *MORE])
def test_a_killed_command_goes_on_as_if_it_had_not_been_killed(
    killer: Killer, command: str, way: str
) -> None:
    found = killer.kill(command, way, np.random.default_rng(list(COMMANDS).index(command)))
    assert (found.faults, found.refusal) == ((), "")
