"""Every file of a folder is used, or skipped and counted."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stainproof.data.tree import scan

FOLDERS = ["basophil", "images", "masks", ".cache", "__MACOSX", "@eaDir", "Patient_1", "ä b", "a,b"]
FILES = [
    "1.png",
    "2.JPG",
    "3.tiff",
    "4.jfif",
    "5.gif",
    "6.heic",
    ".7.png",
    "notes.txt",
    "Thumbs.db",
]

paths = st.tuples(st.lists(st.sampled_from(FOLDERS), max_size=4), st.sampled_from(FILES))


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(tree=st.lists(paths, max_size=25), outputs=st.lists(st.sampled_from(FOLDERS), max_size=1))
def test_the_files_seen_are_those_used_plus_those_skipped(
    tmp_path_factory: pytest.TempPathFactory, tree: list[tuple[list[str], str]], outputs: list[str]
) -> None:
    root = tmp_path_factory.mktemp("tree")
    for folders, name in tree:
        file = root.joinpath(*folders, name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")
    for folder in outputs:
        (root / folder).mkdir(exist_ok=True)
        (root / folder / "card.json").write_text("{}")
    num_files = sum(len(names) for _, _, names in os.walk(root))
    found = scan(root)
    assert len(found.images) + sum(found.skipped.values()) == num_files
    assert len(set(found.images)) == len(found.images)
    assert all(file.suffix.lower() in {".png", ".jpg", ".tiff", ".jfif"} for file in found.images)
    assert found.images == sorted(found.images, key=lambda path: path.parts)


def write(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


@pytest.mark.parametrize(
    ("names", "note"),
    [
        (("a/1.png", "a/2.heic", "b/3.heic"), "2 files skipped: .heic is not read"),
        (("a/1.png", "a/@eaDir/1.png"), "1 file skipped: in system folders (@eaDir)"),
        (("a/1.png", "a/.trash/1.png"), "1 file skipped: in hidden folders"),
        (("images/a/1.png", "masks/a/1.png"), "1 file skipped: in masks beside images"),
        (("a/1.png", "r/card.json", "r/x.png"), "2 files skipped: in the run folder r"),
        (("a/1.png", "o/audit.csv", "o/x.png"), "2 files skipped: in the audit folder o"),
        (("a/1.png", "a/x.pdf", "a/y.xlsx"), "2 files skipped: not images"),
        (("a/1.png", "a/Thumbs.db"), "1 file skipped: system files"),
    ],
)
def test_what_is_skipped_is_named_and_counted(
    tmp_path: Path, names: tuple[str, ...], note: str
) -> None:
    write(tmp_path, *names)
    found = scan(tmp_path)
    assert [path.name for path in found.images] == ["1.png"]
    assert found.notes() == (note,)


def test_masks_without_images_beside_them_are_a_class(tmp_path: Path) -> None:
    write(tmp_path, "masks/1.png", "faces/1.png")
    assert len(scan(tmp_path).images) == 2


def test_links_to_folders_are_followed_and_loops_met_once(tmp_path: Path) -> None:
    write(tmp_path / "slides", "7/1.png", "7/2.png")
    write(tmp_path / "set", "a/0.png")
    (tmp_path / "set" / "a" / "slide 7").symlink_to(tmp_path / "slides" / "7")
    (tmp_path / "set" / "a" / "loop").symlink_to(tmp_path / "set")
    found = scan(tmp_path / "set")
    assert [path.name for path in found.images] == ["0.png", "1.png", "2.png"]
    assert found.notes() == ("folder not read twice: a/loop",)


def test_a_fifo_and_a_broken_link_are_skipped(tmp_path: Path) -> None:
    write(tmp_path, "a/1.png")
    os.mkfifo(tmp_path / "a" / "2.png")
    (tmp_path / "a" / "3.png").symlink_to(tmp_path / "gone.png")
    notes = scan(tmp_path).notes()
    assert notes == (
        "1 file skipped: broken links or unreadable files", "1 file skipped: not regular files",
    )  # fmt: skip


def test_a_folder_without_permission_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "a/1.png", "b/2.png")
    scandir: Callable[..., object] = os.scandir

    def refusing(path: Path) -> object:
        if Path(path).name == "b":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert scan(tmp_path).notes() == ("folder not read: b (permission denied)",)
