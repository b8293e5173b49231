"""Training in two processes that share every batch."""

from pathlib import Path
from typing import Any

import pytest

from stainproof import Classifier, api
from stainproof.errors import ConfigError
from stainproof.runs.folder import RunFolder
from tests.common.ray_workers import killed_once
from tests.common.tiny import tiny_config

NUM_EPOCHS = 24
LEARNS = (f"training.epochs={NUM_EPOCHS}", "augment.recipe=none", "augment.validation=none")


def test_two_processes_are_as_accurate_as_one_and_leave_a_complete_run_folder(
    phantoms: Path, tmp_path: Path
) -> None:
    config = tiny_config(*LEARNS)
    lines: list[str] = []
    one = api.train(phantoms, tmp_path / "one", config)
    two = api.train_on_cluster(
        phantoms, tmp_path / "two", config, address="local", num_workers=2, say=lines.append
    )
    assert two.num_epochs == one.num_epochs == NUM_EPOCHS
    assert min(one.best.val_accuracy, two.best.val_accuracy) > 0.8
    assert abs(two.best.val_accuracy - one.best.val_accuracy) < 0.1
    names = [{path.name for path in (tmp_path / run).iterdir()} for run in ("one", "two")]
    assert names[0] == names[1]
    assert RunFolder(tmp_path / "two").is_finished()
    assert set(Classifier.load(tmp_path / "two").classes) == set(one.classes)
    assert any(line.startswith("epoch 1: validation accuracy") for line in lines)


def test_after_the_loss_of_a_process_all_go_on_after_the_last_epoch(
    phantoms: Path, tmp_path: Path
) -> None:
    run = RunFolder(tmp_path / "run")
    seen: list[float] = []

    def is_midway() -> bool:
        if run.state.exists() and not seen:
            seen.append(run.read_history()[0].elapsed_s)
        return bool(seen)

    with killed_once(is_midway, "RayTrainWorker") as killed:
        card = api.train_on_cluster(
            phantoms, run.path, tiny_config("training.epochs=6"), address="local", num_workers=2
        )
    assert len(killed) == 1 and card.num_epochs == 6
    history = run.read_history()
    assert [one.epoch for one in history] == list(range(1, 7))
    assert history[0].elapsed_s == seen[0]


def test_too_many_processes_are_refused(phantoms: Path, tmp_path: Path, machines: Any) -> None:
    with pytest.raises(ConfigError, match=r"--workers: the cluster has 2 cores, got 50"):
        api.train_on_cluster(
            phantoms, tmp_path / "run", tiny_config(), address=machines.address, num_workers=50
        )
    assert not (tmp_path / "run").exists()
