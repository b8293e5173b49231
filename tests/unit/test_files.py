import hashlib
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from stainproof import files
from stainproof.errors import DataError


def test_the_file_appears_when_the_block_ends_and_not_before(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "file.txt"
    with files.atomic_path(path) as part:
        part.write_text("new")
        assert not path.exists()
        assert part.parent == path.parent
    assert path.read_text() == "new"
    assert os.listdir(path.parent) == ["file.txt"]  # noqa: PTH208


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("old", [None, "old"])
def test_an_error_inside_the_block_leaves_the_old_file_and_no_leftovers(
    tmp_path: Path, old: str | None, error: type[BaseException]
) -> None:
    path = tmp_path / "file.txt"
    if old:
        path.write_text(old)
    with pytest.raises(error), files.atomic_path(path) as part:
        part.write_text("half of the ne")
        raise error
    assert [file.read_text() for file in tmp_path.iterdir()] == ([old] if old else [])


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    files.write_text(path, "a long old text")
    files.write_text(path, "ä")
    assert path.read_bytes() == "ä".encode()


@pytest.mark.parametrize(
    ("umask", "file", "folder"), [(0o022, 0o644, 0o755), (0o077, 0o600, 0o700)]
)
def test_permissions_are_those_of_the_umask(
    tmp_path: Path, umask: int, file: int, folder: int
) -> None:
    usual = os.umask(umask)
    try:
        files.write_text(tmp_path / "deep" / "file.txt", "x")
        files.append_line(tmp_path / "rows.jsonl", "x")
        with files.new_folder(tmp_path / "new"):
            pass
    finally:
        os.umask(usual)
    modes = [
        stat.S_IMODE((tmp_path / name).stat().st_mode)
        for name in ("deep/file.txt", "rows.jsonl", "new", "deep")
    ]
    assert modes == [file, file, folder, folder]


KILLED = """
import os, signal, sys
from pathlib import Path
from stainproof import files

folder = Path(sys.argv[1])
with files.atomic_path(folder / "file.txt") as part, files.new_folder(folder / "cells") as cells:
    part.write_text("half")
    (cells / "a.txt").write_text("half")
    if sys.argv[2] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    print("ready", flush=True)
    sys.stdin.read()
"""
PARTS = {".file.txt.0.part", ".cells.0.part"}


def write_in_a_process(folder: Path, how: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", KILLED, folder, how],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("way", ["written again", "cleared"])
def test_what_a_killed_process_left_is_removed(tmp_path: Path, way: str) -> None:
    (tmp_path / ".mine.part").touch()
    write_in_a_process(tmp_path, "killed").communicate(timeout=60)
    assert names(tmp_path) == {*PARTS, ".mine.part"}
    if way == "cleared":
        files.clear_parts(tmp_path)
        assert names(tmp_path) == {".mine.part"}
        return
    files.write_text(tmp_path / "file.txt", "whole")
    with files.new_folder(tmp_path / "cells") as cells:
        assert not any(cells.iterdir())
    assert names(tmp_path) == {"file.txt", "cells", ".mine.part"}


def test_what_a_living_process_writes_is_left_alone(tmp_path: Path) -> None:
    process = write_in_a_process(tmp_path, "lives")
    assert process.stdout and process.stdout.readline() == "ready\n"
    files.clear_parts(tmp_path)
    files.write_text(tmp_path / "file.txt", "whole")
    assert names(tmp_path) == {*PARTS, "file.txt"}
    process.communicate("", timeout=60)
    assert process.returncode == 0
    assert names(tmp_path) == {"file.txt", "cells"}
    assert (tmp_path / "file.txt").read_text() == "half"


@pytest.mark.parametrize("name", ["link.txt", "linked/file.txt", "../file.txt", "folder", "gone"])
def test_a_file_elsewhere_is_no_file_of_a_folder(tmp_path: Path, name: str) -> None:
    own = tmp_path / "own"
    (own / "folder").mkdir(parents=True)
    (own / "file.txt").touch()
    (tmp_path / "file.txt").touch()
    (own / "link.txt").symlink_to(tmp_path / "file.txt")
    (own / "linked").symlink_to(tmp_path)
    (tmp_path / "alias").symlink_to(own)
    files.check_own(own / "file.txt", own)
    files.check_own(tmp_path / "alias" / "file.txt", tmp_path / "alias")
    with pytest.raises(DataError, match=f"{tmp_path}"):
        files.check_own(own / name, own)


@pytest.mark.parametrize("name", ["file/below.txt", "folder", "a" * 300])
def test_a_path_that_cannot_be_written_is_named_and_nothing_is_left(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / "file").write_text("a file")
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="cannot be written"):
        files.write_text(tmp_path / name, "x")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder"]


def test_a_written_image_is_read_back_unchanged(tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (9, 14, 3), dtype=np.uint8)
    files.write_picture(tmp_path / "a.png", rgb)
    with Image.open(tmp_path / "a.png") as image:
        assert np.array_equal(np.array(image), rgb)


@given(content=st.binary(max_size=300))
def test_the_hash_is_that_of_the_bytes(
    tmp_path_factory: pytest.TempPathFactory, content: Any
) -> None:
    path = tmp_path_factory.mktemp("hash") / "file"
    files.write_bytes(path, content)
    assert files.sha256_of(path) == hashlib.sha256(content).hexdigest()


def test_a_new_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "cells"
    with pytest.raises(RuntimeError), files.new_folder(path) as part:
        (part / "a.txt").write_text("half")
        raise RuntimeError
    assert list((tmp_path / "deep").iterdir()) == []
    path.mkdir()
    with files.new_folder(path) as part:
        (part / "a.txt").write_text("whole")
        assert not any(path.iterdir())
    assert [file.name for file in path.iterdir()] == ["a.txt"]
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["cells"]
    with pytest.raises(DataError, match="not an empty folder"), files.new_folder(path):
        pass


def test_a_line_that_is_cut_short_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "write", lambda handle, content: len(content) - 1)
    with pytest.raises(DataError, match=r"rows\.jsonl: cannot be written whole"):
        files.append_line(tmp_path / "rows.jsonl", "a row")


@pytest.mark.parametrize("place", ["here", "link", "mount"])
def test_an_empty_folder_that_cannot_be_replaced_is_filled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    (tmp_path / "link").symlink_to(folder)
    path = tmp_path / "link" if place == "link" else folder
    if place == "here":
        monkeypatch.chdir(folder)
        path = Path()
    if place == "mount":
        monkeypatch.setattr("pathlib.Path.rmdir", lambda path: os.rmdir("/proc"))  # noqa: PTH106
    with files.new_folder(path) as part:
        (part / "deep").mkdir()
        (part / "deep" / "file.txt").write_text("new")
    assert (folder / "deep" / "file.txt").read_text() == "new"
    assert {one.name for one in tmp_path.iterdir()} == {"here", "link"}


@pytest.mark.parametrize("address", ["s3://hospital/count", "gs://hospital/count"])
def test_an_object_storage_is_not_taken_for_a_folder(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="an object storage, where only predict --ray can write"):
        files.check_writable(Path(address) / "count.json")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", [Path(), Path("..")])
def test_a_folder_is_not_written_as_a_file(path: Path) -> None:
    with pytest.raises(DataError, match=r"^\.+: cannot be written \(is a folder\)$"):
        files.check_writable(path)
