import numpy as np
import pytest
from PIL import Image

from stainproof.config.schema import Preprocessing

CLASSES = ("basophil", "lymphocyte", "platelet")
COLOURS = np.array([[200, 60, 90], [70, 180, 80], [60, 80, 210]])


def make_cells(num_a_class, size_px, seed):
    """Return noisy discs, one colour a class: uint8 (N, size, size, 3) and labels (N,)."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(CLASSES)), num_a_class)
    y, x = np.mgrid[:size_px, :size_px] - (size_px - 1) / 2
    disc = (x**2 + y**2 < (0.35 * size_px) ** 2)[:, :, None]
    cells = np.where(disc, COLOURS[labels][:, None, None], 225)
    noise = rng.integers(-20, 21, cells.shape)
    return np.clip(cells + noise, 0, 255).astype(np.uint8), labels


def write_cells(folder, num_a_class=8, size_px=32, seed=0):
    """Write class folders, PNG and JPEG in turn."""
    images, labels = make_cells(num_a_class, size_px, seed)
    for index, (rgb, label) in enumerate(zip(images, labels, strict=True)):
        suffix = ".png" if index % 2 else ".jpg"
        path = folder / CLASSES[label] / f"cell_{index:03d}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rgb).save(path, quality=95)
    return folder


@pytest.fixture
def preprocessing():
    return Preprocessing(size_px=32)


@pytest.fixture
def cells():
    return make_cells(num_a_class=4, size_px=32, seed=0)


@pytest.fixture
def cell_folder(tmp_path):
    """Three class folders of eight 32 px cells, one colour a class."""
    return write_cells(tmp_path / "cells")


@pytest.fixture
def colour_of():
    """Say which of the three classes an image's middle has the colour of."""

    def nearest(rgb):
        height, width = rgb.shape[:2]
        middle = rgb[height * 3 // 8 : height * 5 // 8, width * 3 // 8 : width * 5 // 8]
        return int(np.abs(COLOURS - middle.mean((0, 1))).sum(1).argmin())

    return nearest


@pytest.fixture(scope="session")
def shared_cell_folder(tmp_path_factory):
    """Like `cell_folder`, for tests that only read it."""
    return write_cells(tmp_path_factory.mktemp("shared") / "cells")
