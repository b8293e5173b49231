"""verify and reproduce, and readers of a run that is being trained."""

from pathlib import Path

import pytest

from stainproof import Classifier, api
from stainproof.errors import CheckpointError
from stainproof.runs.check import Check
from stainproof.runs.folder import RunFolder
from stainproof.training.loop import Step
from tests.common.tiny import tiny_config

pytestmark = pytest.mark.slow

CONFIG = tiny_config("training.epochs=2", "augment.recipe=none")


@pytest.fixture(scope="module")
def run(shared_cell_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    api.train(shared_cell_folder, folder, CONFIG)
    return folder


def failed(checks: list[Check]) -> list[str]:
    return [str(check) for check in checks if check.outcome == "failed"]


def test_a_run_and_an_ensemble_are_verified(run: Path, tmp_path: Path) -> None:
    checks = api.verify(run)
    assert failed(checks) == []
    assert any("differ by at most" in check.detail for check in checks)
    api.ensemble([run, run], tmp_path / "both")
    assert failed(api.verify(tmp_path / "both")) == []
    (tmp_path / "both" / "ensemble.json").write_text("{}")
    assert failed(api.verify(tmp_path / "both"))
    with pytest.raises(CheckpointError, match="no such run folder"):
        api.verify(tmp_path / "gone")


def test_a_run_is_reproduced_and_another_seed_is_not(
    run: Path, shared_cell_folder: Path, tmp_path: Path
) -> None:
    assert failed(api.reproduce(run, shared_cell_folder, tmp_path / "again")) == []
    changed = RunFolder(tmp_path / "again")
    assert changed.best.read_bytes() == RunFolder(run).best.read_bytes()
    other = api.make_phantoms(tmp_path / "other", 120, seed=3, size_px=32)
    with pytest.raises(CheckpointError, match="on other images"):
        api.reproduce(run, other)
    copied = RunFolder(tmp_path / "copied")
    kept = RunFolder(run)
    copied.copy_files(kept, kept.card, kept.history, kept.splits)
    slower = CONFIG.training.model_copy(update={"learning_rate": 1e-5})
    copied.write_config(CONFIG.model_copy(update={"training": slower}))
    found = failed(api.reproduce(copied.path, shared_cell_folder))
    assert len(found) == 2 and "from epoch 1 on, " in found[0]


@pytest.mark.slow
def test_a_reader_finds_one_epoch_at_every_write_of_a_training(
    shared_cell_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read after every file that a training writes, as a reader beside it could."""
    folder, found = tmp_path / "run", []
    put = RunFolder.put

    def put_and_read(run: RunFolder, path: Path, write: object) -> str:
        sha256 = put(run, path, write)  # type: ignore[arg-type]
        if run.path == folder and run.card.exists() and path.suffix == ".safetensors":
            member = Classifier.load(folder, "torch").members[0]
            found.append((path.name, member.card.num_epochs))
        return sha256

    monkeypatch.setattr(RunFolder, "put", put_and_read)
    api.train(shared_cell_folder, folder, CONFIG)
    assert {epochs for _, epochs in found} == {1}
    assert "last.safetensors" in dict(found)


def test_the_step_of_a_reproduction_is_reported(run: Path, shared_cell_folder: Path) -> None:
    steps: list[Step] = []
    api.reproduce(run, shared_cell_folder, on_step=steps.append)
    assert {step.epoch for step in steps} == {1, 2}
