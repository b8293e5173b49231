import io
import os
import pickle
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from stainproof.config.schema import Preprocessing
from stainproof.data import download, sources
from stainproof.errors import DataError
from stainproof.labels import BLOOD_CLASSES

CLASSES = ("basophil", "lymphocyte", "platelet")


def npy_header(shape, dtype="|u1"):
    """The first bytes of an npy file that promises an array of this shape."""
    file = io.BytesIO()
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue()


def zip_of(path, **members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def medmnist(path, sizes=(6, 3, 2), size_px=32, label_shape=(-1, 1)):
    rng = np.random.default_rng(0)
    arrays = {}
    for index, (part, num) in enumerate(zip(("train", "val", "test"), sizes, strict=True)):
        pixels = rng.integers(0, 256, (num, size_px, size_px, 3), dtype=np.uint8)
        pixels[:, 0, 0] = index
        arrays[f"{part}_images"] = pixels
        arrays[f"{part}_labels"] = (np.arange(num) % 8).reshape(label_shape).astype(np.uint8)
    np.savez(path, **arrays)
    return path


# Class folders


def test_class_folders_give_images_labels_names_and_classes(cell_folder, preprocessing, colour_of):
    data = sources.load(cell_folder, preprocessing)
    assert data.source == "cells"
    assert data.classes == CLASSES
    assert data.images.shape == (24, 32, 32, 3) and data.images.dtype == np.uint8
    assert data.class_counts() == dict.fromkeys(CLASSES, 8)
    assert [colour_of(rgb) for rgb in data.images] == data.labels.tolist()
    assert all((cell_folder / name).is_file() for name in data.names)
    assert all(
        name.startswith(CLASSES[label] + "/")
        for name, label in zip(data.names, data.labels, strict=True)
    )
    assert data.groups is None and data.parts is None and data.notes == ()


def test_images_come_at_the_size_that_is_asked_for(cell_folder):
    assert sources.load(cell_folder, Preprocessing(size_px=20)).images.shape[1:] == (20, 20, 3)


def test_the_pixels_of_a_png_are_those_in_the_file(cell_folder, preprocessing):
    data = sources.load(cell_folder, preprocessing)
    index = next(i for i, name in enumerate(data.names) if name.endswith(".png"))
    with Image.open(cell_folder / data.names[index]) as image:
        assert np.array_equal(data.images[index], np.array(image))


def test_a_class_folder_is_searched_in_depth(cell_folder, preprocessing):
    deep = cell_folder / "basophil" / "slide 7"
    deep.mkdir()
    next((cell_folder / "basophil").glob("*.png")).rename(deep / "ä.png")
    data = sources.load(cell_folder, preprocessing)
    assert len(data) == 24
    assert "basophil/slide 7/ä.png" in data.names


def test_hidden_folders_are_left_out(cell_folder, preprocessing):
    for hidden in (cell_folder / ".cache", cell_folder / "basophil" / ".ipynb_checkpoints"):
        hidden.mkdir()
        (hidden / "copy.png").write_bytes(next(cell_folder.rglob("*.png")).read_bytes())
    data = sources.load(cell_folder, preprocessing)
    assert data.classes == CLASSES
    assert len(data) == 24


def test_files_that_are_no_images_are_left_out_and_counted(cell_folder, preprocessing):
    (cell_folder / "basophil" / "notes.txt").write_text("stain of Monday")
    (cell_folder / "platelet" / "Thumbs.db").write_bytes(b"\0")
    (cell_folder / "README.md").write_text("beside the class folders")
    data = sources.load(cell_folder, preprocessing)
    assert len(data) == 24
    assert data.notes == ("2 files that are no images left out",)


def test_oddities_of_the_images_are_counted(cell_folder, preprocessing):
    for path in sorted((cell_folder / "platelet").glob("*.png"))[:2]:
        with Image.open(path) as image:
            grey = image.convert("L")
        grey.save(path)
    assert sources.load(cell_folder, preprocessing).notes == ("2 images: grey",)


@pytest.mark.parametrize("name", ["nothing", "nothing.npz", "nothing.csv", "a" * 300, "no\0pe"])
def test_no_such_path(tmp_path, preprocessing, name):
    with pytest.raises(DataError, match="no such folder or file"):
        sources.load(tmp_path / name, preprocessing)


def test_an_at_sign_in_a_folders_name_is_part_of_it(tmp_path, preprocessing):
    folder = tmp_path / "me@lab"
    folder.mkdir()
    data = sources.load(f"{medmnist(folder / 'set.npz')}@val", preprocessing)
    assert len(data) == 3
    with pytest.raises(DataError, match=r"me@lab/gone: no such folder or file"):
        sources.load(folder / "gone", preprocessing)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a name be any bytes")
def test_names_that_are_no_text_become_names_that_can_be_written_down(cell_folder, preprocessing):
    strange = cell_folder.rename(cell_folder.with_name(os.fsdecode(b"lab_\xff")))
    (strange / "platelet").rename(strange / os.fsdecode(b"pl\xff"))
    data = sources.load(strange, preprocessing)
    "".join((data.source, *data.classes, *data.names)).encode("utf-8")


def test_an_empty_folder(tmp_path, preprocessing):
    with pytest.raises(DataError, match="no class folders in it"):
        sources.load(tmp_path, preprocessing)


def test_images_without_class_folders(tmp_path, preprocessing, cells):
    Image.fromarray(cells[0][0]).save(tmp_path / "cell.png")
    with pytest.raises(DataError, match="no class folders in it"):
        sources.load(tmp_path, preprocessing)


def test_a_class_folder_without_images_is_named(cell_folder, preprocessing):
    (cell_folder / "monocyte").mkdir()
    (cell_folder / "monocyte" / "cell.heic").write_bytes(b"\0")
    with pytest.raises(DataError, match=r"monocyte: a class folder without images"):
        sources.load(cell_folder, preprocessing)


def test_unreadable_images_are_counted_and_the_first_is_named(cell_folder, preprocessing):
    for name in ("basophil/b.jpg", "basophil/a.jpg", "platelet/z.png"):
        (cell_folder / name).write_text("not an image")
    with pytest.raises(DataError) as refusal:
        sources.load(cell_folder, preprocessing)
    assert "basophil/a.jpg: not an image" in str(refusal.value)
    assert str(refusal.value).endswith("(and 2 more unreadable files)")


def test_a_file_of_unknown_kind(tmp_path, preprocessing):
    (tmp_path / "cells.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"cells\.zip: unknown kind.*\.npz, \.csv, \.parquet"):
        sources.load(tmp_path / "cells.zip", preprocessing)


def test_a_part_of_a_source_without_parts_is_refused(cell_folder, preprocessing):
    with pytest.raises(DataError, match="states no split of its own"):
        sources.load(f"{cell_folder}@train", preprocessing)


def test_progress_counts_every_image(cell_folder, preprocessing):
    seen = []

    def track(items, what, total):
        for item in items:
            seen.append((what, total))
            yield item

    sources.load(cell_folder, preprocessing, track=track)
    assert seen == [("reading images", 24)] * 24


# Manifests


def manifest(cell_folder, suffix, **changed):
    paths = sorted(path for path in cell_folder.rglob("*") if path.is_file())
    columns = {
        "path": [path.relative_to(cell_folder).as_posix() for path in paths],
        "label": [path.parent.name for path in paths],
        "group": [index // 3 for index in range(len(paths))],
    } | changed
    table = pyarrow.table({name: values for name, values in columns.items() if values is not None})
    file = cell_folder / f"manifest{suffix}"
    writer = pyarrow.csv.write_csv if suffix == ".csv" else pyarrow.parquet.write_table
    writer(table, file)
    return file


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_manifest_gives_the_same_set_as_its_folder_and_its_groups(
    cell_folder, preprocessing, suffix
):
    whole = sources.load(cell_folder, preprocessing)
    data = sources.load(manifest(cell_folder, suffix), preprocessing)
    assert data.source == "manifest"
    assert data.names == whole.names
    assert data.classes == whole.classes
    assert np.array_equal(data.labels, whole.labels)
    assert np.array_equal(data.images, whole.images)
    assert data.groups == tuple(str(index // 3) for index in range(24))


def test_a_manifest_may_do_without_groups_and_may_name_files_from_the_root(
    cell_folder, preprocessing
):
    paths = sorted(str(path.resolve()) for path in cell_folder.rglob("*.png"))
    labels = [Path(path).parent.name for path in paths]
    file = manifest(cell_folder, ".csv", path=paths, label=labels, group=None)
    data = sources.load(file, preprocessing)
    assert len(data) == 12
    assert data.groups is None


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("column", ["path", "label"])
def test_a_manifest_without_a_column_names_it(cell_folder, preprocessing, suffix, column):
    file = manifest(cell_folder, suffix, **{column: None})
    with pytest.raises(DataError, match=f"column '{column}' is missing; got: "):
        sources.load(file, preprocessing)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("column", ["path", "label", "group"])
def test_an_empty_field_is_named_with_its_row(cell_folder, preprocessing, suffix, column):
    values = ["a"] * 23
    values.insert(4, "")
    file = manifest(cell_folder, suffix, **{column: values})
    with pytest.raises(DataError, match=f"column '{column}' is empty in row 5"):
        sources.load(file, preprocessing)


def test_a_path_in_two_rows_is_refused(cell_folder, preprocessing):
    names = [f"{n}.png" for n in range(23)]
    with pytest.raises(DataError, match=r"'3\.png' stands in more than one row; keep one of them"):
        sources.load(manifest(cell_folder, ".csv", path=[*names, "3.png"]), preprocessing)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ("Platelets", "classes 'Platelets' and 'platelet' are one in two spellings"),
        ("error", "class name 'error' is a column of tables of predictions; rename it"),
    ],
)
def test_classes_that_figures_or_tables_would_confuse_are_refused(
    cell_folder, preprocessing, other, message
):
    shutil.copytree(cell_folder / "platelet", cell_folder / other)
    with pytest.raises(DataError, match=message):
        sources.load(cell_folder, preprocessing)


def test_images_that_memory_cannot_hold_are_said_with_what_helps(
    cell_folder, preprocessing, monkeypatch
):
    def full(*shape, **how):
        raise MemoryError

    monkeypatch.setattr("numpy.empty", full)
    with pytest.raises(
        DataError, match=r"cells: 24 images of 32 px .* lower preprocessing.size_px"
    ):
        sources.load(cell_folder, preprocessing)


def test_a_manifest_that_names_a_missing_file(cell_folder, preprocessing):
    file = manifest(cell_folder, ".csv", path=[f"gone{n}.png" for n in range(24)])
    with pytest.raises(DataError, match=r"gone0\.png: no such file \(and 23 more"):
        sources.load(file, preprocessing)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("m.csv", b""),
        ("m.csv", b"path,label\n"),
        ("m.csv", b"path,label\na.png,x,y,z\n"),
        ("m.csv", b"path,path,label\na.png,b.png,x\n"),
        ("m.csv", b"path,label\na.png,S\xe9zary\n"),
        ("m.parquet", b"not parquet"),
        ("m.parquet", b"PAR1" + b"\0" * 50 + b"PAR1"),
    ],
)
def test_a_broken_table_is_refused_by_its_name(tmp_path, preprocessing, name, content):
    (tmp_path / name).write_bytes(content)
    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=name):
        sources.load(tmp_path / name, preprocessing)


