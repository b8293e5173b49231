import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from numpy.typing import NDArray
from PIL import Image

from stainproof.config.schema import Preprocessing, SourceConfig
from stainproof.data import download, sources
from stainproof.errors import DataError
from stainproof.progress import Track
from tests.common.cells import CLASSES, class_of, write_medmnist


def test_class_folders_give_images_labels_names_and_classes(
    cell_folder: Path, preprocessing: Preprocessing
) -> None:
    data = sources.load(cell_folder, preprocessing)
    assert data.source == "cells"
    assert data.classes == CLASSES
    assert data.images.shape == (24, 32, 32, 3) and data.images.dtype == np.uint8
    assert data.class_counts() == dict.fromkeys(CLASSES, 8)
    assert [class_of(rgb) for rgb in data.images] == data.labels.tolist()
    assert all((cell_folder / name).is_file() for name in data.names)
    assert all(
        name.startswith(CLASSES[label] + "/")
        for name, label in zip(data.names, data.labels, strict=True)
    )
    assert data.groups is None and data.parts is None and data.notes == ()


def test_images_are_resized_to_the_size_of_the_preprocessing(cell_folder: Path) -> None:
    assert sources.load(cell_folder, Preprocessing(size_px=20)).images.shape[1:] == (20, 20, 3)


def test_the_pixels_of_a_png_are_those_in_the_file(
    cell_folder: Path, preprocessing: Preprocessing
) -> None:
    data = sources.load(cell_folder, preprocessing)
    index = next(i for i, name in enumerate(data.names) if name.endswith(".png"))
    with Image.open(cell_folder / data.names[index]) as image:
        assert np.array_equal(data.images[index], np.array(image))


def test_a_class_folder_is_searched_in_depth(
    cell_folder: Path, preprocessing: Preprocessing
) -> None:
    deep = cell_folder / "basophil" / "slide 7"
    deep.mkdir()
    next((cell_folder / "basophil").glob("*.png")).rename(deep / "ä.png")
    data = sources.load(cell_folder, preprocessing)
    assert len(data) == 24
    assert "basophil/slide 7/ä.png" in data.names


def test_hidden_folders_are_left_out(cell_folder: Path, preprocessing: Preprocessing) -> None:
    for hidden in (cell_folder / ".cache", cell_folder / "basophil" / ".ipynb_checkpoints"):
        hidden.mkdir()
        (hidden / "copy.png").write_bytes(next(cell_folder.rglob("*.png")).read_bytes())
    data = sources.load(cell_folder, preprocessing)
    assert data.classes == CLASSES
    assert len(data) == 24


def test_files_that_are_no_images_are_left_out_and_counted(
    cell_folder: Path, preprocessing: Preprocessing
) -> None:
    (cell_folder / "basophil" / "notes.txt").write_text("stain of Monday")
    (cell_folder / "platelet" / "Thumbs.db").write_bytes(b"\0")
    (cell_folder / "README.md").write_text("beside the class folders")
    data = sources.load(cell_folder, preprocessing)
    assert len(data) == 24
    assert data.notes == ("2 files skipped: not images", "1 file skipped: system files")


def test_oddities_of_the_images_are_counted(
    cell_folder: Path, preprocessing: Preprocessing
) -> None:
    for path in sorted((cell_folder / "platelet").glob("*.png"))[:2]:
        with Image.open(path) as image:
            grey = image.convert("L")
        grey.save(path)
    assert sources.load(cell_folder, preprocessing).notes == ("2 images: grey",)


@pytest.mark.parametrize("name", ["nothing", "nothing.npz", "nothing.csv", "a" * 300, "no\0pe"])
def test_no_such_path(tmp_path: Path, preprocessing: Preprocessing, name: str) -> None:
    with pytest.raises(DataError, match="no such folder or file"):
        sources.load(tmp_path / name, preprocessing)


def test_an_at_sign_in_a_folders_name_is_part_of_it(
    tmp_path: Path, preprocessing: Preprocessing
) -> None:
    folder = tmp_path / "me@lab"
    folder.mkdir()
    data = sources.load(f"{write_medmnist(folder / 'set.npz')}@val", preprocessing)
    assert len(data) == 3
    with pytest.raises(DataError, match=r"me@lab/gone: no such folder or file"):
        sources.load(folder / "gone", preprocessing)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a name be any bytes")
