import io
import os
import pickle
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stainproof.config.schema import Preprocessing
from stainproof.data import sources
from stainproof.errors import DataError
from stainproof.labels import BLOOD_CLASSES
from tests.common.cells import CLASSES, class_of, write_medmnist


def npy_header(shape: tuple[Any, ...], dtype: str = "|u1") -> bytes:
    """The first bytes of an npy file that promises an array of this shape."""
    file = io.BytesIO()
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue()


def zip_of(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_the_contests_file_gives_its_images_and_labels(
    tmp_path: Path,
    preprocessing: Preprocessing,
    cells: tuple[NDArray[np.uint8], NDArray[np.int64]],
    shape: tuple[Any, ...],
    dtype: type[Any],
) -> None:
    images, labels = cells
    np.savez(
        tmp_path / "set.npz",
        images=images,
        labels=labels.reshape(shape).astype(dtype),
        classes=BLOOD_CLASSES,
    )
    data = sources.load(tmp_path / "set.npz", preprocessing)
    assert data.source == "set"
    assert np.array_equal(data.images, images)
    assert np.array_equal(data.labels, labels) and data.labels.dtype == np.int64
    assert data.classes == BLOOD_CLASSES
    assert len(set(data.names)) == len(images)
    assert data.parts is None


def test_images_in_an_npz_file_are_brought_to_the_size(
    tmp_path: Path, cells: tuple[NDArray[np.uint8], NDArray[np.int64]]
) -> None:
    np.savez_compressed(tmp_path / "set.npz", images=cells[0], labels=cells[1], classes=CLASSES)
    data = sources.load(tmp_path / "set.npz", Preprocessing(size_px=48))
    assert data.images.shape == (12, 48, 48, 3)
    assert [class_of(rgb) for rgb in data.images] == cells[1].tolist()


def test_grey_images_in_an_npz_file_get_three_equal_channels(
    tmp_path: Path, preprocessing: Preprocessing, cells: tuple[NDArray[np.uint8], NDArray[np.int64]]
) -> None:
    grey = cells[0][..., 0]
    np.savez(tmp_path / "set.npz", images=grey, labels=cells[1], classes=CLASSES)
    data = sources.load(tmp_path / "set.npz", preprocessing)
    assert np.array_equal(data.images, np.repeat(grey[..., None], 3, 3))


@pytest.mark.parametrize("dtype", ["U", "S"])
def test_stated_class_names_are_taken(
    tmp_path: Path,
    preprocessing: Preprocessing,
    cells: tuple[NDArray[np.uint8], NDArray[np.int64]],
    dtype: str,
) -> None:
    classes = np.array(CLASSES, dtype=dtype)
    np.savez(tmp_path / "set.npz", images=cells[0], labels=cells[1], classes=classes)
    assert sources.load(tmp_path / "set.npz", preprocessing).classes == CLASSES


@pytest.mark.parametrize(
    "classes",
    [
        np.array("basophil"),
        np.array([["a", "b", "c"]]),
        np.array(["a", "a", "b"]),
        np.array([b"\xff", b"b", b"c"]),
    ],
)
def test_class_names_that_are_no_list_of_different_names_are_refused(
    tmp_path: Path,
    preprocessing: Preprocessing,
    cells: tuple[NDArray[np.uint8], NDArray[np.int64]],
    classes: NDArray[Any],
) -> None:
    np.savez(tmp_path / "set.npz", images=cells[0], labels=cells[1], classes=classes)
    with pytest.raises(DataError, match="classes"):
        sources.load(tmp_path / "set.npz", preprocessing)


def test_medmnist_gives_all_images_with_the_part_of_each(
    tmp_path: Path, preprocessing: Preprocessing
) -> None:
    data = sources.load(write_medmnist(tmp_path / "med.npz"), preprocessing)
    assert data.parts == ("train",) * 6 + ("val",) * 3 + ("test",) * 2
    assert data.images[:, 0, 0, 0].tolist() == [0] * 6 + [1] * 3 + [2] * 2
    assert data.labels.tolist() == [0, 1, 2, 3, 4, 5, 0, 1, 2, 0, 1]


@pytest.mark.parametrize(("part", "num", "mark"), [("train", 6, 0), ("val", 3, 1), ("test", 2, 2)])
def test_at_takes_one_part_of_medmnist(
    tmp_path: Path, preprocessing: Preprocessing, part: str, num: int, mark: int
) -> None:
    data = sources.load(f"{write_medmnist(tmp_path / 'med.npz')}@{part}", preprocessing)
    assert len(data) == len(data.names) == num
    assert (data.images[:, 0, 0] == mark).all()


def test_an_unknown_part_names_those_that_are_there(
    tmp_path: Path, preprocessing: Preprocessing
) -> None:
    with pytest.raises(DataError, match="'exam' is empty; allowed: test, train, val"):
        sources.load(f"{write_medmnist(tmp_path / 'med.npz')}@exam", preprocessing)


@pytest.mark.parametrize(
    ("labels", "got"), [([0, 8] * 6, "got 8"), ([-1, 0] * 6, "got -1"), ([255] * 12, "got 255")]
)
def test_a_label_out_of_range_is_refused_with_the_range(
    tmp_path: Path,
    preprocessing: Preprocessing,
    cells: tuple[NDArray[np.uint8], NDArray[np.int64]],
    labels: list[int],
    got: str,
) -> None:
    np.savez(tmp_path / "set.npz", images=cells[0], labels=labels, classes=BLOOD_CLASSES)
    with pytest.raises(DataError, match=rf"set\.npz: label out of range; allowed 0 to 7, {got}"):
        sources.load(tmp_path / "set.npz", preprocessing)


IMAGES = np.zeros((4, 32, 32, 3), np.uint8)

LABELS = np.array([0, 1, 0, 1])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "the arrays are none; expected images and labels"),
        ({"x": IMAGES, "y": LABELS}, "the arrays are x, y; expected images and labels"),
        ({"images": IMAGES}, "the arrays are images; expected images and labels"),
        ({"train_images": IMAGES, "train_labels": LABELS}, "expected images and labels"),
        ({"images": IMAGES / 255, "labels": LABELS}, "images must be uint8 .* got float64"),
        ({"images": IMAGES[..., :2], "labels": LABELS}, "images must be uint8"),
        ({"images": IMAGES[:0], "labels": LABELS[:0]}, "images must be uint8"),
        ({"images": IMAGES[:, :0], "labels": LABELS}, "images must be uint8"),
        ({"images": IMAGES[..., None], "labels": LABELS}, "images must be uint8"),
        ({"images": np.uint8(3), "labels": LABELS}, "images must be uint8"),
        ({"images": IMAGES, "labels": LABELS[:3]}, r"labels must be whole numbers \(4,\)"),
        ({"images": IMAGES, "labels": LABELS / 2}, "labels must be whole numbers"),
        ({"images": IMAGES, "labels": np.eye(4, dtype=int)}, "labels must be whole numbers"),
        ({"images": IMAGES, "labels": np.array(list("abab"))}, "labels must be whole numbers"),
    ],
)
def test_unexpected_arrays_are_refused_by_name(
    tmp_path: Path, preprocessing: Preprocessing, arrays: dict[str, Any], message: str
) -> None:
    np.savez(tmp_path / "set.npz", **arrays)
    with pytest.raises(DataError, match=rf"set\.npz: .*{message}"):
        sources.load(tmp_path / "set.npz", preprocessing)


