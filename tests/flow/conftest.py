"""What the journeys share: a few synthetic cells and settings that train on them in a second."""

import pytest

from stainproof import api
from stainproof.config.presets import make_config

TINY = (
    "preprocessing.size_px=32",
    "network.stem=[8,16]",
    "network.stages=[24]",
    "network.hidden=16",
    "training.epochs=2",
    "training.threads=1",
    "training.precision=float32",
    "augment.recipe=d4",
)


@pytest.fixture(scope="session")
def tiny():
    """Build settings of a small and short training, with assignments on top."""

    def build(*assignments, seed=0):
        return make_config("light", seed=seed, assignments=(*TINY, *assignments))

    return build


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory):
    """A folder of 120 synthetic cells of 32 pixels, to be read only."""
    return api.make_phantoms(tmp_path_factory.mktemp("data") / "home", 120, seed=1, size_px=32)
