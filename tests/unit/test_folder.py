import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file

from stainproof.config.presets import make_config
from stainproof.errors import CheckpointError, ConfigError, DataError
from stainproof.files import sha256_of
from stainproof.runs.folder import RunFolder
from stainproof.runs.history import MAX_FIGURE, EpochRecord


def record(epoch: int) -> EpochRecord:
    return EpochRecord(
        epoch=epoch, loss=1.0, accuracy=0.5, val_loss=1.0, val_accuracy=0.5,
        val_augmented_accuracy=0.25, learning_rate=1e-3, images_per_s=9.0, elapsed_s=1.0,
    )  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "run")


def test_a_folder_that_does_not_exist_is_unused_but_cannot_be_read(run: RunFolder) -> None:
    run.check_unused()
    assert run.read_history() == []
    with pytest.raises(CheckpointError, match="run: no such run folder"):
        run.check_exists()
    with pytest.raises(CheckpointError, match=r"card\.json"):
        run.read_card()
    with pytest.raises(CheckpointError, match=r"config\.toml"):
        run.read_config()


@pytest.mark.parametrize(
    ("name", "advice"),
    [("state", "--resume"), ("card", "another --out"), ("config", "remove it")],
)
def test_a_folder_that_holds_a_run_is_not_overwritten(
    run: RunFolder, name: str, advice: str
) -> None:
    path: Path = getattr(run, name)
    path.parent.mkdir()
    path.write_text("")
    run.check_exists()
    with pytest.raises(ConfigError, match=f"{run}: .*{advice}"):
        run.check_unused()


def test_a_file_is_no_place_for_a_run(run: RunFolder) -> None:
    run.path.write_text("")
    with pytest.raises(ConfigError, match="run: is a file"):
        run.check_unused()


def test_settings_and_history_are_read_back_as_they_were_written(run: RunFolder) -> None:
    config, history = make_config("small", seed=3), [record(1), record(2)]
    run.write_config(config)
    run.write_history(history)
    assert run.read_config() == config
    assert run.read_history() == history


@pytest.mark.parametrize("loss", [math.nan, math.inf, 1.01 * MAX_FIGURE])
@pytest.mark.parametrize("name", ["loss", "val_loss", "val_augmented_loss"])
def test_a_loss_that_a_history_cannot_have_is_not_finite(name: str, loss: float) -> None:
    assert record(1).model_copy(update={name: MAX_FIGURE}).is_finite()
    assert not record(1).model_copy(update={name: loss}).is_finite()


@pytest.mark.parametrize("content", [b"{", b"[]\n", b"\xff", b"{}\n"])
def test_a_damaged_history_is_an_error(run: RunFolder, content: bytes) -> None:
    run.path.mkdir()
    run.history.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"history\.jsonl: damaged"):
        run.read_history()


def test_a_run_belongs_to_its_split(run: RunFolder) -> None:
    with pytest.raises(CheckpointError, match=r"splits\.csv"):
        run.check_split("0" * 64)
    run.write_splits(b"name,label,split\n")
    run.check_split(sha256_of(run.splits))
    with pytest.raises(CheckpointError, match=r"splits\.csv: .*another split"):
        run.check_split("0" * 64)


def test_a_run_belongs_to_its_images(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    run.write_splits(b"name,label,split\n")
    split = sha256_of(run.splits)
    run.check_split(split, "a")  # no card names the images yet
    run.card.touch()
    card = SimpleNamespace(data=SimpleNamespace(sha256="a"))
    monkeypatch.setattr(run, "read_card", lambda: card)
    run.check_split(split, "a")
    with pytest.raises(CheckpointError, match=r"card\.json: the run was begun on other images"):
        run.check_split(split, "b")


def test_weights_and_their_metadata_are_written_for_every_epoch(run: RunFolder) -> None:
    weights = {"w": torch.arange(6.0).view(2, 3).T}
    run.write_weights(run.epoch(12), weights, note="x")
    assert run.epoch(12) == run.path / "epochs" / "0012.safetensors"
    assert torch.equal(load_file(run.epoch(12))["w"], weights["w"])


def test_weights_that_the_disk_cannot_hold_are_one_error(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any, **options: Any) -> None:
        raise SafetensorError("No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(DataError, match=r"best\.safetensors: cannot be written \(No space"):
        run.write_weights(run.best, {"w": torch.zeros(2)})
    assert not list(run.path.iterdir())


def test_models_are_written_with_their_hash(run: RunFolder) -> None:
    assert run.write_model(run.onnx, b"float") == sha256_of(run.onnx)
    assert run.write_model(run.int8, b"int8") == sha256_of(run.int8)
    assert (run.onnx.read_bytes(), run.int8.read_bytes()) == (b"float", b"int8")


def test_evaluations_at_home_come_first(run: RunFolder) -> None:
    assert run.evaluation_folders() == []
    names = ("evaluations/b", "evaluations/a", "home/test", "home/val", "home/other")
    for name in names:
        (run.path / name).mkdir(parents=True)
    (run.evaluations / "notes.txt").write_text("")
    found = [folder.relative_to(run.path).as_posix() for folder in run.evaluation_folders()]
    assert found == ["home/val", "home/test", "evaluations/a", "evaluations/b"]


def test_the_record_of_a_training_is_copied_without_its_weights(
    run: RunFolder, tmp_path: Path
) -> None:
    rgb = np.random.default_rng(0).integers(256, size=(8, 8, 3), dtype=np.uint8)
    run.write_config(make_config())
    run.write_history([record(1)])
    run.write_example("basophil", 0, rgb)
    run.write_model(run.onnx, b"model")
    other = RunFolder(tmp_path / "other")
    other.copy_training_record(run)
    assert other.read_config() == run.read_config()
    assert other.read_history() == run.read_history()
    with Image.open(other.examples / "basophil" / "0.png") as image:
        assert np.array_equal(np.array(image), rgb)
    assert not other.onnx.exists() and not other.splits.exists()


def test_a_report_is_written_as_text(run: RunFolder) -> None:
    assert run.write_report("<p>ä</p>").read_text(encoding="utf-8") == "<p>ä</p>"