def test_names_that_are_no_text_become_names_that_can_be_written_down(
    cell_folder: Path, preprocessing: Preprocessing
) -> None:
    strange = cell_folder.rename(cell_folder.with_name(os.fsdecode(b"lab_\xff")))
    (strange / "platelet").rename(strange / os.fsdecode(b"pl\xff"))
    data = sources.load(strange, preprocessing)
    "".join((data.source, *data.classes, *data.names)).encode("utf-8")


def test_an_empty_folder(tmp_path: Path, preprocessing: Preprocessing) -> None:
    with pytest.raises(DataError, match="no class folders in it"):
        sources.load(tmp_path, preprocessing)


def test_images_without_class_folders(
    tmp_path: Path, preprocessing: Preprocessing, cells: tuple[NDArray[np.uint8], NDArray[np.int64]]
) -> None:
    Image.fromarray(cells[0][0]).save(tmp_path / "cell.png")
    with pytest.raises(DataError, match="no class folders in it"):
        sources.load(tmp_path, preprocessing)


def test_a_class_folder_without_images_is_named(
    cell_folder: Path, preprocessing: Preprocessing
) -> None:
    (cell_folder / "monocyte").mkdir()
    (cell_folder / "monocyte" / "cell.heic").write_bytes(b"\0")
    with pytest.raises(DataError, match=r"monocyte: "):
        sources.load(cell_folder, preprocessing)


def test_unreadable_images_are_counted_and_the_first_is_named(
    cell_folder: Path, preprocessing: Preprocessing
) -> None:
    for name in ("basophil/b.jpg", "basophil/a.jpg", "platelet/z.png"):
        (cell_folder / name).write_text("not an image")
    with pytest.raises(DataError) as refusal:
        sources.load(cell_folder, preprocessing)
    assert "basophil/a.jpg: not an image" in str(refusal.value)
    message = str(refusal.value)
    assert (
        f"2 more unreadable files: {cell_folder}/basophil/b.jpg, {cell_folder}/platelet/z.png"
        in message
    )
    assert "--skip-unreadable" in message and "--audit" in message


