"""A zip from a stranger: what it may hold, and that nothing is unpacked where it may not."""

import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stainproof.contest import archive
from stainproof.contest.archive import pack, unpack
from stainproof.errors import SubmissionError


def write_zip(path: Path, *members: tuple[Any, ...]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members:
            made.writestr(name, content)
    return path


@pytest.fixture
def refused(tmp_path: Path) -> Callable[..., Any]:
    """Unpack a zip that must be refused; return what is said."""

    def call(path: Path) -> Any:
        inside = tmp_path / "deep" / "inside"
        before = set(tmp_path.rglob("*"))
        with pytest.raises(SubmissionError) as raised:
            unpack(path, inside)
        left = set(tmp_path.rglob("*")) - before
        assert all(file == inside or inside in file.parents or file in inside.parents
                   for file in left)  # fmt: skip
        return str(raised.value)

    return call


def test_what_is_packed_comes_out_and_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "model.py").write_text("class Model: ...")
    (tmp_path / "in" / "deep" / "weights").write_bytes(bytes(range(256)))
    for name in ("a.zip", "b.zip"):
        pack(tmp_path / "in", tmp_path / name)
    unpack(tmp_path / "a.zip", tmp_path / "out")
    assert (tmp_path / "out" / "deep" / "weights").read_bytes() == bytes(range(256))
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


@pytest.mark.parametrize(
    "name", ["../evil.py", "/evil.py", "deep/../../evil.py", "..\\evil.py", "C:evil.py"]
)
def test_a_file_that_would_lie_outside_is_refused(
    refused: Callable[..., Any], tmp_path: Path, name: str
) -> None:
    said = refused(write_zip(tmp_path / "s.zip", ("model.py", ""), (name, "evil")))
    assert "outside of its folder" in said


def test_a_link_is_refused(refused: Callable[..., Any], tmp_path: Path) -> None:
    link = zipfile.ZipInfo("labels")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    said = refused(write_zip(tmp_path / "s.zip", ("model.py", ""), (link, "/etc/passwd")))
    assert "'labels' is not a regular file" in said


def test_a_zip_bomb_is_refused_before_it_is_unpacked(
    refused: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "MAX_BYTES", 2**20)
    zeros = bytes(600_000)
    said = refused(write_zip(tmp_path / "s.zip", ("model.py", ""), ("a", zeros), ("b", zeros)))
    assert "unpacks to 0.0 GiB; allowed: 0 GiB" in said
    assert not (tmp_path / "deep").exists()


def test_a_zip_bomb_with_a_false_size_is_refused(
    refused: Callable[..., Any], tmp_path: Path
) -> None:
    path = write_zip(tmp_path / "s.zip", ("model.py", bytes(600_000)))
    content = path.read_bytes()
    size = (600_000).to_bytes(4, "little")
    path.write_bytes(content.replace(size, (10).to_bytes(4, "little")))
    assert "not a readable zip file" in refused(path)
    assert all(f.stat().st_size < 600_000 for f in (tmp_path / "deep").rglob("*") if f.is_file())


def test_too_many_files_are_refused(
    refused: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "MAX_FILES", 3)
    path = write_zip(tmp_path / "s.zip", *((f"{number}.txt", "") for number in range(4)))
    assert "contains 4 files; allowed: 3" in refused(path)


def damaged(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[40:60] = b"\xff" * 20
    path.write_bytes(content)


def encrypted(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def text(path: Path) -> None:
    path.write_text("no zip at all")


@pytest.mark.parametrize("spoil", [damaged, encrypted, cut_short, text])
def test_a_spoilt_zip_is_one_error(
    refused: Callable[..., Any], tmp_path: Path, spoil: Callable[..., Any]
) -> None:
    path = write_zip(tmp_path / "s.zip", ("model.py", "class Model: pass\n" * 50))
    spoil(path)
    assert "not a readable zip file" in refused(path)


def test_a_folder_and_a_missing_file_are_different_errors(
    refused: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    assert "is a folder; " in refused(tmp_path / "folder")
    assert "no such file" in refused(tmp_path / "gone.zip")


def test_a_file_that_is_also_a_folder_is_one_error(
    refused: Callable[..., Any], tmp_path: Path
) -> None:
    said = refused(write_zip(tmp_path / "s.zip", ("a", "file"), ("a/b", "file")))
    assert "not a readable zip file" in said


def test_folders_too_deep_to_be_removed_are_refused(
    refused: Callable[..., Any], tmp_path: Path
) -> None:
    path = write_zip(tmp_path / "s.zip", ("a/" * 800 + "b", ""))
    assert "nested too deeply; allowed: 32" in refused(path)


def test_a_damaged_member_is_one_error_however_it_is_packed(
    refused: Callable[..., Any], tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "s.zip", "w", zipfile.ZIP_LZMA) as made:
        made.writestr("model.py", "class Model: pass\n" * 50)
    content = bytearray((tmp_path / "s.zip").read_bytes())
    content[50:70] = b"\xff" * 20
    (tmp_path / "s.zip").write_bytes(content)
    assert "not a readable zip file" in refused(tmp_path / "s.zip")
