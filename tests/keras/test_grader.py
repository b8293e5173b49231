"""Submissions in the Python of the contest's grader: Keras 3.4.1 on TensorFlow 2.17.

`make test-keras` makes that environment and says in GRADER where its Python is.
"""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stainproof import api
from stainproof.config.presets import make_inference_config
from stainproof.contest import keras_network
from stainproof.contest.scoring import score
from stainproof.contest.submission import submit
from stainproof.errors import SubmissionError
from stainproof.runs.folder import RunFolder
from tests.common.runs import change_card
from tests.common.tiny import tiny_config

GRADER = Path(os.environ["GRADER"])
LEARNS = (
    "training.epochs=8", "training.batch_size=16", "training.learning_rate=0.01",
    "training.ema_decay=0.0", "augment.recipe=none", "augment.validation=none",
)  # fmt: skip


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return api.make_phantoms(tmp_path_factory.mktemp("data") / "cells", 96, seed=1)


@pytest.fixture(scope="module")
def runs(cells: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Two runs, of 96 and of 48 pixels, with batch and with group normalisation."""
    folder = tmp_path_factory.mktemp("runs")
    for size_px, norm, stem in ((96, "batch", "[4,8,16]"), (48, "group", "[8,16]")):
        own = (f"preprocessing.size_px={size_px}", f"network.norm={norm}", f"network.stem={stem}")
        standard = ("preprocessing.mean=[0.7,0.6,0.7]", "preprocessing.std=[0.2,0.2,0.1]")
        config = tiny_config(*LEARNS, *own, *standard, seed=size_px)
        api.train(cells, folder / f"px{size_px}", config)
    return [folder / "px96", folder / "px48"]


def test_this_is_the_graders_keras() -> None:
    code = "import keras, tensorflow; print(keras.__version__, tensorflow.__version__)"
    done = subprocess.run([GRADER, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-2] == "3.4.1"
    assert done.stdout.split()[-1].startswith("2.17.")


@pytest.mark.parametrize("number", [0, 1])
def test_a_keras_submission_scores_what_its_run_does_to_the_image(
    runs: Any, cells: Path, tmp_path: Path, number: Any
) -> None:
    made = submit(runs[number], tmp_path / "s.zip", python=GRADER)
    assert made.runtime == "keras" and made.num_images == 200
    found = score(tmp_path / "s.zip", cells, python=GRADER)
    assert found.confusion == api.evaluate(runs[number], cells, tmp_path / "e").confusion
    assert (np.array(found.confusion).sum(axis=0) > 0).sum() >= 3


def test_a_keras_submission_contains_an_ensemble_with_tta_and_a_filter(
    runs: Any, cells: Path, tmp_path: Path
) -> None:
    turned = shutil.copytree(runs[1], tmp_path / "turned")
    change_card(turned, classes=RunFolder(turned).read_card().classes[::-1])
    api.ensemble([*runs, turned], tmp_path / "three", voting="hard")
    how = make_inference_config("flips", "gaussian", 0.5)
    submit(tmp_path / "three", tmp_path / "s.zip", inference=how, python=GRADER)
    expected = api.evaluate(tmp_path / "three", cells, tmp_path / "e", inference=how)
    found = score(tmp_path / "s.zip", cells, python=GRADER)
    assert found.confusion == expected.confusion


def test_weights_that_differ_in_keras_are_noticed_and_not_written(
    runs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_keras = keras_network.save_keras

    def save_negated(network: Any, preprocessing: Any, path: Path) -> None:
        with torch.no_grad():
            for weight in network.parameters():
                weight.neg_()
        save_keras(network, preprocessing, path)

    monkeypatch.setattr(keras_network, "save_keras", save_negated)
    with pytest.raises(SubmissionError, match="labels differ from the run's own"):
        submit(runs[0], tmp_path / "s.zip", python=GRADER)
    assert not list(tmp_path.iterdir())