# npz files


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_the_contests_file_gives_its_images_and_labels(
    tmp_path, preprocessing, cells, shape, dtype
):
    images, labels = cells
    np.savez(tmp_path / "set.npz", images=images, labels=labels.reshape(shape).astype(dtype))
    data = sources.load(tmp_path / "set.npz", preprocessing)
    assert data.source == "set"
    assert np.array_equal(data.images, images)
    assert np.array_equal(data.labels, labels) and data.labels.dtype == np.int64
    assert data.classes == BLOOD_CLASSES
    assert len(set(data.names)) == len(images)
    assert data.parts is None


def test_images_in_an_npz_file_are_brought_to_the_size(tmp_path, cells, colour_of):
    np.savez_compressed(tmp_path / "set.npz", images=cells[0], labels=cells[1])
    data = sources.load(tmp_path / "set.npz", Preprocessing(size_px=48))
    assert data.images.shape == (12, 48, 48, 3)
    assert [colour_of(rgb) for rgb in data.images] == cells[1].tolist()


def test_grey_images_in_an_npz_file_get_three_equal_channels(tmp_path, preprocessing, cells):
    grey = cells[0][..., 0]
    np.savez(tmp_path / "set.npz", images=grey, labels=cells[1])
    data = sources.load(tmp_path / "set.npz", preprocessing)
    assert np.array_equal(data.images, np.repeat(grey[..., None], 3, 3))


