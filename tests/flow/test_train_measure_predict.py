"""The main journey on synthetic cells, as a user takes it: files in, files out."""

import csv
import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file
from torch.nn.functional import cross_entropy

from stainproof import Classifier, api, evaluate, predict, train
from stainproof.config.presets import read_config
from stainproof.data import sources
from stainproof.errors import CheckpointError, ConfigError, DataError
from stainproof.evaluation.result import Evaluation
from stainproof.labels import BLOOD_CLASSES
from stainproof.runs.card import Card
from stainproof.runs.folder import RunFolder
from stainproof.synthetic import phantoms
from stainproof.training import checkpoint
from stainproof.training.loop import Step, Trainer
from stainproof.training.resume import Start, resolve_start
from tests.common.signals import call_handler
from tests.common.tiny import TINY, set_options, tiny_config


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return api.make_phantoms(tmp_path_factory.mktemp("data") / "home", 240, seed=1, size_px=32)


@pytest.fixture(scope="module")
def run(cells: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "first"
    train(cells, folder, tiny_config("training.epochs=24", "augment.recipe='d4'", seed=1))
    return folder


def test_a_run_folder_holds_everything_that_people_keep(run: Path) -> None:
    names = {path.name for path in run.iterdir()}
    assert names >= {
        "config.toml", "history.jsonl", "last.safetensors", "best.safetensors",
        "state.safetensors", "card.json", "splits.csv", "report.html",
    }  # fmt: skip
    card = Card.read(run / "card.json")
    assert card.classes == BLOOD_CLASSES
    assert card.num_epochs == 24
    assert sum(card.data.class_counts["train"].values()) == 216
    assert not list(run.rglob("*.part"))


def test_the_model_is_far_above_chance_on_cells_it_never_saw(run: Path, tmp_path: Path) -> None:
    fresh = api.make_phantoms(tmp_path / "fresh", 160, seed=2, size_px=32)
    result = evaluate(run, fresh, tmp_path / "eval")
    assert result.accuracy.low > 0.3
    assert Evaluation.read(tmp_path / "eval" / "eval.json") == result
    assert np.array(result.confusion).sum() == 160
    assert len(list((tmp_path / "eval" / "mistakes").glob("*.png"))) == len(result.mistakes)


def test_a_source_with_fewer_classes_in_another_order_is_measured_right(
    run: Path, tmp_path: Path
) -> None:
    images, labels = phantoms.generate(80, seed=5, size_px=32)
    kept = [i for i in range(80) if BLOOD_CLASSES[labels[i]] in ("platelet", "monocyte")]
    classes = np.array(["Platelets", "monocyte"])
    ours = [int(BLOOD_CLASSES[labels[i]] == "monocyte") for i in kept]
    np.savez(tmp_path / "two.npz", images=images[kept], labels=ours, classes=classes)
    result = evaluate(run, tmp_path / "two.npz", tmp_path / "eval")
    probs = Classifier.load(run).predict_proba(images[kept])
    assert result.accuracy.value == (probs.argmax(1) == labels[kept]).mean()
    assert len(result.absent_classes) == 6


@pytest.mark.slow
def test_of_a_source_with_a_split_of_its_own_the_test_part_is_measured(tmp_path: Path) -> None:
    images, labels = phantoms.generate(240, seed=7, size_px=32)
    arrays: dict[str, Any] = {}
    for part, chosen in (
        ("train", slice(160)),
        ("val", slice(160, 200)),
        ("test", slice(200, 240)),
    ):
        arrays |= {f"{part}_images": images[chosen], f"{part}_labels": labels[chosen]}
    np.savez(tmp_path / "cells.npz", classes=BLOOD_CLASSES, **arrays)
    card = train(tmp_path / "cells.npz", tmp_path / "run", tiny_config("training.epochs=1"))
    assert {name: sum(num.values()) for name, num in card.data.class_counts.items()} == {
        "train": 160, "val": 40, "test": 40,
    }  # fmt: skip
    test = sources.load(f"{tmp_path / 'cells.npz'}@test", card.preprocessing)
    assert evaluate(tmp_path / "run", tmp_path / "cells.npz").data_sha256 == test.sha256()
    at_home = Evaluation.read(tmp_path / "run" / "home" / "test" / "eval.json")
    assert at_home.num_images == 40


def test_figures_of_other_images_of_one_name_are_not_written_over(
    run: Path, tmp_path: Path
) -> None:
    ours, theirs = (
        api.make_phantoms(tmp_path / lab / "test", 16, seed=seed, size_px=32)
        for seed, lab in ((3, "ours"), (4, "theirs"))
    )
    (tmp_path / "figures" / "mistakes").mkdir(parents=True)
    (tmp_path / "figures" / "mistakes" / "mine.png").write_bytes(b"a figure of the user's")
    first = evaluate(run, ours, tmp_path / "figures")
    assert (tmp_path / "figures" / "mistakes" / "mine.png").exists()
    with pytest.raises(ConfigError, match=r"other images named test"):
        evaluate(run, theirs, tmp_path / "figures")
    assert Evaluation.read(tmp_path / "figures" / "eval.json") == first
    assert evaluate(run, ours, tmp_path / "figures").accuracy == first.accuracy


def test_predictions_are_those_of_the_classifier_in_every_format(
    run: Path, cells: Path, tmp_path: Path
) -> None:
    outs = [tmp_path / f"p{suffix}" for suffix in (".csv", ".parquet", ".jsonl")]
    for out in outs:
        assert predict(run, [str(cells / "ig")], out) == (30, 0)
    with outs[0].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["name", "label", *BLOOD_CLASSES, "error"]
    lines = [json.loads(line) for line in outs[2].read_text().splitlines()]
    table = pyarrow.parquet.read_table(outs[1]).to_pylist()
    files = sorted((cells / "ig").iterdir())
    expected = Classifier.load(run).predict_proba([np.array(Image.open(file)) for file in files])
    for kept in (rows, table, lines):
        assert [Path(row["name"]).name for row in kept] == [file.name for file in files]
        found = [[float(row[name]) for name in BLOOD_CLASSES] for row in kept]
        np.testing.assert_allclose(found, expected, atol=1e-5)
        assert [row["label"] for row in kept] == [BLOOD_CLASSES[i] for i in expected.argmax(1)]
    for row in rows:
        probs = [float(row[name]) for name in BLOOD_CLASSES]
        assert sum(probs) == pytest.approx(1.0, abs=1e-5)
        assert row["label"] == BLOOD_CLASSES[int(np.argmax(probs))]


def test_a_broken_image_gives_a_row_with_an_error_and_the_others_are_predicted(
    run: Path, cells: Path, tmp_path: Path
) -> None:
    good = sorted((cells / "ig").iterdir())[0]
    bad = tmp_path / "bad.jpg"
    bad.write_text("no image")
    out = tmp_path / "p.csv"
    done = subprocess.run(
        [sys.executable, "-m", "stainproof", "predict", run, bad, good, "--out", out],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "1 of 2 images" in done.stderr
    with out.open(newline="") as file:
        broken, whole = csv.DictReader(file)
    assert "not an image" in broken["error"] and not broken["label"]
    assert whole["label"] in BLOOD_CLASSES and not whole["error"]


def test_classifier_takes_one_image_a_batch_or_a_list(run: Path) -> None:
    classifier = Classifier.load(run)
    images, _ = phantoms.generate(4, seed=9, size_px=32)
    batch = classifier.predict_proba(images)
    assert batch.shape == (4, 8)
    assert np.allclose(classifier.predict_proba(images[0]), batch[:1], atol=1e-6)
    assert np.allclose(classifier.predict_proba(list(images)), batch, atol=1e-6)
    assert classifier.predict_proba(images[:0]).shape == (0, 8)
    assert classifier.predict(images)[0] == BLOOD_CLASSES[batch[0].argmax()]
    refused: dict[str, Any] = {
        "uint8": images / 255,
        r"\(height, width, 3\)": images[..., 0],
        "cell.png: no such file": ["cell.png"],
    }
    for message, value in refused.items():
        with pytest.raises(DataError, match=message):
            classifier.predict_proba(value)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights_byte_for_byte(cells: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        train(cells, tmp_path / name, tiny_config("training.epochs=2", seed=seed))
    a, b, c = (tmp_path / name for name in "abc")
    assert (a / "best.safetensors").read_bytes() == (b / "best.safetensors").read_bytes()
    assert (a / "splits.csv").read_bytes() == (b / "splits.csv").read_bytes()
    assert (a / "best.safetensors").read_bytes() != (c / "best.safetensors").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("schedule", ["one-cycle", "plateau"])
def test_a_run_killed_between_epochs_resumes_to_the_same_numbers(
    cells: Path, tmp_path: Path, schedule: Any
) -> None:
    config = tiny_config(
        "training.epochs=4", f"training.schedule='{schedule}'", "training.plateau_patience=0"
    )
    train(cells, tmp_path / "whole", config)
    epochs_done = []

    def kill_in_third_epoch(step: Step) -> None:
        if step.epoch == 3:
            epochs_done.append(step.epoch)
            raise RuntimeError("the machine goes down")

    with pytest.raises(RuntimeError):
        train(cells, tmp_path / "parted", config, on_step=kill_in_third_epoch)
    assert epochs_done
    Classifier.load(tmp_path / "parted")
    train(cells, tmp_path / "parted", resume=True)
    for name in ("best.safetensors", "last.safetensors"):
        whole, parted = (load_file(tmp_path / f / name) for f in ("whole", "parted"))
        assert all(np.array_equal(whole[key], parted[key]) for key in whole)


def test_resuming_on_other_images_is_refused(run: Path, tmp_path: Path) -> None:
    other = api.make_phantoms(tmp_path / "other", 80, seed=8, size_px=32)
    with pytest.raises(CheckpointError, match="other images"):
        train(other, run, resume=True)


def test_a_run_is_never_written_over(run: Path, cells: Path) -> None:
    before = (run / "best.safetensors").read_bytes()
    with pytest.raises(ConfigError, match="already holds a run"):
        train(cells, run, tiny_config("training.epochs=1"))
    assert (run / "best.safetensors").read_bytes() == before


@pytest.mark.slow
def test_a_time_budget_ends_with_a_complete_run_folder_in_time(cells: Path, tmp_path: Path) -> None:
    began = time.monotonic()
    card = train(cells, tmp_path / "run", tiny_config("training.epochs=100000", budget_s=3))
    assert "time budget" in card.stopped
    assert card.best.elapsed_s < 6
    assert time.monotonic() - began < 40
    assert (tmp_path / "run" / "report.html").exists()
    last = json.loads((tmp_path / "run" / "history.jsonl").read_text().splitlines()[-1])
    assert last["learning_rate"] < 1e-3


@pytest.mark.slow
def test_early_stopping_keeps_the_best_epoch(cells: Path, tmp_path: Path) -> None:
    config = tiny_config(
        "training.epochs=40", "training.stop_patience=2", "training.learning_rate=1e-9"
    )
    card = train(cells, tmp_path / "run", config)
    assert card.stopped == "no better validation accuracy for 2 epochs"
    assert card.num_epochs == card.best.epoch + 2
    history = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").open()]
    assert len(history) == card.num_epochs


@pytest.mark.slow
def test_every_epochs_weights_are_kept_on_request(cells: Path, tmp_path: Path) -> None:
    train(
        cells, tmp_path / "run", tiny_config("training.epochs=2", "training.keep_every_epoch=true")
    )
    names = sorted(path.name for path in (tmp_path / "run" / "epochs").iterdir())
    assert names == ["0001.safetensors", "0002.safetensors"]


def test_the_settings_in_the_run_folder_are_those_used(run: Path) -> None:
    assert read_config(run / "config.toml") == tiny_config(
        "training.epochs=24", "augment.recipe='d4'", seed=1
    )


@pytest.mark.slow
@pytest.mark.parametrize("signal_name", ["SIGINT", "SIGTERM"])
def test_an_interrupt_ends_with_a_usable_run_folder(
    cells: Path, tmp_path: Path, signal_name: Any
) -> None:
    settings = set_options(*TINY)
    process = subprocess.Popen(
        [sys.executable, "-m", "stainproof", "train", cells, "--out", tmp_path / "run",
         *settings, "--set", "training.epochs=100000"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not (tmp_path / "run" / "card.json").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    for _ in range(2):  # as timeout(1) sends it, to the process and to its group
        os.kill(process.pid, getattr(signal, signal_name))
        time.sleep(0.01)
    out, err = process.communicate(timeout=60)
    assert "interrupted" in out, err
    assert err.endswith("stainproof: interrupted; the same command continues\n")
    assert process.returncode == 128 + getattr(signal, signal_name)
    assert Classifier.load(tmp_path / "run").classes == BLOOD_CLASSES
    assert (tmp_path / "run" / "report.html").exists()


@pytest.mark.slow
def test_an_interrupt_while_an_epoch_is_being_kept_is_obeyed_when_it_is_whole(
    cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: Any) -> None:
        call_handler()
        save_state(*arguments)

    save_state = checkpoint.save_state
    monkeypatch.setattr(checkpoint, "save_state", interrupted)
    card = train(cells, tmp_path / "run", tiny_config("training.epochs=3"))
    assert (card.stopped, card.num_epochs) == ("interrupted", 1)
    monkeypatch.undo()
    assert train(cells, tmp_path / "run", resume=True).num_epochs == 3


@pytest.mark.slow
def test_the_best_weights_are_written_again_where_a_kill_came_before(
    cells: Path, tmp_path: Path
) -> None:
    train(cells, tmp_path / "run", tiny_config("training.epochs=1"))
    run = RunFolder(tmp_path / "run")
    best = run.best.read_bytes()
    run.put(run.best, lambda part: part.write_bytes(b"an older epoch's"))
    train(cells, run.path, resume=True)
    assert run.best.read_bytes() == best


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ("training.optimizer=sgd", "another network or optimizer"),
        ("training.optimizer=lion", "another network or optimizer"),
        ("training.optimizer=adamw", "another network or optimizer"),
        ("training.ema_decay=0", "training.ema_decay"),
    ],
)
def test_a_run_is_not_resumed_with_another_network_or_optimizer(
    cells: Path, tmp_path: Path, changed: str, message: str
) -> None:
    train(cells, tmp_path / "run", tiny_config("training.epochs=1"))
    before = (tmp_path / "run" / "config.toml").read_bytes()
    with pytest.raises(CheckpointError, match=message):
        train(cells, tmp_path / "run", tiny_config("training.epochs=2", changed), resume=True)
    assert (tmp_path / "run" / "config.toml").read_bytes() == before


@pytest.mark.parametrize(
    ("key", "value", "schedule"),
    [
        ("preprocessing.fit", "pad", "one-cycle"),
        ("network.dropout", 0.4, "one-cycle"),
        ("split.val_fraction", 0.3, "one-cycle"),
        ("augment.validation", "none", "one-cycle"),
        ("training.learning_rate", 1e-5, "plateau"),
    ],
)
def test_a_resumed_run_does_not_become_another(
    tmp_path: Path, key: str, value: float | str, schedule: str
) -> None:
    kept = tiny_config(f"training.schedule={schedule}")
    (tmp_path / "config.toml").write_text(kept.to_toml())
    notes = {
        "version": checkpoint.STATE_VERSION,
        **asdict(checkpoint.Position(settings=kept.model_dump(mode="json"))),
    }
    save_file({}, tmp_path / "state.safetensors", {"state": json.dumps(notes)})
    more = tiny_config(f"training.schedule={schedule}", "training.epochs=9")
    epochs = f"training.epochs: {kept.training.epochs} -> 9"
    note = f"changed for the rest of the run: {epochs}"
    assert resolve_start(RunFolder(tmp_path), more, resume=True, audited=False) == Start(
        more, resume=True, again=True, notes=(note,)
    )
    edited = tiny_config(f"training.schedule={schedule}", f"{key}={value}")
    (tmp_path / "config.toml").write_text(edited.to_toml())
    with pytest.raises(ConfigError, match=f"{key}: .* a resumed run keeps its own"):
        resolve_start(RunFolder(tmp_path), edited, resume=True, audited=False)
    other = tiny_config(f"training.schedule={schedule}", f"{key}={value}")
    with pytest.raises(ConfigError, match=f"{key}: .* a resumed run keeps its own"):
        resolve_start(RunFolder(tmp_path), other, resume=True, audited=False)


@pytest.mark.slow
def test_a_resumed_run_takes_the_weight_decay_that_it_is_given(cells: Path, tmp_path: Path) -> None:
    train(cells, tmp_path / "run", tiny_config("training.epochs=1"))
    more = tiny_config("training.epochs=2", "training.weight_decay=0.5")
    data = sources.load(cells, more.preprocessing)
    trainer = Trainer(more, data, data, RunFolder(tmp_path / "run"), resume=True)
    decays = {group["weight_decay"] for group in trainer.optimizer.param_groups}
    assert decays == {0.0, 0.5}


class Loss:
    """Cross-entropy that becomes NaN after a number of calls."""

    def __init__(self, finite: Any = 10**9) -> None:
        self.finite, self.function = finite, cross_entropy

    def __call__(self, *given: Any, **options: Any) -> Any:
        self.finite -= 1
        return self.function(*given, **options) * (1 if self.finite >= 0 else math.nan)

    def end_after(self, epoch: Any) -> None:
        """Give no finite loss once the second epoch has begun."""
        if epoch == 2:
            self.finite = 0


def test_a_loss_that_is_no_number_before_an_epoch_is_done_names_the_rate(
    cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.nn.functional.cross_entropy", Loss(finite=0))
    with pytest.raises(ConfigError, match=r"learning_rate: with 0\.5 the loss .* lower one"):
        train(cells, tmp_path / "run", tiny_config("training.learning_rate=0.5"))
    assert not (tmp_path / "run" / "card.json").exists()


@pytest.mark.slow
def test_a_loss_that_is_no_number_later_ends_with_the_best_epoch_so_far(
    cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = Loss()
    monkeypatch.setattr("torch.nn.functional.cross_entropy", loss)
    card = train(
        cells, tmp_path / "run", tiny_config("training.epochs=9"),
        on_step=lambda step: loss.end_after(step.epoch),
    )  # fmt: skip
    assert (card.stopped, card.num_epochs) == ("the loss became NaN or infinite in epoch 2", 1)
    assert Card.read(tmp_path / "run" / "card.json") == card
    assert (tmp_path / "run" / "report.html").exists()


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_a_folder_that_resumes(cells: Path, tmp_path: Path) -> None:
    settings = set_options(*TINY)
    process = subprocess.Popen(
        [sys.executable, "-m", "stainproof", "train", cells, "--out", tmp_path / "run",
         *settings, "--set", "training.epochs=100000"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not (tmp_path / "run" / "card.json").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    done = len((tmp_path / "run" / "history.jsonl").read_text().splitlines())
    config = read_config(tmp_path / "run" / "config.toml")
    more = config.model_copy(
        update={"training": config.training.model_copy(update={"epochs": done + 2})}
    )
    card = train(cells, tmp_path / "run", more, resume=True)
    assert card.num_epochs == done + 2
