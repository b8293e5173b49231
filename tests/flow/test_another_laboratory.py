"""check, pick and adapt: a run in another laboratory."""

import contextlib
import csv
import gzip
import json
import shutil
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stainproof import Classifier, api
from stainproof.config.schema import SourceConfig
from stainproof.deployment import reference
from stainproof.deployment.reference import read_reference
from stainproof.deployment.result import CheckResult
from stainproof.errors import CheckpointError, ConfigError, DataError
from stainproof.runs.folder import RunFolder
from stainproof.shift.lab import Lab
from tests.common.cells import CLASSES, make_cells, write_cells
from tests.common.command import run_command
from tests.common.tiny import tiny_config

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cells(tmp_path_factory.mktemp("home") / "cells", num_a_class=100)


@pytest.fixture(scope="module")
def run(cells: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    api.train(cells, folder, tiny_config("split.val_fraction=0.4", "training.epochs=16"))
    return folder


@pytest.fixture(scope="module")
def turned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labelled cells of a laboratory whose camera swaps red and blue."""
    folder = tmp_path_factory.mktemp("other") / "turned"
    images, labels = make_cells(num_a_class=20, size_px=32, seed=5)
    for index, (rgb, label) in enumerate(zip(images, labels, strict=True)):
        path = folder / CLASSES[label] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.ascontiguousarray(rgb[..., ::-1])).save(path)
    return folder


def test_features_and_the_last_layer_give_the_probabilities(run: Path) -> None:
    images, _ = make_cells(num_a_class=3, size_px=32, seed=1)
    classifier = Classifier.load(run, calibrated=False)
    logits = classifier.extractor.logits(classifier.features(images)).astype(np.float64)
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert np.abs(probs - classifier.predict_proba(images)).max() < 1e-5


def test_training_leaves_a_reference_of_its_validation_images(run: Path) -> None:
    folder = RunFolder(run)
    reference = read_reference(folder, folder.read_card().weights_sha256, len(CLASSES))
    assert reference is not None
    assert len(reference.labels) == 120
    assert len(reference.distorted) == len(reference.distorted_labels) > 1000


def test_home_cells_are_fit_and_a_check_is_the_same_again(run: Path, tmp_path: Path) -> None:
    new = write_cells(tmp_path / "new", num_a_class=20, seed=7)
    first, again = (api.check(run, [str(new)], tmp_path / name) for name in ("a", "b"))
    assert first.verdict == "fit"
    assert first.drift.p_value > 0.05
    assert first.model_dump(exclude={"provenance"}) == again.model_dump(exclude={"provenance"})
    stored = json.loads((tmp_path / "a" / "check.json").read_text())
    assert {"value", "low", "high"} <= set(stored["expected_accuracy"])
    assert CheckResult.read(tmp_path / "a" / "check.json") == first
    assert "Expected accuracy" in (tmp_path / "a" / "check.html").read_text()


def test_another_camera_is_a_drift(run: Path, turned: Path, tmp_path: Path) -> None:
    result = api.check(run, [str(turned)], tmp_path / "check")
    assert result.drift.p_value < 0.01
    assert "red against blue" in {test.name for test in result.drift.moved}
    assert result.verdict != "fit"


def test_a_few_labels_adapt_a_run_that_every_command_takes(
    run: Path, turned: Path, cells: Path, tmp_path: Path
) -> None:
    adapted = tmp_path / "adapted"
    made = api.adapt(run, turned, adapted)
    assert made.is_changed
    before, after = (api.evaluate(one, turned, tmp_path / one.name) for one in (run, adapted))
    assert after.accuracy.value > before.accuracy.value + 0.2
    assert all(check.outcome != "failed" for check in api.verify(adapted))
    assert "60 labels of turned" in RunFolder(adapted).read_card().adapted
    api.check(adapted, [str(turned)], tmp_path / "check")
    with pytest.raises(CheckpointError, match="was adapted"):
        api.reproduce(adapted, cells)


def test_a_run_adapted_with_a_profile_says_so_when_the_profile_is_missing(
    run: Path, turned: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    lab, adapted = tmp_path / "lab.json", tmp_path / "adapted"
    Lab(scale=1.2).write(lab)
    api.adapt(run, turned, adapted, lab=lab)
    predict = ("predict", adapted, turned, "--out", tmp_path / "table.csv")
    missing = run_command(monkeypatch, capfd, *predict)
    given = run_command(monkeypatch, capfd, *predict, "--lab", lab)
    assert missing.code == given.code == 0
    assert "adapted to images with a laboratory profile (scale 1.2" in missing.err
    assert "adapted to images" not in given.err


@pytest.mark.parametrize("is_given", [False, True])
def test_check_pick_and_adapt_say_once_that_the_profile_of_the_run_is_missing(
    run: Path, turned: Path, tmp_path: Path, is_given: bool
) -> None:
    adapted, images = tmp_path / "adapted", [str(turned)]
    shutil.copytree(run, adapted)
    folder = RunFolder(adapted)
    folder.write_card(folder.read_card().model_copy(update={"adapted_lab": "scale 1.20"}))
    lab = Lab(scale=1.2) if is_given else None
    for stage in (
        partial(api.pick, adapted, images, tmp_path / "to_label.csv"),
        partial(api.check, adapted, images, tmp_path / "check"),
        partial(api.adapt, adapted, turned, tmp_path / "again"),
        partial(api.adapt_unlabelled, adapted, images, tmp_path / "unlabelled"),
    ):
        said: list[str] = []
        with contextlib.suppress(DataError):  # adapting without labels may be refused
            stage(lab=lab, say=said.append)
        assert sum("with a laboratory profile (scale 1.20)" in line for line in said) == (
            not is_given
        )


def test_adapting_says_what_it_left_out_and_counts_what_it_read(
    run: Path, turned: Path, tmp_path: Path
) -> None:
    options = SourceConfig(skip_unreadable=True)
    labelled = tmp_path / "labelled"
    for path in sorted(turned.rglob("*.png"))[::7]:
        place = labelled / path.relative_to(turned)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
    paths = sorted(labelled.rglob("*.png"))
    paths[0].write_bytes(b"no image")
    said: list[str] = []
    made = api.adapt(run, labelled, tmp_path / "one", options=options, say=said.append)
    assert any("labelled: 1 unreadable images left out" in line for line in said)
    assert sum(made.class_counts.values()) == len(paths) - 1
    for path in paths[8:]:
        path.unlink()
    with pytest.raises(DataError, match="8 labelled cells or more that can be read, got 7"):
        api.adapt(run, labelled, tmp_path / "two", options=options)


def test_a_run_that_is_right_already_is_left_as_it_is(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from stainproof.deployment import choice

    monkeypatch.setattr(choice, "HEADS", {})
    monkeypatch.setattr(choice, "fit_temperature", lambda *_: 5.0)
    labelled = write_cells(tmp_path / "labelled", num_a_class=4, seed=9)
    done = run_command(monkeypatch, capfd, "adapt", run, labelled, "--out", tmp_path / "same")
    assert done.code == 1
    assert "not adapted" in done.err
    images, _ = make_cells(num_a_class=3, size_px=32, seed=1)
    old, new = (Classifier.load(one).predict_proba(images) for one in (run, tmp_path / "same"))
    assert np.abs(old - new).max() < 1e-6


def test_a_run_is_adapted_without_labels(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    cells = write_cells(tmp_path / "new", num_a_class=20, seed=7)
    adapted = tmp_path / "adapted"
    adapt = partial(run_command, monkeypatch, capfd, "adapt", run)
    done = adapt(cells, "--unlabelled", "--out", adapted)
    assert done.code == 0, done.err
    assert "60 of" in done.out
    assert all(check.outcome != "failed" for check in api.verify(adapted))
    assert "without labels" in RunFolder(adapted).read_card().adapted
    before, after = (api.evaluate(one, cells, tmp_path / one.name) for one in (run, adapted))
    assert after.accuracy.value > before.accuracy.value - 0.05
    temperatures = [Classifier.load(one).temperature for one in (run, adapted)]
    assert temperatures[0] == pytest.approx(temperatures[1])


def test_adapting_without_labels_is_refused_in_one_line(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    few = write_cells(tmp_path / "few", num_a_class=2)
    out = tmp_path / "adapted"
    adapt = partial(run_command, monkeypatch, capfd, "adapt", run)
    refusals = {
        "32 images or more, got 6": (few,),
        "--map is not allowed with --unlabelled": (few, "--map", "haematology"),
    }
    for words, arguments in refusals.items():
        done = adapt(*arguments, "--unlabelled", "--out", out)
        assert done.code == 2
        assert words in done.err
        assert len(done.err.strip().splitlines()) == 1
        assert not out.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a name be any bytes")
def test_a_folder_whose_name_is_no_text_is_named_with_escapes(run: Path, tmp_path: Path) -> None:
    folder = str(tmp_path / "new\udcff")
    write_cells(Path(folder), num_a_class=20, seed=7)
    escaped = str(tmp_path / "new\\xff")
    assert api.check(run, [folder], tmp_path / "check").images == (escaped,)
    adapted = api.adapt_unlabelled(run, [folder], tmp_path / "adapted")
    assert adapted.images == (escaped,)
    assert escaped in RunFolder(tmp_path / "adapted").read_card().adapted


def test_picked_cells_are_a_manifest_to_fill_in(run: Path, turned: Path, tmp_path: Path) -> None:
    table = tmp_path / "tables" / "to_label.csv"
    picked = api.pick(run, [str(turned)], table, num=12)
    assert len(set(picked)) == 12
    rows = list(csv.DictReader(table.open()))
    for row in rows:
        row["label"] = Path(row["file"]).parent.name
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    assert len(api.adapt(run, table, tmp_path / "adapted").names) == 12


def test_a_run_without_a_reference_takes_one_without_training_images(
    run: Path, cells: Path, turned: Path, tmp_path: Path
) -> None:
    old = tmp_path / "old"
    folder = RunFolder(old)
    source = RunFolder(run)
    folder.copy_files(
        source, source.config, source.training_hashes, source.best, source.onnx, source.calibration
    )
    folder.write_card(source.read_card())
    with pytest.raises(CheckpointError, match="--reference"):
        api.check(old, [str(turned)], tmp_path / "check")
    said: list[str] = []
    api.check(old, [str(turned)], tmp_path / "check", reference=cells, say=said.append)
    assert any("180 training images left out" in line for line in said)
    api.check(old, [str(turned)], tmp_path / "again")


def test_a_damaged_or_too_large_reference_is_refused(
    run: Path, turned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(run)
    content = folder.reference.read_bytes()
    try:
        folder.reference.write_bytes(content[:100] + b"x" + content[101:])
        with pytest.raises(CheckpointError, match="altered"):
            api.check(run, [str(turned)], tmp_path / "check")
        folder.write_reference(b"nothing")
        with pytest.raises(CheckpointError, match="not a reference"):
            api.check(run, [str(turned)], tmp_path / "check")
        folder.write_reference(content)
        monkeypatch.setattr(reference, "MAX_BYTES", len(gzip.decompress(content)) - 1)
        with pytest.raises(CheckpointError, match="not a reference"):
            api.check(run, [str(turned)], tmp_path / "check")
    finally:
        folder.write_reference(content)


def test_mistakes_are_named(run: Path, turned: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no images"):
        api.check(run, [str(tmp_path / "none")], tmp_path / "check")
    assert not (tmp_path / "check").exists()
    with pytest.raises(ConfigError, match="seed"):
        api.check(run, [str(turned)], tmp_path / "check", seed=-1)
    with pytest.raises(ConfigError, match="csv"):
        api.pick(run, [str(turned)], tmp_path / "table.txt")
    with pytest.raises(DataError, match="100 cells wanted, 60 images"):
        api.pick(run, [str(turned)], tmp_path / "table.csv", num=100)
    few = write_cells(tmp_path / "few", num_a_class=2)
    with pytest.raises(DataError, match="8 labelled cells or more"):
        api.adapt(run, few, tmp_path / "adapted")
    assert not (tmp_path / "adapted").exists()
