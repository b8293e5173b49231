import os
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from stainproof.config.schema import Preprocessing
from stainproof.data import parallel, stream
from stainproof.data.decoding import decode
from stainproof.data.npz import read_images_only
from stainproof.errors import DataError
from tests.common.cells import class_of


def test_files_folders_and_globs_are_found_in_order(cell_folder: Path) -> None:
    platelets = sorted((cell_folder / "platelet").iterdir())
    basophils = sorted((cell_folder / "basophil").iterdir())
    found = stream.find(
        [str(platelets[3]), str(cell_folder / "basophil"), str(cell_folder / "**" / "*022.jpg")]
    )
    assert found == [platelets[3], *basophils, cell_folder / "platelet" / "cell_022.jpg"]


def test_a_folder_is_searched_in_depth_for_images_only(cell_folder: Path) -> None:
    (cell_folder / "platelet" / "notes.txt").write_text("no image")
    (cell_folder / ".hidden.png").write_bytes(b"")
    (cell_folder / ".ipynb_checkpoints").mkdir()
    (cell_folder / ".ipynb_checkpoints" / "copy.png").write_bytes(b"")
    assert len(stream.find([str(cell_folder)])) == 24


def test_a_glob_gives_files_and_no_folders(cell_folder: Path) -> None:
    found = stream.find([str(cell_folder / "**")])
    assert len(found) == 24
    assert all(path.is_file() for path in found)


def test_a_name_with_brackets_is_a_name_and_no_glob(cell_folder: Path) -> None:
    path = cell_folder / "cell [1].png"
    next(cell_folder.rglob("*.png")).rename(path)
    assert stream.find([str(path)]) == [path]


@pytest.mark.parametrize("name", ["gone.png", "*.gif", "empty", "a" * 300])
def test_what_stands_for_nothing_is_named(cell_folder: Path, name: str) -> None:
    (cell_folder / "empty").mkdir()
    with pytest.raises(DataError, match="no images there"):
        stream.find([str(cell_folder / "basophil"), str(cell_folder / name)])


def test_images_are_streamed_in_order_and_resized(
    cell_folder: Path, preprocessing: Preprocessing
) -> None:
    paths = stream.find([str(cell_folder)])
    items = list(stream.read(paths, Preprocessing(size_px=24)))
    assert [item.name for item in items] == [str(path) for path in paths]
    images = [item.rgb for item in items if item.rgb is not None]
    assert len(images) == len(items)
    assert all(rgb.shape == (24, 24, 3) and rgb.dtype == np.uint8 for rgb in images)
    assert [class_of(rgb) for rgb in images] == [0] * 8 + [1] * 8 + [2] * 8
    assert not any(item.error for item in items)


def test_an_unreadable_file_gives_an_item_with_its_error(
    cell_folder: Path, preprocessing: Preprocessing
) -> None:
    paths = stream.find([str(cell_folder / "basophil")])
    paths[2].write_text("no image")
    paths[5].unlink()
    items = list(stream.read(paths, preprocessing))
    assert [index for index, item in enumerate(items) if item.rgb is None] == [2, 5]
    assert "not an image" in items[2].error and "no such file" in items[5].error
    assert str(paths[2]) in items[2].error


def test_an_npz_file_gives_all_its_images_between_the_others(
    tmp_path: Path, preprocessing: Preprocessing, cells: tuple[NDArray[np.uint8], NDArray[np.int64]]
) -> None:
    images, labels = cells
    np.savez(tmp_path / "set.npz", images=images, labels=labels)
    Image.fromarray(images[0]).save(tmp_path / "one.png")
    paths = [tmp_path / "one.png", tmp_path / "set.npz", tmp_path / "one.png"]
    items = list(stream.read(paths, preprocessing))
    assert len(items) == 14
    assert [item.name for item in items[1:3]] == [f"{paths[1]}#0", f"{paths[1]}#1"]
    assert len({item.name for item in items[1:-1]}) == 12
    assert np.array_equal([item.rgb for item in items[1:-1] if item.rgb is not None], images)


@pytest.mark.parametrize(
    "arrays", [{"pictures": np.zeros((2, 8, 8, 3), np.uint8)}, {"images": np.zeros((2, 8, 8, 3))},
               {"images": np.zeros((8, 8, 3), np.uint8)}]
)  # fmt: skip
def test_an_npz_file_without_images_gives_one_item_with_an_error(
    tmp_path: Path, preprocessing: Preprocessing, arrays: dict[str, Any]
) -> None:
    np.savez(tmp_path / "set.npz", **arrays)
    (item,) = stream.read([tmp_path / "set.npz"], preprocessing)
    assert item.rgb is None
    assert "set.npz" in item.error and "images" in item.error


def test_a_damaged_npz_file_gives_one_item_with_an_error(
    tmp_path: Path, preprocessing: Preprocessing, cells: tuple[NDArray[np.uint8], NDArray[np.int64]]
) -> None:
    np.savez_compressed(tmp_path / "set.npz", images=cells[0])
    content = bytearray((tmp_path / "set.npz").read_bytes())
    content[60:2000] = b"\xff" * 1940
    (tmp_path / "set.npz").write_bytes(content)
    (item,) = stream.read([tmp_path / "set.npz"], preprocessing)
    assert item.rgb is None and "set.npz" in item.error


def test_an_image_one_pixel_high_gives_an_item(tmp_path: Path) -> None:
    Image.new("L", (120_000, 1)).save(tmp_path / "a.png")
    Image.new("RGB", (32, 32)).save(tmp_path / "b.png")
    paths = stream.find([str(tmp_path)])
    items = list(stream.read(paths, Preprocessing(size_px=32, fit="pad")))
    assert [item.name for item in items] == [str(path) for path in paths]
    assert items[1].rgb is not None


def test_reading_runs_only_a_few_hundred_images_ahead(
    cell_folder: Path, preprocessing: Preprocessing, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = []

    def counted(path: Path, bits: int) -> Any:
        begun.append(path)
        return decode(path, bits)

    monkeypatch.setattr(stream, "decode", counted)
    paths = stream.find([str(cell_folder)]) * 100
    items = stream.read(paths, preprocessing)
    for _ in range(3):
        next(items)
    assert isinstance(items, Generator)
    items.close()
    assert len(begun) <= parallel.AHEAD + 3


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a name be any bytes")
def test_a_file_name_that_is_no_text_can_still_be_written_down(
    tmp_path: Path, preprocessing: Preprocessing
) -> None:
    path = os.path.join(os.fsencode(tmp_path), b"cell_\xff.png")  # noqa: PTH118
    with open(path, "wb") as file:  # noqa: PTH123
        Image.new("RGB", (32, 32)).save(file, format="PNG")
    (item,) = stream.read(stream.find([str(tmp_path)]), preprocessing)
    assert item.rgb is not None
    item.name.encode("utf-8")


def test_one_npz_file_is_in_memory_at_a_time(
    tmp_path: Path,
    preprocessing: Preprocessing,
    cells: tuple[NDArray[np.uint8], NDArray[np.int64]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = []

    def noted(path: Path) -> Any:
        read.append(path)
        return read_images_only(path)

    monkeypatch.setattr(stream, "read_images_only", noted)
    paths = [tmp_path / f"{number}.npz" for number in range(3)]
    for path in paths:
        np.savez(path, images=cells[0])
    items = stream.read(paths, preprocessing)
    next(items)
    assert read == paths[:1]
