"""One network, three engines, one answer."""

import json
import shutil
import subprocess
import sys
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from stainproof import Classifier, api
from stainproof.errors import CheckpointError, ConfigError, DataError
from stainproof.files import sha256_of
from stainproof.inference import engines, int8
from stainproof.inference.engines import EXACT, choose_engine
from stainproof.inference.export import to_onnx
from stainproof.inference.int8 import QuantisationResult
from stainproof.inference.onnx_metadata import add_metadata
from stainproof.models.weights import load_network
from stainproof.runs.card import Card
from stainproof.runs.folder import RunFolder
from tests.common.tiny import tiny_config

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "first"
    api.train(phantoms, folder, tiny_config())
    return folder


def noise(number: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(256, size=(number, 32, 32, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", EXACT)
def test_every_engine_gives_the_same_probabilities_for_any_number_of_images(
    run: Path, name: str
) -> None:
    reference = Classifier.load(run, "torch")
    found = Classifier.load(run, name)
    for number in (1, 5, 64, 65):
        probs = found.predict_proba(noise(number))
        assert probs.dtype == np.float32
        np.testing.assert_allclose(probs, reference.predict_proba(noise(number)), atol=1e-5)
        np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-5)
    assert found.predict_proba(noise(0)).shape == (0, 8)


@pytest.mark.slow
def test_engines_agree_on_a_network_with_group_norm(phantoms: Path, tmp_path: Path) -> None:
    config = tiny_config("training.epochs=1", "network.norm=group")
    api.train(phantoms, tmp_path / "run", config)
    answers = [Classifier.load(tmp_path / "run", name).predict_proba(noise(5)) for name in EXACT]
    for one in answers[1:]:
        np.testing.assert_allclose(one, answers[0], atol=1e-5)


def test_predictions_are_not_overwritten_by_the_next_batch(run: Path) -> None:
    for name in EXACT:
        engine = Classifier.load(run, name).members[0].engine
        first = engine(noise(3))
        kept = first.copy()
        engine(255 - noise(3))
        assert np.array_equal(first, kept)


def test_the_runs_own_engine_is_the_default(run: Path) -> None:
    card = Card.read(run / "card.json")
    assert card.engine in EXACT
    assert type(Classifier.load(run).members[0].engine) is type(
        Classifier.load(run, card.engine).members[0].engine
    )


def test_the_fastest_engine_is_chosen_where_it_is_clearly_faster(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = Card.read(run / "card.json")
    seconds = {"onnxruntime": 1.0, "openvino": 0.9, "torch": 2.0}
    monkeypatch.setattr(engines, "batch_seconds", lambda name, *_: seconds[name])
    assert choose_engine(RunFolder(run), card) == "onnxruntime"
    seconds["openvino"] = 0.5
    assert choose_engine(RunFolder(run), card) == "openvino"


def test_onnx_runtime_replaces_an_engine_that_is_not_installed(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "run"
    copy.mkdir()
    for name in ("best.onnx", "best.safetensors", "calibration.json"):
        (copy / name).write_bytes((run / name).read_bytes())
    card = Card.read(run / "card.json").model_copy(update={"engine": "openvino"})
    card.write(copy / "card.json")
    monkeypatch.setattr(
        "stainproof.inference.engines.find_spec",
        lambda name: name != "openvino" and find_spec(name),
    )
    assert type(Classifier.load(copy).members[0].engine).__name__ == "OnnxRuntimeEngine"
    with pytest.raises(ConfigError, match=r"not installed: pip install openvino; installed: onnx"):
        Classifier.load(copy, "openvino")


def test_an_unknown_engine_is_refused(run: Path) -> None:
    with pytest.raises(ConfigError, match=r"'tf' .* onnxruntime, openvino, torch,"):
        Classifier.load(run, "tf")


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_an_altered_or_missing_onnx_file_is_refused(run: Path, tmp_path: Path, name: str) -> None:
    for copied in ("card.json", "calibration.json"):
        (tmp_path / copied).write_bytes((run / copied).read_bytes())
    with pytest.raises(CheckpointError, match=r"best\.onnx: missing"):
        Classifier.load(tmp_path, name)
    model = bytearray((run / "best.onnx").read_bytes())
    model[len(model) // 2] ^= 1
    (tmp_path / "best.onnx").write_bytes(model)
    with pytest.raises(CheckpointError, match=r"best\.onnx: altered"):
        Classifier.load(tmp_path, name)


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_a_file_that_is_no_network_is_refused_though_the_card_names_it(
    run: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "best.onnx").write_bytes(b"no network at all")
    (tmp_path / "calibration.json").write_bytes((run / "calibration.json").read_bytes())
    card = Card.read(run / "card.json")
    named = card.model_copy(update={"onnx_sha256": sha256_of(tmp_path / "best.onnx")})
    named.write(tmp_path / "card.json")
    with pytest.raises(CheckpointError, match=rf"best\.onnx: not a network that {name} can read"):
        Classifier.load(tmp_path, name)


def test_a_run_that_is_still_training_predicts_with_torch(run: Path, tmp_path: Path) -> None:
    (tmp_path / "best.safetensors").write_bytes((run / "best.safetensors").read_bytes())
    unfinished = {"engine": "torch", "onnx_sha256": "", "calibration_sha256": ""}
    card = Card.read(run / "card.json").model_copy(update=unfinished)
    card.write(tmp_path / "card.json")
    assert Classifier.load(tmp_path).predict_proba(noise(1)).shape == (1, 8)
    with pytest.raises(CheckpointError, match=r"not made yet; .* use --engine torch"):
        Classifier.load(tmp_path, "onnxruntime")


@pytest.mark.slow
def test_the_same_weights_give_the_same_onnx_bytes_without_a_trace_of_the_machine(
    run: Path, tmp_path: Path
) -> None:
    card = Card.read(run / "card.json")
    again = tmp_path / "again"
    again.mkdir()
    (again / "best.safetensors").write_bytes((run / "best.safetensors").read_bytes())
    model = to_onnx(load_network(RunFolder(again), card), card.preprocessing)
    model = add_metadata(model, card.classes, card.preprocessing)
    assert sha256(model).hexdigest() == card.onnx_sha256 == sha256_of(run / "best.onnx")
    model = onnx.load(run / "best.onnx")
    onnx.checker.check_model(model)
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}
    assert b"stainproof/" not in model.SerializeToString()
    assert b".py" not in model.SerializeToString()


def test_prediction_needs_neither_torch_nor_what_only_other_stages_need(
    run: Path, phantoms: Path, tmp_path: Path
) -> None:
    """Each of them costs a second or so at every start."""
    program = (
        "import json, sys\n"
        "from stainproof import api\n"
        "api.predict(sys.argv[1], [sys.argv[2]], sys.argv[3], engine='onnxruntime')\n"
        "print(json.dumps([m for m in sys.modules if '.' not in m]))"
    )
    arguments = (str(run), str(phantoms), str(tmp_path / "table.csv"))
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True
    )
    loaded = set(json.loads(done.stdout))
    assert "onnxruntime" in loaded
    assert not loaded & {"torch", "sklearn", "matplotlib", "cleanlab", "onnx", "openvino"}


@pytest.fixture
def run_copy(run: Path, tmp_path: Path) -> Path:
    shutil.copytree(run, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return api.make_phantoms(tmp_path_factory.mktemp("data") / "more", 440, seed=2, size_px=32)


def quantise_losing(
    num_lost: int, run: Path, data: Path, monkeypatch: pytest.MonkeyPatch, **options: Any
) -> QuantisationResult:
    """Quantise; both networks are right, but for so many answers of the one in 8 bits."""
    turns = iter((0, num_lost))

    def answers(classifier: Any, measured: Any, track: Any = None) -> Any:
        labels = measured.labels.copy()
        wrong = slice(next(turns))
        labels[wrong] = (labels[wrong] + 1) % 8
        return np.eye(8)[labels]

    with monkeypatch.context() as patched:
        patched.setattr(Classifier, "predict_dataset", answers)
        found = api.quantise(run, data, **options)
    assert (found.accuracy, found.accuracy_int8) == (1, 1 - num_lost / found.num_images)
    return found


def test_an_int8_network_is_kept_if_it_is_faster_and_as_accurate(
    run_copy: Path, many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = {"onnxruntime": 1.5, "int8": 1.0}
    monkeypatch.setattr(int8, "batch_seconds", lambda name, *_: seconds[name])
    found = quantise_losing(0, run_copy, many, monkeypatch)
    assert found.kept
    assert found.num_images == 240
    assert found.times_faster == 1.5
    small, exact = (Classifier.load(run_copy, name) for name in ("int8", "onnxruntime"))
    engine = small.members[0].engine
    assert isinstance(engine, engines.OnnxRuntimeEngine) and engine.num_classes == 8
    lost = np.abs(small.predict_proba(noise(20)) - exact.predict_proba(noise(20)))
    assert 0 < lost.max() < 0.1
    for choice, name in (("int8", "more, 8 bits"), ("auto", "more")):
        assert api.evaluate(run_copy, many, engine=choice).source == name
        assert (run_copy / "evaluations" / name / "eval.json").exists()
    folder = RunFolder(run_copy)
    card = folder.read_card()
    assert card.engine != "int8"
    folder.write_card(card.model_copy(update={"engine": "int8"}))
    assert api.evaluate(run_copy, many).source == "more, 8 bits"


@pytest.mark.parametrize(("faster", "num_lost"), [(1.1, 0), (1.5, 1)])
def test_an_int8_network_is_not_kept_otherwise(
    run_copy: Path, many: Path, monkeypatch: pytest.MonkeyPatch, faster: float, num_lost: int
) -> None:
    seconds = {"onnxruntime": faster, "int8": 1.0}
    monkeypatch.setattr(int8, "batch_seconds", lambda name, *_: seconds[name])
    before = (run_copy / "card.json").read_bytes()
    assert not quantise_losing(num_lost, run_copy, many, monkeypatch).kept
    assert not (run_copy / "best.int8.onnx").exists()
    assert (run_copy / "card.json").read_bytes() == before
    with pytest.raises(CheckpointError, match=r"not made yet; .*stainproof quantise"):
        Classifier.load(run_copy, "int8")


def test_a_rejected_second_quantisation_keeps_the_first_int8_network(
    run_copy: Path, many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = {"onnxruntime": 1.5, "int8": 1.0}
    monkeypatch.setattr(int8, "batch_seconds", lambda name, *_: seconds[name])
    assert quantise_losing(0, run_copy, many, monkeypatch).kept
    expected = Classifier.load(run_copy, "int8").predict_proba(noise(4))
    seconds["int8"] = 9.0
    assert not quantise_losing(0, run_copy, many, monkeypatch, seed=1).kept
    assert np.array_equal(Classifier.load(run_copy, "int8").predict_proba(noise(4)), expected)


def test_what_other_commands_write_meanwhile_is_kept(
    run_copy: Path, many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another command changes the card while the two networks are timed."""
    folder = RunFolder(run_copy)
    changes = {"calibration_sha256": "0" * 64}

    def seconds(name: str, *_: Any) -> float:
        if name == "int8":
            folder.write_card(folder.read_card().model_copy(update=changes))
        return {"onnxruntime": 1.5, "int8": 1.0}[name]

    monkeypatch.setattr(int8, "batch_seconds", seconds)
    assert quantise_losing(0, run_copy, many, monkeypatch).kept
    card = folder.read_card()
    assert card.calibration_sha256 == "0" * 64 and card.int8_sha256
    changes["weights_sha256"] = "1" * 64
    folder.write_card(card.model_copy(update={"calibration_sha256": "", "int8_sha256": ""}))
    folder.int8.unlink()
    with pytest.raises(CheckpointError, match="the network was replaced while it was quantised"):
        quantise_losing(0, run_copy, many, monkeypatch)
    assert not folder.int8.exists() and not folder.read_card().int8_sha256


def test_too_few_images_to_calibrate_are_refused(run_copy: Path, phantoms: Path) -> None:
    with pytest.raises(DataError, match="needs 400 images or more, got 120"):
        api.quantise(run_copy, phantoms)
    with pytest.raises(ConfigError, match="seed must be 0 or more, got -1"):
        api.quantise(run_copy, phantoms, seed=-1)


def test_a_thread_gets_a_few_images_whole_and_every_thread_some(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engines.OnnxRuntimeEngine((run / "best.onnx").read_bytes(), threads=3)
    asked = []

    class Session:
        def run(self, names: Any, inputs: Any) -> Any:
            asked.append(len(inputs["images"]))
            return [np.zeros((len(inputs["images"]), 8), np.float32)]

    monkeypatch.setattr(engine, "session", Session())
    for number, parts in ((1, [1]), (2, [1, 1]), (7, [1, 3, 3]), (64, [8] * 8)):
        asked.clear()
        engine(noise(number))
        assert sorted(asked) == parts


def test_an_engine_that_cannot_compute_the_network_is_not_chosen(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(model: Any, threads: Any) -> None:
        raise ValueError("no such operation")

    monkeypatch.setattr(engines, "OpenVinoEngine", broken)
    assert choose_engine(RunFolder(run), Card.read(run / "card.json")) in ("onnxruntime", "torch")
