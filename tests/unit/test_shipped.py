"""Names of shipped models stand wherever a run folder does."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnxruntime import InferenceSession

from benchmarks.models.ship import pack
from stainproof import api
from stainproof.errors import CheckpointError
from stainproof.evaluation.corrupted_result import CorruptionEvaluation
from stainproof.evaluation.result import Evaluation
from stainproof.inference.classifier import Classifier
from stainproof.runs import shipped
from stainproof.runs.folder import RunFolder
from tests.common.cells import make_cells, write_cells
from tests.common.command import run_command
from tests.common.tiny import tiny_config

NAME = "stainproof-light"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a few steps, to be read only."""
    folder = tmp_path_factory.mktemp("run")
    cells = write_cells(folder / "cells", num_a_class=40)  # enough for a calibration
    api.train(cells, folder / "run", tiny_config("training.epochs=1"))
    api.evaluate(folder / "run", cells)
    api.evaluate_corruptions(folder / "run", write_cells(folder / "few"))
    return folder / "run"


@pytest.fixture(scope="module")
def packed(run: Path) -> Path:
    """The run as `pack` writes it, to be copied only."""
    pack(run, run.parent / "packed", make_cells(4, 32, seed=1)[0])
    return run.parent / "packed"


@pytest.mark.parametrize("name", shipped.SHIPPED_NAMES)
def test_the_onnx_file_of_a_shipped_model_describes_itself(name: str) -> None:
    folder = shipped.find_run(name)
    metadata = InferenceSession(folder / "best.onnx").get_modelmeta().custom_metadata_map
    card = RunFolder(folder).read_card()
    assert json.loads(metadata["classes"]) == list(card.classes)
    assert json.loads(metadata["preprocessing"])["size_px"] == card.preprocessing.size_px


@pytest.fixture
def model(packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The run as the shipped model `stainproof-light`; the current directory is empty."""
    monkeypatch.setattr(shipped, "SHIPPED_FOLDER", tmp_path / "package")
    shutil.copytree(packed, tmp_path / "package" / NAME)
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
    assert api.predict(NAME, [str(cells)], "table.csv") == (120, 0)
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


def test_a_packed_model_has_no_folders_of_the_machine_and_no_training_state(
    model: Path, run: Path
) -> None:
    content = b"".join(path.read_bytes() for path in model.rglob("*") if path.is_file())
    assert str(run.parent).encode() not in content
    evaluations = [Evaluation.read(path) for path in model.rglob("eval.json")]
    assert all("/" not in one.name for result in evaluations for one in result.mistakes)
    names = {path.relative_to(model).as_posix() for path in model.rglob("*") if path.is_file()}
    assert names == {
        "best.onnx", "best.safetensors", "calibration.json", "card.json", "config.toml",
        "manifest.json", "training_hashes.npy", "home/val/eval.json", "evaluations/cells/eval.json",
        "evaluations/few, corrupted/corruptions.json",
    }  # fmt: skip


def test_an_evaluation_on_corrupted_images_is_one_of_the_packed_weights(model: Path) -> None:
    place = model / "evaluations" / "few, corrupted" / "corruptions.json"
    result = CorruptionEvaluation.read(place)
    assert result.weights_sha256 == RunFolder(model).read_card().weights_sha256


def test_the_card_of_a_packed_model_gives_the_time_of_the_best_epoch_as_such(
    model: Path, tmp_path: Path
) -> None:
    page = api.write_model_card(model, tmp_path / "card").read_text()
    assert "| Training | 1 epoch; epoch 1 after" in page


def test_a_packed_model_predicts_what_the_run_predicts(model: Path, run: Path) -> None:
    images = make_cells(10, 32, seed=2)[0]
    whole = Classifier.load(run).predict_proba(images)
    packed = Classifier.load(model).predict_proba(images)
    np.testing.assert_allclose(packed, whole, atol=5e-3)
    assert not np.array_equal(packed, whole)


def test_all_engines_compute_with_the_rounded_weights(model: Path) -> None:
    images = make_cells(10, 32, seed=2)[0]
    exact, torch = (Classifier.load(model, one).predict_proba(images) for one in ("auto", "torch"))
    np.testing.assert_allclose(exact, torch, atol=1e-5)


def test_weights_take_half_the_space(model: Path, run: Path) -> None:
    packed, whole = (RunFolder(one).best.stat().st_size for one in (model, run))
    assert packed < 0.65 * whole


def test_prediction_with_a_shipped_model_needs_no_torch(model: Path, run: Path) -> None:
    program = f"""
import sys
from pathlib import Path
from stainproof.runs import shipped
shipped.SHIPPED_FOLDER = Path({str(model.parent)!r})
from stainproof import Classifier, predict
print(predict({NAME!r}, [{str(run.parent / "cells")!r}], "table.csv"))
print(len(Classifier.load({NAME!r}).classes), "torch" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "(120, 0)\n3 False\n"), done.stderr


def test_the_command_lists_the_models_with_their_evaluations(
    model: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    done = run_command(monkeypatch, capfd, "models")
    assert done.code == 0
    assert done.out.startswith(f"{NAME}: ")
    assert "cells" in done.out and "validation" in done.out


@pytest.mark.parametrize("name", shipped.installed_models())
def test_the_models_of_this_package_are_whole(name: str) -> None:
    assert [str(check) for check in api.verify(name) if check.outcome == "failed"] == []


def test_the_models_of_this_package_are_small() -> None:
    assert sum(model.num_bytes for model in api.shipped_models()) < 12e6
