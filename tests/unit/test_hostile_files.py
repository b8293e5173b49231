"""Readers of hostile files end with a valid result or one error, in bounded time and memory."""

import csv
import inspect
import io
import os
import struct
import sys
import threading
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from benchmarks.reliability.hostile_files import is_valid, run
from benchmarks.reliability.judging import FAULTS
from stainproof.audit.findings import COLUMNS, read_csv
from stainproof.config.presets import read_config
from stainproof.config.schema import Preprocessing, SourceConfig
from stainproof.data import sources, stream
from stainproof.data.class_map import read_class_map
from stainproof.data.layout import Layout
from stainproof.data.listing import Listing
from stainproof.data.manifest import list_manifest
from stainproof.data.npz import list_npz, read_images_only
from stainproof.data.tree import scan
from stainproof.errors import ConfigError, DataError, StainproofError

PLAIN = SourceConfig()
MIB = 2**20


def manifest(path: Path) -> Listing:
    return list_manifest(path, PLAIN)


READERS: dict[str, Callable[[Path], Any]] = {
    "a.csv": manifest,
    "a.parquet": manifest,
    "a.npz": list_npz,
    "b.npz": read_images_only,
    "map.toml": lambda path: read_class_map(str(path)),
    "config.toml": read_config,
    "audit.csv": read_csv,
}


def peak_bytes(function: Callable[[], Any]) -> int:
    """Return the memory that Python and NumPy took at most during a call, and Arrow with it."""
    tracemalloc.start()
    before = pyarrow.total_allocated_bytes()
    try:
        function()
        return tracemalloc.get_traced_memory()[1] + pyarrow.total_allocated_bytes() - before
    finally:
        tracemalloc.stop()


