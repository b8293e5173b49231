"""Uncertain cells: the page follows the rule of `predict --error`."""

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from stainproof import api
from stainproof.calibration.record import Calibration, write_calibration
from stainproof.errors import ConfigError
from stainproof.inference.classifier import Classifier
from stainproof.provenance import collect
from stainproof.runs.folder import RunFolder
from stainproof.serve.app import create_app
from stainproof.serve.uncertainty import UNCERTAIN_BELOW, uncertainty_of
from tests.common.cells import write_cells
from tests.common.command import run_command
from tests.common.runs import change_card
from tests.common.served import make_services, train_tiny


def calibrate(run: Path, right: tuple[float, ...], wrong: tuple[float, ...]) -> None:
    """Write a calibration with the confidence of right and wrong predictions."""
    made = Calibration(
        source="cells",
        num_images=len(right) + len(wrong),
        temperature=1.0,
        error_before=0.1,
        error_after=0.1,
        right=right,
        wrong=wrong,
        provenance=collect(),
    )
    write_calibration(RunFolder(run), made)


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, float]:
    """A run whose threshold for an error of 2 % divides some cells, the cells, the threshold."""
    folder = tmp_path_factory.mktemp("calibrated")
    run = train_tiny(write_cells(folder / "home"), folder / "run")
    images = write_cells(folder / "cells", 10, seed=5)
    calibrate(run, (0.9,), ())  # its temperature, 1, is that of the one below
    confidence = Classifier.load(run).predict_proba(sorted(images.rglob("cell_*"))).max(axis=1)
    threshold = float(np.sort(confidence)[len(confidence) // 2])
    calibrate(run, (threshold,) * 200, (threshold / 2,) * 100)
    return run, images, threshold


def test_the_page_and_predict_call_the_same_cells_uncertain(
    calibrated: tuple[Path, Path, float],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: Any,
) -> None:
    run, images, threshold = calibrated
    table = tmp_path / "table.csv"
    words = ("predict", run, images, "--out", table, "--error", "2%", "--engine", "onnxruntime")
    assert run_command(monkeypatch, capfd, *words).code == 0
    rows = csv.DictReader(table.read_text().splitlines())
    expected = {Path(row["name"]).name for row in rows if row["label"] == "uncertain"}
    assert 0 < len(expected) < 30
    uncertainty = uncertainty_of(run, Classifier.load(run), "2%")
    assert uncertainty.below == threshold
    app = create_app(make_services(run, folder=images, uncertainty=uncertainty))
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        cells = client.post("/api/folder", json={}).json()["cells"]
        rule = client.get("/api/session").json()["uncertain"]
    assert {Path(one["name"]).name for one in cells if one["is_uncertain"]} == expected
    assert f"{100 * threshold:.2f} %, as in predict --error 2%" in rule


def test_without_an_error_the_rule_is_fixed_and_says_so(
    calibrated: tuple[Path, Path, float],
) -> None:
    found = uncertainty_of(calibrated[0], Classifier.load(calibrated[0]), None)
    assert found.below == UNCERTAIN_BELOW and "below 70 %: a fixed value" in found.rule


def test_a_threshold_of_nothing_is_told_as_such(
    calibrated: tuple[Path, Path, float], tmp_path: Path
) -> None:
    run = shutil.copytree(calibrated[0], tmp_path / "run")
    calibrate(run, (0.5,) * 200, ())
    assert uncertainty_of(run, Classifier.load(run), 0.02).rule.startswith("No cell is uncertain")


@pytest.mark.parametrize("engine", ["int8", "auto"])
def test_no_error_is_guaranteed_with_a_network_in_8_bits(
    calibrated: tuple[Path, Path, float], tmp_path: Path, engine: str
) -> None:
    run = shutil.copytree(calibrated[0], tmp_path / "run")
    card = RunFolder(run).read_card()
    sha256 = RunFolder(run).write_model(run / "best.int8.onnx", (run / "best.onnx").read_bytes())
    change_card(run, int8_sha256=sha256, engine="int8" if engine == "auto" else card.engine)
    refused = pytest.raises(ConfigError, match="error: cannot be guaranteed with engine int8")
    with refused:
        uncertainty_of(run, Classifier.load(run, engine), "2%")
    with refused:
        api.predict(run, [str(calibrated[1])], tmp_path / "table.csv", engine=engine, error="2%")
    assert not (tmp_path / "table.csv").exists()


@pytest.mark.parametrize("error", ["0.1%", "0", "200%", "many"])
def test_an_error_that_cannot_be_guaranteed_is_refused(
    calibrated: tuple[Path, Path, float], error: str
) -> None:
    with pytest.raises(ConfigError, match="error"):
        uncertainty_of(calibrated[0], Classifier.load(calibrated[0]), error)
