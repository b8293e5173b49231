import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from stainproof.config.schema import Preprocessing
from tests.common.cells import make_cells, write_cells

if find_spec("hypothesis"):  # not in the environments of Ray and of transfer learning
    from hypothesis import Phase, settings

    # A mutant is killed by the first failure: the same examples each time, none is made smaller.
    settings.register_profile("mutants", phases=(Phase.explicit, Phase.generate), derandomize=True)


@pytest.fixture(autouse=True, scope="session")
def _cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what tests measure and download out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        if "STAINPROOF_CACHE" not in os.environ:
            patch.setenv("STAINPROOF_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def preprocessing() -> Preprocessing:
    return Preprocessing(size_px=32)


@pytest.fixture
def cells() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Twelve 32 px cells of three classes, and their labels."""
    return make_cells(num_a_class=4, size_px=32, seed=0)


@pytest.fixture
def cell_folder(tmp_path: Path) -> Path:
    """Three class folders of eight 32 px cells, one colour a class."""
    return write_cells(tmp_path / "cells")


@pytest.fixture(scope="session")
def shared_cell_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Like `cell_folder`, for tests that only read it."""
    return write_cells(tmp_path_factory.mktemp("shared") / "cells")