def zip_of(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def npy(array: Any) -> bytes:
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def test_200_hostile_files_end_in_a_valid_result_or_one_error(tmp_path: Path) -> None:
    outcomes = list(run(range(200), 1, tmp_path))
    assert [one for one in outcomes if one.what in FAULTS] == []
    assert len(outcomes) == 200


@pytest.mark.parametrize("name", READERS)
def test_a_named_pipe_is_refused_at_once(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    ended = threading.Event()

    def unblock() -> None:
        if not ended.wait(5):
            (tmp_path / name).write_bytes(b"")  # ends a reader that waits, which fails the test

    threading.Thread(target=unblock, daemon=True).start()
    with pytest.raises(StainproofError, match="a named pipe; allowed: regular files"):
        READERS[name](tmp_path / name)
    ended.set()


@pytest.mark.parametrize("name", READERS)
def test_an_endless_device_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).symlink_to("/dev/zero")
    with pytest.raises(StainproofError, match="a device; allowed: regular files"):
        READERS[name](tmp_path / name)


def test_a_glob_does_not_match_a_named_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.npz")
    with pytest.raises(DataError, match="no images there"):
        stream.find([str(tmp_path / "*.npz")])


@pytest.mark.parametrize("suffix", [".png", ".npz"])
def test_the_error_of_a_file_whose_name_is_no_text_can_be_written(
    tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / os.fsdecode(b"cell_\xff\n" + suffix.encode())
    path.write_bytes(b"damaged")
    (item,) = stream.read([path], Preprocessing())
    assert "cell_\\xff\\n" in item.error and item.error.isprintable() and item.name.isprintable()


def test_two_names_that_differ_in_bytes_that_are_no_text_stay_two(
    cell_folder: Path, preprocessing: Preprocessing
) -> None:
    first, second = sorted((cell_folder / "platelet").iterdir())[:2]
    first.rename(first.with_name(os.fsdecode(b"\xff.png")))
    second.rename(second.with_name(os.fsdecode(b"\xfe.png")))
    listing = sources.list_source(cell_folder)
    assert len(listing.without({"platelet/\\xff.png"})) == 23


def test_an_image_that_claims_more_memory_than_there_is_is_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise MemoryError  # as of a PNG chunk with a length of gigabytes

    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    monkeypatch.setattr("stainproof.data.image_file.Image.open", full)
    (item,) = stream.read([tmp_path / "a.png"], Preprocessing(), 16)
    assert item.error.endswith("a.png: damaged, or takes more memory than there is")


def test_members_of_an_npz_file_that_nobody_needs_are_not_read(tmp_path: Path) -> None:
    images = np.zeros((4, 8, 8, 3), np.uint8)
    members = {"images": npy(images), "labels": npy(np.arange(4) % 2), "classes": npy(["a", "b"])}
    bomb = zip_of(tmp_path / "set.npz", {**members, "more": npy(np.zeros(64 * MIB, np.uint8))})
    assert peak_bytes(lambda: list_npz(bomb)) < 8 * MIB
    assert peak_bytes(lambda: read_images_only(bomb)) < 8 * MIB


def test_an_npz_header_that_states_a_header_of_gigabytes_is_not_read(tmp_path: Path) -> None:
    lying = b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31) + b" " * 64 * MIB
    bomb = zip_of(tmp_path / "set.npz", {"images": lying, "labels": npy(np.arange(4))})

    def refused() -> None:
        with pytest.raises(DataError, match=r"set\.npz: not a readable npz file"):
            list_npz(bomb)

    assert peak_bytes(refused) < 8 * MIB


@pytest.mark.parametrize(("key", "shape"), [("labels", (8 * MIB,)), ("classes", (2**20,))])
def test_arrays_of_a_wrong_shape_are_refused_before_they_are_read(
    tmp_path: Path, key: str, shape: tuple[int, ...]
) -> None:
    images = np.zeros((4, 8, 8, 3), np.uint8)
    members = {"images": npy(images), "labels": npy(np.arange(4) % 2), "classes": npy(["a", "b"])}
    large = np.zeros(shape, np.uint8 if key == "labels" else "U8")
    bomb = zip_of(tmp_path / "set.npz", members | {key: npy(large)})

    def refused() -> None:
        with pytest.raises(DataError, match=rf"set\.npz: {key}"):
            list_npz(bomb)

    assert peak_bytes(refused) < 4 * MIB


def test_an_npz_file_larger_than_the_memory_is_refused_with_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stainproof.data.npz_file.memory_bytes", lambda: 1000)
    zip_of(tmp_path / "set.npz", {"images": npy(np.zeros((40, 8, 8, 3), np.uint8))})
    with pytest.raises(DataError, match=r"refused before unpacking; allowed: 1000 bytes .* got 7"):
        read_images_only(tmp_path / "set.npz")


def parquet(file: Path, **columns: Any) -> Path:
    pyarrow.parquet.write_table(pyarrow.table(columns), file)
    return file


def test_a_small_parquet_file_of_many_rows_is_refused_before_reading(tmp_path: Path) -> None:
    place = pyarrow.array(np.zeros(5_000_001, np.int32))
    one = pyarrow.DictionaryArray.from_arrays(place, pyarrow.array(["a"]))
    path = parquet(tmp_path / "m.parquet", path=one)
    assert path.stat().st_size < MIB

    def refused() -> None:
        with pytest.raises(DataError, match="too many rows; allowed: 5,000,000, got 5,000,001"):
            manifest(path)

    assert peak_bytes(refused) < MIB


def test_a_parquet_cell_that_many_rows_share_is_refused(tmp_path: Path) -> None:
    place = pyarrow.array(np.zeros(50_000, np.int32))
    one = pyarrow.DictionaryArray.from_arrays(place, pyarrow.array(["x" * 10_000]))
    path = parquet(tmp_path / "m.parquet", path=one, label=one)

    def refused() -> None:
        with pytest.raises(DataError, match=r"'path' has a cell of 10,000 bytes; allowed: 4,096"):
            manifest(path)

    assert peak_bytes(refused) < 8 * MIB


def test_parquet_columns_that_are_not_used_are_not_read(tmp_path: Path) -> None:
    names = pyarrow.array([f"{n}.png" for n in range(64)])
    pixels = pyarrow.array([bytes(MIB)] * 64)
    path = parquet(tmp_path / "m.parquet", path=names, label=names, pixels=pixels)
    assert peak_bytes(lambda: manifest(path)) < 8 * MIB


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label," + "x" * 2 * MIB, "first line too long; allowed: 1 MiB"),
        ("path,label\n" + "x" * 4 * MIB + ",a", "not a readable .csv table"),
        ("path,label\n" + "x" * 5000 + ",a", "'path' has a cell of 5,000 bytes; allowed: 4,096"),
        (",".join(f"c{n}" for n in range(100_000)), "too many columns; allowed: 1,000"),
        ("path,label\na.png,b\n\0\n", "not a readable .csv table"),
        ("path,label\n1.png,a\n2.png,b,c\n", "not a readable .csv table"),
        ("path,a,a\n1,0,1\n", "column 'a' occurs 2 times"),
        ('path,"lab\nel"\n1,0\n', "not a readable .csv table"),
    ],
)
def test_csv_tables_of_strange_lines_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        manifest(tmp_path / "m.csv")


def test_rows_of_a_csv_table_are_counted_while_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stainproof.data.table.MAX_ROWS", 1000)
    (tmp_path / "m.csv").write_text("path,label\n" + "a,b\n" * 1001)
    with pytest.raises(DataError, match="too many rows; allowed: 1,000"):
        manifest(tmp_path / "m.csv")