def test_a_file_of_unknown_kind(tmp_path: Path, preprocessing: Preprocessing) -> None:
    (tmp_path / "cells.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"cells\.zip: unknown kind.*\.npz, \.csv, \.parquet"):
        sources.load(tmp_path / "cells.zip", preprocessing)


@pytest.mark.parametrize(
    ("kind", "option", "message"),
    [
        (
            "folder",
            {"group_column": "patient"},
            "--group-column goes with a manifest, got a folder",
        ),
        ("folder", {"classes": "a,b"}, "--classes goes with an npz file, got a folder"),
        ("csv", {"layout": "{label}/*"}, "--layout goes with a folder, got a manifest"),
        ("npz", {"bits": 12}, "--bits goes with a folder or a manifest, got an npz file"),
        ("npz", {"classes": "a,b"}, "--classes goes with a file without class names"),
        (
            "bloodmnist",
            {"classes": "a,b"},
            "--classes goes with an npz file, got a public data set",
        ),
    ],
)
def test_an_option_of_another_kind_of_source_is_refused(
    tmp_path: Path, kind: str, option: dict[str, Any], message: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "csv.csv").write_text("path,label\na.png,a\nb.png,b")
    images, labels = np.zeros((2, 8, 8, 3), np.uint8), np.arange(2)
    np.savez(tmp_path / "npz.npz", images=images, labels=labels, classes=np.array(["a", "b"]))
    places: dict[str, str | Path] = {
        "csv": tmp_path / "csv.csv",
        "npz": tmp_path / "npz.npz",
        "bloodmnist": kind,
    }
    source = places.get(kind, tmp_path / kind)
    with pytest.raises(DataError, match=message):
        sources.list_source(source, options=SourceConfig(**option))


def test_a_part_of_a_source_without_parts_is_refused(
    cell_folder: Path, preprocessing: Preprocessing
) -> None:
    with pytest.raises(DataError, match="states no split of its own"):
        sources.load(f"{cell_folder}@train", preprocessing)


def test_progress_counts_every_image(cell_folder: Path, preprocessing: Preprocessing) -> None:
    seen = []

    def track(items: Any, what: Any, total: Any) -> Iterator[Any]:
        for item in items:
            seen.append((what, total))
            yield item

    sources.load(cell_folder, preprocessing, track=track)
    assert seen == [("reading images", 24)] * 24


def manifest(cell_folder: Path, suffix: str, **changed: list[str] | None) -> Path:
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
    cell_folder: Path, preprocessing: Preprocessing, suffix: str
) -> None:
    whole = sources.load(cell_folder, preprocessing)
    data = sources.load(manifest(cell_folder, suffix), preprocessing)
    assert data.source == "manifest"
    assert data.names == whole.names
    assert data.classes == whole.classes
    assert np.array_equal(data.labels, whole.labels)
    assert np.array_equal(data.images, whole.images)
    assert data.groups == tuple(str(index // 3) for index in range(24))


def test_a_manifest_may_do_without_groups_and_may_name_files_from_the_root(
    cell_folder: Path, preprocessing: Preprocessing
) -> None:
    paths = sorted(str(path.resolve()) for path in cell_folder.rglob("*.png"))
    labels = [Path(path).parent.name for path in paths]
    file = manifest(cell_folder, ".csv", path=paths, label=labels, group=None)
    data = sources.load(file, preprocessing)
    assert len(data) == 12
    assert data.groups is None


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("column", ["path", "label"])
def test_a_manifest_without_a_column_names_it(
    cell_folder: Path, preprocessing: Preprocessing, suffix: str, column: str
) -> None:
    file = manifest(cell_folder, suffix, **{column: None})
    with pytest.raises(DataError, match=f"column '{column}' is missing; got: "):
        sources.load(file, preprocessing)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("column", ["path", "label", "group"])
def test_an_empty_field_is_named_with_its_row(
    cell_folder: Path, preprocessing: Preprocessing, suffix: str, column: str
) -> None:
    values = ["a"] * 23
    values.insert(4, "")
    file = manifest(cell_folder, suffix, **{column: values})
    with pytest.raises(DataError, match=f"column '{column}' is empty in row 5"):
        sources.load(file, preprocessing)


def test_a_path_in_two_rows_is_refused(cell_folder: Path, preprocessing: Preprocessing) -> None:
    names = [f"{n}.png" for n in range(23)]
    with pytest.raises(DataError, match=r"'3\.png' occurs in more than one row"):
        sources.load(manifest(cell_folder, ".csv", path=[*names, "3.png"]), preprocessing)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ("Platelets", "'Platelets' and 'platelet'"),
        ("error", "class name 'error'"),
    ],
)
def test_classes_that_figures_or_tables_would_confuse_are_refused(
    cell_folder: Path, preprocessing: Preprocessing, other: str, message: str
) -> None:
    shutil.copytree(cell_folder / "platelet", cell_folder / other)
    with pytest.raises(DataError, match=message):
        sources.load(cell_folder, preprocessing)


def test_images_that_do_not_fit_into_memory_are_an_error_with_advice(
    cell_folder: Path, preprocessing: Preprocessing, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*shape: Any, **how: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("numpy.empty", full)
    with pytest.raises(
        DataError, match=r"cells: 24 images of 32 px .* lower preprocessing.size_px"
    ):
        sources.load(cell_folder, preprocessing)


def test_a_manifest_that_names_a_missing_file(
    cell_folder: Path, preprocessing: Preprocessing
) -> None:
    file = manifest(cell_folder, ".csv", path=[f"gone{n}.png" for n in range(24)])
    with pytest.raises(DataError, match=r"gone0\.png: no such file; 23 more"):
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
def test_a_broken_table_is_refused_by_its_name(
    tmp_path: Path, preprocessing: Preprocessing, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=name):
        sources.load(tmp_path / name, preprocessing)


def test_bloodmnist_is_read_from_the_downloads_cache(
    tmp_path: Path, preprocessing: Preprocessing, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_medmnist(tmp_path / "bloodmnist_64.npz")
    asked = []

    def fetched(name: str, track: Track) -> Path:
        asked.append(name)
        return file

    monkeypatch.setattr(download, "fetch_bloodmnist", fetched)
    assert len(sources.load("bloodmnist:64@test", preprocessing)) == 2
    assert asked == ["bloodmnist:64"]
