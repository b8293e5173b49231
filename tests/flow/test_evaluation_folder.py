"""An evaluation that is repeated: the earlier figures and pictures stay until the new are whole."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from stainproof import api, files
from stainproof.errors import CheckpointError, StainproofError
from stainproof.evaluation.evaluator import NUM_MISTAKES
from stainproof.evaluation.result import Evaluation
from tests.common.tiny import tiny_config


class Killed(BaseException):
    """Ends an evaluation as a kill does."""


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return api.make_phantoms(tmp_path_factory.mktemp("data") / "cells", 48, seed=1, size_px=32)


@pytest.fixture(scope="module")
def run(cells: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    api.train(cells, folder, tiny_config("training.epochs=1"))
    return folder


def pictures(folder: Path) -> list[bytes]:
    """Return the pictures that the evaluation in a folder names."""
    found = Evaluation.read(folder / "eval.json").mistakes
    return [(folder / "mistakes" / one.picture).read_bytes() for one in found]


@pytest.mark.parametrize("num_written", [0, 1, 5])
def test_a_killed_evaluation_leaves_the_earlier_one(
    run: Path, cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_written: int
) -> None:
    def write_picture(*arguments: Any) -> None:
        if len(written) == num_written:
            raise Killed
        written.append(arguments)
        usual(*arguments)

    first = api.evaluate(run, cells, tmp_path / "eval", seed=1)
    written: list[Any] = []
    before, usual = pictures(tmp_path / "eval"), files.write_picture
    monkeypatch.setattr(files, "write_picture", write_picture)
    with pytest.raises(Killed):
        api.evaluate(run, cells, tmp_path / "eval")
    assert Evaluation.read(tmp_path / "eval" / "eval.json") == first
    assert pictures(tmp_path / "eval") == before
    monkeypatch.undo()
    for _ in range(2):
        result = api.evaluate(run, cells, tmp_path / "eval")
        assert pictures(tmp_path / "eval") == before
        assert len(list((tmp_path / "eval" / "mistakes").iterdir())) == len(result.mistakes)
    assert 0 < len(result.mistakes) <= NUM_MISTAKES


LINKS = ("home/val/mistakes/00.png", "home/val/mistakes", "home/val/eval.json", "config.toml",
         "examples/platelet/0.png", "examples/platelet", "home")  # fmt: skip


@pytest.mark.parametrize("name", LINKS)
def test_a_report_shows_nothing_that_a_run_links_to(run: Path, tmp_path: Path, name: str) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    kept = shutil.move(copy / name, tmp_path / "elsewhere")
    (copy / name).symlink_to(kept)
    before = (copy / "report.html").read_bytes()
    with pytest.raises(CheckpointError, match=f"{copy / name}: is a link"):
        api.report(copy)
    assert (copy / "report.html").read_bytes() == before


def test_a_report_shows_pictures_only(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / "home/val/mistakes/00.png").write_text("root:x:0:0")
    with pytest.raises(CheckpointError, match=r"00\.png: not an image"):
        api.report(copy)


@pytest.mark.parametrize("name", ["config.toml", "best.safetensors"])
def test_an_ensemble_copies_nothing_that_a_run_links_to(
    run: Path, tmp_path: Path, name: str
) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / name).unlink()
    (copy / name).symlink_to(run / name)
    with pytest.raises(CheckpointError, match=f"{name}: is a link"):
        api.ensemble([copy, run], tmp_path / "both")


def test_an_average_copies_nothing_that_a_run_links_to(
    run: Path, cells: Path, tmp_path: Path
) -> None:
    copies = [shutil.copytree(run, tmp_path / name) for name in "ab"]
    (copies[0] / "examples/platelet/0.png").unlink()
    (copies[0] / "examples/platelet/0.png").symlink_to("/etc/passwd")
    with pytest.raises(StainproofError, match=r"0\.png: is a link"):
        api.average(copies, cells, tmp_path / "mean", choice="greedy")
    assert not (tmp_path / "mean").exists()
