"""Calibration of runs and ensembles, from training to predictions."""

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stainproof import Classifier, api, train
from stainproof.calibration.record import read_calibration, write_calibration
from stainproof.calibration.scaling import scale
from stainproof.data import sources
from stainproof.data.dataset import Dataset
from stainproof.errors import CheckpointError, ConfigError, DataError
from stainproof.runs.folder import RunFolder
from stainproof.shift.lab import Lab
from stainproof.synthetic import phantoms
from tests.common.tiny import tiny_config


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return api.make_phantoms(tmp_path_factory.mktemp("data") / "home", 240, seed=1, size_px=32)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "other"
    return api.make_phantoms(folder, 80, seed=2, size_px=32, lab="other")


@pytest.fixture(scope="module")
def run(cells: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "first"
    train(cells, folder, tiny_config("training.epochs=6", "training.label_smoothing=0.3"))
    return folder


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "run"))


@pytest.fixture
def images() -> np.ndarray:
    return phantoms.generate(40, seed=9, size_px=32)[0]


@pytest.mark.parametrize("engine", ["onnxruntime", "torch"])
def test_a_trained_run_has_calibrated_probabilities_and_the_same_classes(
    run: Path, engine: str, images: np.ndarray
) -> None:
    calibration = read_calibration(RunFolder(run))
    plain = Classifier.load(run, engine, calibrated=False).predict_proba(images)
    found = Classifier.load(run, engine).predict_proba(images)

    assert calibration is not None and calibration.temperature != 1
    assert calibration.num_images == len(calibration.right) + len(calibration.wrong)
    assert (found.argmax(axis=1) == plain.argmax(axis=1)).all()
    np.testing.assert_allclose(found, scale(plain, calibration.temperature), atol=1e-6)


def test_calibrating_again_on_the_validation_split_gives_the_same(copy: Path, cells: Path) -> None:
    before = read_calibration(RunFolder(copy))

    after = api.calibrate(copy, cells, validation=True)

    assert before is not None
    assert after.temperature == pytest.approx(before.temperature, rel=1e-4)
    assert after.num_images == before.num_images


def test_calibrating_on_another_laboratory_changes_the_run(
    copy: Path, other: Path, images: np.ndarray
) -> None:
    plain = Classifier.load(copy, calibrated=False).predict_proba(images)

    made = api.calibrate(copy, other)

    assert made.source == "other" and made.num_images == 80
    assert made == read_calibration(RunFolder(copy))
    found = Classifier.load(copy).predict_proba(images)
    np.testing.assert_allclose(found, scale(plain, made.temperature), atol=1e-6)
    assert {check.outcome for check in api.verify(copy)} == {"ok"}


def test_calibrating_twice_on_the_same_images_gives_the_same(copy: Path, other: Path) -> None:
    once = api.calibrate(copy, other)
    twice = api.calibrate(copy, other)
    assert twice.model_dump(exclude={"provenance"}) == once.model_dump(exclude={"provenance"})


def test_calibrating_an_ensemble_twice_on_the_same_images_gives_the_same(
    run: Path, other: Path, tmp_path: Path
) -> None:
    api.ensemble([run, run], tmp_path / "both")
    once = api.calibrate(tmp_path / "both", other)
    twice = api.calibrate(tmp_path / "both", other)
    assert once.temperature != 1
    assert twice.model_dump(exclude={"provenance"}) == once.model_dump(exclude={"provenance"})