def test_a_table_of_findings_with_a_long_line_is_refused(tmp_path: Path) -> None:
    (tmp_path / "audit.csv").write_text(",".join(COLUMNS) + "\n" + "x" * 2 * MIB)
    with pytest.raises(DataError, match="a line is longer than 1 MiB"):
        read_csv(tmp_path / "audit.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = " + "[" * 5000, "nested too deeply"),
        (".".join("a" * 5000) + " = 1", "a key with more than 100 dots"),
        (f"[{'.'.join('a' * 5000)}]", "a key with more than 100 dots"),
        ("a = '" + "x" * MIB + "'", "allowed: 256 KiB"),
        ("min_images = " + "[" * 90 + "]" * 90, "min_images"),
        ("a = \xe9".encode("latin-1"), "not a readable TOML file"),
        ("a = " + "9" * 5000, "not a readable TOML file"),
    ],
)
def test_hostile_toml_is_one_short_error(tmp_path: Path, text: str | bytes, message: str) -> None:
    content = text.encode() if isinstance(text, str) else text
    (tmp_path / "map.toml").write_bytes(content)
    for read in (READERS["map.toml"], read_config):
        with pytest.raises(ConfigError) as caught:
            read(tmp_path / "map.toml")
        assert len(str(caught.value)) < 1000
    with pytest.raises(ConfigError, match=message):
        read_class_map(str(tmp_path / "map.toml"))


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("*a" * 100 + "b/{label}/*", "a" * 255 + "/x/y.png"),
        ("{group}*a*a*a*a*a*a*a*a*a*a*b/{label}/*", "a" * 255 + "/x/y.png"),
        ("*a*/" * 20 + "{label}/z", ("a" * 20 + "/") * 21 + "y"),
        ("**/" * 30 + "{label}/z", "a/" * 500 + "y"),
    ],
)
def test_a_layout_of_many_stars_takes_no_time(pattern: str, path: str) -> None:
    began = time.monotonic()
    assert Layout(pattern).place(path) is None
    assert time.monotonic() - began < 1


def test_a_layout_of_megabytes_is_refused_in_a_short_line() -> None:
    with pytest.raises(
        DataError, match="layout of 10,000,007 characters; allowed: 1,000"
    ) as caught:
        Layout("{label}" + "*" * 10_000_000)
    assert len(str(caught.value)) < 100


def test_folders_deeper_than_pythons_recursion_are_listed(tmp_path: Path) -> None:
    inner = tmp_path.joinpath(*"a" * 200)
    inner.mkdir(parents=True)
    (inner / "x.png").touch()
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 100)
    try:
        assert len(scan(tmp_path).images) == 1
    finally:
        sys.setrecursionlimit(limit)


CELLS = st.text(st.characters(codec="utf-8"), max_size=6) | st.sampled_from(
    ["train", "val", "a.png", "b.png", "0", "1", "=x", "'-", '"', "\r", "\0"]
)
COLUMN_NAMES = CELLS | st.sampled_from(["path", "label", "split", "patient", "file", "class"])


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data(), st.sampled_from([".csv", ".parquet"]))
def test_any_table_is_a_listing_or_one_error(tmp_path: Path, data: Any, suffix: str) -> None:
    columns = data.draw(st.lists(COLUMN_NAMES, min_size=1, max_size=5))
    row = st.lists(CELLS, min_size=len(columns), max_size=len(columns))
    rows = data.draw(st.lists(row, max_size=5))
    path = tmp_path / f"m{suffix}"
    if suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([columns, *rows])
    else:
        arrays = [pyarrow.array([row[n] for row in rows], "string") for n in range(len(columns))]
        pyarrow.parquet.write_table(pyarrow.Table.from_arrays(arrays, columns), path)
    try:
        assert is_valid(manifest(path))
    except DataError as error:
        assert path.name in str(error)


FOLDERS = st.sampled_from(
    ["train", "test", "basophil", "platelet", "P1", "P2", "masks", "images", "x", "=x", "\x1b[2J"]
) | st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=5)
PATTERNS = st.lists(
    st.sampled_from(["{label}", "{group}", "{split}", "*", "**", "?", "a", "/", "/", "{", "}"]),
    max_size=7,
).map("".join)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.lists(FOLDERS, min_size=1, max_size=4), min_size=1, max_size=6), PATTERNS)
def test_any_tree_is_a_listing_or_one_error(
    tmp_path_factory: pytest.TempPathFactory, trees: list[list[str]], pattern: str
) -> None:
    folder = tmp_path_factory.mktemp("tree")
    for number, parts in enumerate(trees):
        inner = folder.joinpath(*(part for part in parts if part not in (".", "..")))
        inner.mkdir(parents=True, exist_ok=True)
        (inner / f"{number}.png").touch()
    for layout in ("", pattern):
        try:
            assert is_valid(sources.list_source(folder, options=SourceConfig(layout=layout)))
        except StainproofError as error:
            assert str(error)
