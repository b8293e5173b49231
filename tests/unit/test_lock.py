import shutil
from pathlib import Path

import pytest

from stainproof.errors import CheckpointError
from stainproof.runs import lock


def test_a_folder_without_files_is_removed_and_one_with_files_stays(tmp_path: Path) -> None:
    with lock.hold(tmp_path / "empty", tmp_path / "empty/lock"):
        pass
    with lock.hold(tmp_path / "used", tmp_path / "used/lock"):
        (tmp_path / "used/weights").touch()
    assert [file.name for file in tmp_path.rglob("*")] == ["used", "weights"]


def test_the_error_of_a_folder_that_was_removed_during_training_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with (
        pytest.raises(CheckpointError, match="the run folder is incomplete"),
        lock.hold(folder, folder / "lock"),
    ):
        shutil.rmtree(folder)
        raise CheckpointError("best.safetensors: missing; the run folder is incomplete")
