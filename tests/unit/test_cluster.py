import sys
from pathlib import Path

import pytest

from stainproof.errors import ConfigError
from stainproof.scale.cluster import cluster
from stainproof.scale.prediction import _divide
from stainproof.scale.storage import is_address, list_images, read_file, shown, write_file


def test_a_cluster_without_ray_is_refused_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(ConfigError, match=r"pip install 'stainproof\[ray\]'"),
        cluster("local"),
    ):
        pass


def test_every_image_is_in_one_part_and_an_npz_file_alone() -> None:
    names = ["a.png", "b.png", "c.npz", "d.npz", "e.png", "s3://x/f.png", "s3://x/g.png", "h.png"]
    parts = _divide(names, 2)
    assert [name for part in parts for name in part] == names
    assert parts == [names[:2], ["c.npz"], ["d.npz"], ["e.png"], names[5:7], ["h.png"]]
    assert [len(part) for part in _divide(["x.png"] * 7, 3)] == [3, 3, 1]


def test_files_of_a_folder_are_written_whole_and_read_back(tmp_path: Path) -> None:
    place = str(tmp_path / "parts")
    assert read_file(place, "one") is None
    write_file(place, "one", b"content")
    assert read_file(place, "one") == b"content"
    assert [path.name for path in (tmp_path / "parts").iterdir()] == ["one"]


def test_addresses_are_told_from_paths_and_shown_without_options() -> None:
    assert is_address("s3://bucket/cells") and not is_address("cells/s3")
    assert shown("s3://bucket/cells?secret_key=x") == "s3://bucket/cells"
    assert shown("cells?.png") == "cells?.png"
    with pytest.raises(ConfigError, match=r"^s3://: credentials are not allowed in an address"):
        list_images("s3://key:secret@bucket/cells")
    with pytest.raises(ConfigError, match=r"http://a/b: allowed: paths, and s3, gs://"):
        list_images("http://a/b")