def test_parts_of_medmnist_with_different_sizes_are_refused(
    tmp_path: Path, preprocessing: Preprocessing
) -> None:
    with np.load(write_medmnist(tmp_path / "med.npz")) as archive:
        arrays = dict(archive)
    arrays["val_images"] = arrays["val_images"][:, :20, :20]
    np.savez(tmp_path / "med.npz", **arrays)
    with pytest.raises(DataError, match=r"med\.npz"):
        sources.load(tmp_path / "med.npz", preprocessing)


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("key", ["images", "labels", "classes"])
def test_object_arrays_are_refused_and_never_unpickled(
    tmp_path: Path,
    preprocessing: Preprocessing,
    cells: tuple[NDArray[np.uint8], NDArray[np.int64]],
    key: str,
) -> None:
    trap = np.empty(1, dtype=object)
    trap[0] = Trap(tmp_path / "sprung")
    arrays: dict[str, Any] = {"images": cells[0], "labels": cells[1]} | {key: trap}
    np.savez(tmp_path / "set.npz", allow_pickle=True, **arrays)
    with pytest.raises(DataError, match=r"set\.npz: holds an object array"):
        sources.load(tmp_path / "set.npz", preprocessing)
    assert not (tmp_path / "sprung").exists()


def test_a_pickle_named_npz_is_never_unpickled(
    tmp_path: Path, preprocessing: Preprocessing
) -> None:
    (tmp_path / "set.npz").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    with pytest.raises(DataError, match=r"set\.npz: not a readable npz file"):
        sources.load(tmp_path / "set.npz", preprocessing)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((10**11,), "|u1"),
        ((1_000_000, 200, 200, 3), "|u1"),
        ((2**40, 2**40), "|u1"),
        ((-1, 32, 32, 3), "|u1"),
        ((4, 32, 32, 3), "<U1000000000"),
    ],
)
def test_a_header_that_promises_more_than_the_file_holds_is_refused(
    tmp_path: Path, preprocessing: Preprocessing, shape: tuple[Any, ...], dtype: str
) -> None:
    content = npy_header(shape, dtype) + b"\0" * 5000
    path = zip_of(tmp_path / "set.npz", images=content, labels=npy_header((0,)))
    with pytest.raises(DataError, match=r"set\.npz: not a readable npz file"):
        sources.load(path, preprocessing)