@pytest.mark.parametrize("dtype", ["U", "S"])
def test_stated_class_names_are_taken(tmp_path, preprocessing, cells, dtype):
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
    tmp_path, preprocessing, cells, classes
):
    np.savez(tmp_path / "set.npz", images=cells[0], labels=cells[1], classes=classes)
    with pytest.raises(DataError, match="classes"):
        sources.load(tmp_path / "set.npz", preprocessing)


def test_medmnist_gives_all_images_with_the_part_of_each(tmp_path, preprocessing):
    data = sources.load(medmnist(tmp_path / "med.npz"), preprocessing)
    assert data.parts == ("train",) * 6 + ("val",) * 3 + ("test",) * 2
    assert data.images[:, 0, 0, 0].tolist() == [0] * 6 + [1] * 3 + [2] * 2
    assert data.labels.tolist() == [0, 1, 2, 3, 4, 5, 0, 1, 2, 0, 1]


@pytest.mark.parametrize(("part", "num", "mark"), [("train", 6, 0), ("val", 3, 1), ("test", 2, 2)])
def test_at_takes_one_part_of_medmnist(tmp_path, preprocessing, part, num, mark):
    data = sources.load(f"{medmnist(tmp_path / 'med.npz')}@{part}", preprocessing)
    assert len(data) == len(data.names) == num
    assert (data.images[:, 0, 0] == mark).all()


