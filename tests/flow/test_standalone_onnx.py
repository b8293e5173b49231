"""stainproof export --onnx: one file that gives the probabilities of the package."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from stainproof import Classifier, api
from stainproof.calibration.record import calibration_of
from stainproof.errors import ConfigError
from stainproof.inference.standalone import export_onnx
from stainproof.runs.folder import RunFolder
from stainproof.runs.shipped import find_run
from stainproof.shift.lab import Lab
from stainproof.synthetic import phantoms
from tests.common.command import run_command
from tests.common.runs import change_card

WHITE = {"white_point": (240.0, 225.0, 190.0), "target_white_point": (250.0, 232.0, 210.0)}
LABS = {
    "none": None,
    "zoomed in": Lab(scale=1.37, **WHITE),
    "zoomed out": Lab(scale=0.71, **WHITE),
    "white point": Lab(**WHITE),
    "not trusted": Lab(scale=2.0, trusted=False),
}
pytestmark = pytest.mark.slow


RUN = "stainproof-light"


def cells(size_px: int, num: int = 48) -> NDArray[np.uint8]:
    return phantoms.generate(num, seed=3, lab="other", size_px=size_px)[0]


def predict(file: Path, images: NDArray[np.uint8]) -> Any:
    session = onnxruntime.InferenceSession(file)
    (probs,) = session.run(None, {"images": images})
    return probs


@pytest.mark.parametrize("size_px", [96, 64, 48, 150])
@pytest.mark.parametrize("lab", LABS.values(), ids=LABS)
def test_the_file_gives_the_probabilities_of_the_package(
    tmp_path: Path, lab: Lab | None, size_px: int
) -> None:
    images = cells(size_px)
    said: list[str] = []
    file = export_onnx(RUN, tmp_path / "cells.onnx", lab=lab, size_px=size_px, say=said.append)
    expected = Classifier.load(RUN, "onnxruntime", lab=lab).predict_proba(images)
    np.testing.assert_allclose(predict(file, images), expected, atol=1e-3)
    assert said == (
        [f"the graph standardises images by the laboratory profile: {lab.describe()}"]
        if lab
        else []
    )


def test_the_profile_and_the_calibration_matter(tmp_path: Path) -> None:
    images, card = cells(96), RunFolder(find_run(RUN)).read_card()
    calibration = calibration_of(RunFolder(find_run(RUN)), card)
    assert calibration and calibration.temperature != 1
    plain = predict(export_onnx(RUN, tmp_path / "plain.onnx"), images)
    given = predict(export_onnx(RUN, tmp_path / "lab.onnx", lab=LABS["zoomed in"]), images)
    assert np.abs(plain - given).max() > 0.2
    assert np.abs(plain - predict(RunFolder(find_run(RUN)).onnx, images)).max() > 0.01


def test_the_metadata_state_size_classes_and_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    lab = Lab(scale=1.37, **WHITE)
    lab.write(tmp_path / "lab.json")
    file = tmp_path / "cells.onnx"
    words = ("export", RUN, "--onnx", file, "--lab", tmp_path / "lab.json", "--size", 112)
    done = run_command(monkeypatch, capfd, *words)
    assert done.code == 0 and "scale 1.37" in done.err and str(file) in done.out
    found = onnxruntime.InferenceSession(file).get_modelmeta().custom_metadata_map
    assert json.loads(found["preprocessing"])["size_px"] == 112
    assert json.loads(found["classes"]) == list(RunFolder(find_run(RUN)).read_card().classes)
    assert json.loads(found["laboratory_profile"])["scale"] == 1.37
    again = export_onnx(RUN, tmp_path / "again.onnx", lab=lab, size_px=112)
    assert again.read_bytes() == file.read_bytes()


def test_mistakes_are_one_line_and_leave_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    api.ensemble([RUN, RUN], tmp_path / "both")
    file = tmp_path / "cells.onnx"
    for words, message in (
        ((tmp_path / "both", "--onnx", file), "an ensemble"),
        ((RUN, "--onnx", tmp_path / "cells.bin"), "must be an .onnx file"),
        ((RUN, "--onnx", file, "--size", 5000), "16 to 1024 px, got 5000"),
        ((RUN,), "needs either --onnx or --web"),
        ((RUN, "--onnx", file, "--web", tmp_path / "page"), "needs either --onnx or --web"),
        ((RUN, "--web", tmp_path / "page"), "--web needs --runtime"),
        ((RUN, "--web", tmp_path / "page", "--size", 40), "--size goes with --onnx"),
        ((RUN, "--onnx", file, "--runtime", tmp_path), "go with --web"),
        ((RUN, "--onnx", file, "--lab", tmp_path / "absent.json"), "absent.json: missing"),
    ):
        done = run_command(monkeypatch, capfd, "export", *words)
        assert done.code == 2 and message in done.err and done.err.count("\n") == 1
    assert not file.exists() and not (tmp_path / "page").exists()


def test_a_run_that_balances_every_image_is_refused(tmp_path: Path) -> None:
    white = shutil.copytree(find_run(RUN), tmp_path / "white")
    preprocessing = RunFolder(white).read_card().preprocessing
    change_card(white, preprocessing=preprocessing.model_copy(update={"white_point": (9, 9, 9)}))
    with pytest.raises(ConfigError, match=r"preprocessing\.white_point"):
        export_onnx(white, tmp_path / "cells.onnx")