def broken_npz(
    tmp_path: Path, how: str, cells: tuple[NDArray[np.uint8], NDArray[np.int64]]
) -> Path:
    path = tmp_path / "set.npz"
    np.savez_compressed(path, images=cells[0], labels=cells[1])
    content = bytearray(path.read_bytes())
    if how == "cut":
        content = content[: len(content) // 2]
    elif how == "stream":
        content[60:2000] = b"\xff" * 1940
    elif how == "checksum":
        content[len(content) // 2] ^= 1
    elif how == "encrypted":
        content[6] |= 1
        content[content.index(b"PK\x01\x02") + 8] |= 1
    elif how == "method":
        content[8:10] = b"\x63\x00"
        place = content.index(b"PK\x01\x02") + 10
        content[place : place + 2] = b"\x63\x00"
    elif how == "text":
        content = bytearray(b"no npz at all")
    elif how == "empty":
        content = bytearray()
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "how", ["cut", "stream", "checksum", "encrypted", "method", "text", "empty"]
)
def test_a_damaged_npz_file_is_refused_by_name(
    tmp_path: Path,
    preprocessing: Preprocessing,
    cells: tuple[NDArray[np.uint8], NDArray[np.int64]],
    how: str,
) -> None:
    with pytest.raises(DataError, match=r"set\.npz: not a readable npz file"):
        sources.load(broken_npz(tmp_path, how, cells), preprocessing)


def test_a_member_that_is_no_array_is_refused(tmp_path: Path, preprocessing: Preprocessing) -> None:
    with pytest.raises(DataError, match=r"set\.npz: not a readable npz file"):
        sources.load(zip_of(tmp_path / "set.npz", images=b"text", labels=b"text"), preprocessing)


@pytest.mark.parametrize("header", ["{[]: 0}", "{'descr': (((", "{1: 2, 'a': 3}"])
def test_an_npz_file_with_a_hostile_header_is_one_error(
    tmp_path: Path, preprocessing: Preprocessing, header: str
) -> None:
    text = header.encode().ljust(117) + b"\n"
    array = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
    with zipfile.ZipFile(tmp_path / "set.npz", "w") as made:
        made.writestr("images.npy", array)
        made.writestr("labels.npy", array)
    with pytest.raises(DataError, match=r"set\.npz"):
        sources.load(tmp_path / "set.npz", preprocessing)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a name be any bytes")
def test_an_npz_file_whose_name_is_no_text_can_be_written_down(
    tmp_path: Path, preprocessing: Preprocessing, cells: tuple[NDArray[np.uint8], NDArray[np.int64]]
) -> None:
    path = os.path.join(os.fsencode(tmp_path), b"set_\xff.npz")  # noqa: PTH118
    with open(path, "wb") as file:  # noqa: PTH123
        np.savez(file, images=cells[0], labels=cells[1], classes=CLASSES)
    data = sources.load(os.fsdecode(path), preprocessing)
    f"{data.source} {data.names[0]}".encode()