def test_an_unknown_part_names_those_that_are_there(tmp_path, preprocessing):
    with pytest.raises(DataError, match="'exam' is empty; allowed: test, train, val"):
        sources.load(f"{medmnist(tmp_path / 'med.npz')}@exam", preprocessing)


def test_bloodmnist_is_read_from_the_downloads_cache(tmp_path, preprocessing, monkeypatch):
    file = medmnist(tmp_path / "bloodmnist_64.npz")
    asked = []
    monkeypatch.setattr(
        download, "fetch_bloodmnist", lambda name, track: asked.append(name) or file
    )
    assert len(sources.load("bloodmnist:64@test", preprocessing)) == 2
    assert asked == ["bloodmnist:64"]


@pytest.mark.parametrize(
    ("labels", "got"), [([0, 8] * 6, "got 8"), ([-1, 0] * 6, "got -1"), ([255] * 12, "got 255")]
)
def test_a_label_out_of_range_is_told_with_the_range(tmp_path, preprocessing, cells, labels, got):
    np.savez(tmp_path / "set.npz", images=cells[0], labels=labels)
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
def test_arrays_that_are_not_asked_for_are_refused_by_name(
    tmp_path, preprocessing, arrays, message
):
    np.savez(tmp_path / "set.npz", **arrays)
    with pytest.raises(DataError, match=rf"set\.npz: .*{message}"):
        sources.load(tmp_path / "set.npz", preprocessing)


def test_parts_of_medmnist_with_different_sizes_are_refused(tmp_path, preprocessing):
    with np.load(medmnist(tmp_path / "med.npz")) as archive:
        arrays = dict(archive)
    arrays["val_images"] = arrays["val_images"][:, :20, :20]
    np.savez(tmp_path / "med.npz", **arrays)
    with pytest.raises(DataError, match=r"med\.npz"):
        sources.load(tmp_path / "med.npz", preprocessing)


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("key", ["images", "labels", "classes", "unasked"])
def test_object_arrays_are_refused_and_never_unpickled(tmp_path, preprocessing, cells, key):
    trap = np.empty(1, dtype=object)
    trap[0] = Trap(tmp_path / "sprung")
    arrays = {"images": cells[0], "labels": cells[1]} | {key: trap}
    np.savez(tmp_path / "set.npz", allow_pickle=True, **arrays)
    with pytest.raises(DataError, match=r"set\.npz: holds an object array"):
        sources.load(tmp_path / "set.npz", preprocessing)
    assert not (tmp_path / "sprung").exists()


def test_a_pickle_named_npz_is_never_unpickled(tmp_path, preprocessing):
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
    tmp_path, preprocessing, shape, dtype
):
    content = npy_header(shape, dtype) + b"\0" * 5000
    path = zip_of(tmp_path / "set.npz", images=content, labels=npy_header((0,)))
    with pytest.raises(DataError, match=r"set\.npz: not a readable npz file"):
        sources.load(path, preprocessing)


def broken_npz(tmp_path, how, cells):
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
        content = b"no npz at all"
    elif how == "empty":
        content = b""
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "how", ["cut", "stream", "checksum", "encrypted", "method", "text", "empty"]
)
def test_a_damaged_npz_file_is_refused_by_name(tmp_path, preprocessing, cells, how):
    with pytest.raises(DataError, match=r"set\.npz: not a readable npz file"):
        sources.load(broken_npz(tmp_path, how, cells), preprocessing)


def test_a_member_that_is_no_array_is_refused(tmp_path, preprocessing):
    with pytest.raises(DataError, match=r"set\.npz: not a readable npz file"):
        sources.load(zip_of(tmp_path / "set.npz", images=b"text", labels=b"text"), preprocessing)


@pytest.mark.parametrize("header", ["{[]: 0}", "{'descr': (((", "{1: 2, 'a': 3}"])
def test_an_npz_file_with_a_hostile_header_is_one_error(tmp_path, preprocessing, header):
    text = header.encode().ljust(117) + b"\n"
    array = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
    with zipfile.ZipFile(tmp_path / "set.npz", "w") as made:
        made.writestr("images.npy", array)
        made.writestr("labels.npy", array)
    with pytest.raises(DataError, match=r"set\.npz"):
        sources.load(tmp_path / "set.npz", preprocessing)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a name be any bytes")
def test_an_npz_file_whose_name_is_no_text_can_be_written_down(tmp_path, preprocessing, cells):
    path = os.path.join(os.fsencode(tmp_path), b"set_\xff.npz")  # noqa: PTH118
    with open(path, "wb") as file:  # noqa: PTH123
        np.savez(file, images=cells[0], labels=cells[1])
    data = sources.load(os.fsdecode(path), preprocessing)
    f"{data.source} {data.names[0]}".encode()
