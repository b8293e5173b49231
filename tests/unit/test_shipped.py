"""Names of shipped models stand wherever a run folder does."""

import shutil
from pathlib import Path

import pytest

from stainproof import api
from stainproof.errors import CheckpointError
from stainproof.runs import shipped

NAME = "stainproof-light"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a few steps, to be read only."""
    from tests.common.cells import write_cells
    from tests.common.tiny import tiny_config

    folder = tmp_path_factory.mktemp("run")
    api.train(write_cells(folder / "cells"), folder / "run", tiny_config())
    return folder / "run"


@pytest.fixture
def model(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The run as the shipped model `stainproof-light`; the current directory is empty."""
    monkeypatch.setattr(shipped, "SHIPPED_FOLDER", tmp_path / "package")
    shutil.copytree(run, tmp_path / "package" / NAME)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "package" / NAME


def test_a_path_is_returned_as_it_is() -> None:
    assert shipped.find_run("runs/first") == Path("runs/first")


def test_a_name_without_a_model_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipped, "SHIPPED_FOLDER", tmp_path)
    with pytest.raises(CheckpointError, match=r"stainproof: .* not part of this installation"):
        shipped.find_run("stainproof")


def test_the_name_of_a_model_is_its_folder(model: Path) -> None:
    assert shipped.find_run(NAME) == model
    assert shipped.find_run(Path(NAME)) == model


def test_a_folder_of_the_same_name_is_preferred_only_if_it_is_a_run(model: Path) -> None:
    Path(NAME).mkdir()
    assert shipped.find_run(NAME) == model
    shutil.copy(model / "card.json", NAME)
    assert shipped.find_run(NAME) == Path(NAME)


def test_a_shipped_model_predicts_and_evaluates_and_stays_as_it_is(model: Path, run: Path) -> None:
    before = {path: path.read_bytes() for path in model.rglob("*") if path.is_file()}
    cells, said = run.parent / "cells", list[str]()
    assert api.predict(NAME, [str(cells)], "table.csv") == (24, 0)
    api.evaluate(NAME, cells, say=said.append)
    assert Path("evaluations", NAME, "cells", "eval.json").exists()
    assert said == [f"the evaluation is written to {Path('evaluations', NAME, 'cells')}"]
    api.ensemble([NAME, run], "both")
    assert all(check.outcome != "failed" for check in api.verify(NAME))
    after = {path: path.read_bytes() for path in model.rglob("*") if path.is_file()}
    assert after == before


def test_what_writes_into_a_run_refuses_a_shipped_model(model: Path, run: Path) -> None:
    cells = run.parent / "cells"
    for stage in (
        lambda: api.report(NAME),
        lambda: api.quantise(NAME, cells),
        lambda: api.reproduce(NAME, cells),
        lambda: api.average([NAME], cells, "mean"),
    ):
        with pytest.raises(CheckpointError, match=f"{NAME}: is a shipped model, which is only"):
            stage()
