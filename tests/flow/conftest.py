from pathlib import Path

import pytest

from stainproof import api


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 120 synthetic cells of 32 pixels, to be read only."""
    return api.make_phantoms(tmp_path_factory.mktemp("data") / "home", 120, seed=1, size_px=32)
