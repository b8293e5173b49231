from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stainproof.augment.augmenter import Augmenter
from stainproof.augment.overlays import OverlaySource
from stainproof.config.recipes import Recipe
from stainproof.errors import DataError


def test_a_folder_of_overlays_is_used_exclusively(tmp_path: Path) -> None:
    red = np.zeros((50, 20, 3), dtype=np.uint8)
    red[..., 0] = 255
    Image.fromarray(red).save(tmp_path / "red.png")
    (tmp_path / "broken.png").write_text("no picture")
    images = np.zeros((20, 16, 16, 3), dtype=np.uint8)
    recipe = Recipe.model_validate(
        {"operations": {"blend": {"probability": 1.0}}, "pictures": str(tmp_path)}
    )
    batch = Augmenter(images, recipe, 0).batch(np.arange(20), 1)
    assert batch[..., 0].max(axis=(1, 2)).min() > 20
    assert batch[..., 1:].max() == 0


@pytest.mark.parametrize("what", ["empty", "absent"])
def test_a_folder_without_images_is_refused(tmp_path: Path, what: str) -> None:
    folder = tmp_path / what
    if what == "empty":
        folder.mkdir()
    with pytest.raises(DataError, match="no readable image"):
        OverlaySource(np.zeros((8, 32, 32, 3), dtype=np.uint8), str(folder), 0)


def test_synthetic_overlays_depend_on_seed_and_epoch_only() -> None:
    def drawn(epoch: Any, seed: Any = 0) -> Any:
        source = OverlaySource(np.zeros((8, 32, 32, 3), dtype=np.uint8), "", seed)
        overlays = [source.sample(np.random.default_rng(number), epoch) for number in range(8)]
        return np.stack([rgb for rgb in overlays if rgb.any()])

    first = drawn(1)
    assert len(first) > 3
    assert np.array_equal(first, drawn(1))
    for other in (drawn(2), drawn(1, seed=1)):
        assert len(other) == len(first)
        assert not any(np.array_equal(*pair) for pair in zip(first, other, strict=True))
