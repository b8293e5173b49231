"""Cells that a manifest cannot name are refused with the reason."""

import sys
from pathlib import Path

import pytest

from stainproof.deployment.picking import refuse_nameless
from stainproof.errors import DataError
from stainproof.text import printable


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a name be any bytes")
@pytest.mark.parametrize("name", ["a\x07.png", "a\udcff.png", "a#1\n.png"])
def test_a_file_whose_name_is_escaped_is_not_said_to_be_in_an_npz_file(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / name).touch()
    with pytest.raises(DataError, match="rename it without control characters") as refused:
        refuse_nameless([printable(tmp_path / name)])
    assert "npz" not in str(refused.value) and "\n" not in str(refused.value)


def test_an_image_of_an_npz_file_is_said_to_be_in_one(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    with pytest.raises(DataError, match="extract those of the npz file"):
        refuse_nameless([str(tmp_path / "a.png"), str(tmp_path / "cells.npz#3")])