def test_images_are_read_once_without_a_profile_and_copies_are_found_before_it_with_one(
    copy: Path, cells: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, times = sources.read, []

    def counted(*args: Any, **options: Any) -> Dataset:
        times.append(1)
        return read(*args, **options)

    monkeypatch.setattr(sources, "read", counted)
    for lab, expected in ((None, 1), (Lab(scale=1.5), 3)):
        assert api.calibrate(copy, cells, lab=lab).num_images == 24
        assert len(times) == expected


def test_training_images_are_left_out_and_counted(copy: Path, cells: Path) -> None:
    said: list[str] = []

    made = api.calibrate(copy, cells, say=said.append)

    assert made.num_images == 24
    assert "216 images left out: copies of training images" in said


def test_too_few_images_are_refused_and_the_run_stays_as_it_was(copy: Path, tmp_path: Path) -> None:
    few = api.make_phantoms(tmp_path / "few", 7, seed=3, size_px=32)
    before = read_calibration(RunFolder(copy))

    with pytest.raises(DataError, match=r"few: calibration takes 8 labelled images or more, got 7"):
        api.calibrate(copy, few)

    assert read_calibration(RunFolder(copy)) == before


def test_the_validation_split_of_other_images_is_refused(copy: Path, other: Path) -> None:
    with pytest.raises(CheckpointError, match="begun on other images"):
        api.calibrate(copy, other, validation=True)


def test_an_altered_calibration_is_refused(copy: Path) -> None:
    path = copy / "calibration.json"
    path.write_text(path.read_text().replace('"temperature": ', '"temperature": 1'))

    with pytest.raises(CheckpointError, match="altered"):
        Classifier.load(copy)


def test_an_ensemble_has_its_members_calibration_and_one_of_its_own(
    run: Path, other: Path, images: np.ndarray, tmp_path: Path
) -> None:
    api.ensemble([run, run], tmp_path / "both")
    single = Classifier.load(run).predict_proba(images)
    np.testing.assert_allclose(
        Classifier.load(tmp_path / "both").predict_proba(images), single, atol=1e-6
    )

    made = api.calibrate(tmp_path / "both", other)

    found = Classifier.load(tmp_path / "both").predict_proba(images)
    np.testing.assert_allclose(found, scale(single, made.temperature), atol=1e-6)
    assert {check.outcome for check in api.verify(tmp_path / "both")} == {"ok"}


def test_predict_leaves_images_of_low_confidence_uncertain(
    copy: Path, other: Path, tmp_path: Path
) -> None:
    calibration = read_calibration(RunFolder(copy))
    assert calibration is not None
    predictions = {"right": tuple(np.linspace(0.3, 1, 900).tolist()), "wrong": (0.2,) * 100}
    write_calibration(
        RunFolder(copy), calibration.model_copy(update={"num_images": 1000, **predictions})
    )
    said: list[str] = []

    api.predict(copy, [str(other)], tmp_path / "out.csv", error="5%", say=said.append)

    with (tmp_path / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    uncertain = [row["label"] == "uncertain" for row in rows]
    classes = Classifier.load(copy).classes
    below = [max(float(row[name]) for name in classes) < 0.3 for row in rows]
    assert uncertain == below
    assert f"{sum(uncertain)} of 80 images are uncertain" in said[-1]


def test_an_error_that_cannot_be_guaranteed_writes_no_table(
    run: Path, other: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="error: 1 % cannot be guaranteed"):
        api.predict(run, [str(other)], tmp_path / "out.csv", error=0.01)
    with pytest.raises(ConfigError, match="must be above 0 %"):
        api.predict(run, [str(other)], tmp_path / "out.csv", error="200%")
    assert not (tmp_path / "out.csv").exists()


def test_images_with_other_pixels_are_not_those_of_the_training(
    copy: Path, cells: Path, tmp_path: Path
) -> None:
    other, second = shutil.copytree(cells, tmp_path / "home"), tmp_path / "second"
    shutil.copytree(copy, second)
    changed = min(other.rglob("*.png"))
    Image.fromarray(255 - np.asarray(Image.open(changed))).save(changed)
    for stage in (
        lambda: api.calibrate(copy, other, validation=True),
        lambda: api.train(other, copy, resume=True, training__epochs=7),
        lambda: api.average([copy, second], other, tmp_path / "mean"),
    ):
        with pytest.raises(CheckpointError, match=r"card\.json: the run was begun on other images"):
            stage()
