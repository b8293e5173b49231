"""The main journey with a network of timm: as with our own, and onwards without timm."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.numpy import load_file
from safetensors.torch import save_file

from stainproof import Classifier, api
from stainproof.config.presets import make_config, read_config
from stainproof.files import sha256_of
from stainproof.inference.engines import EXACT, OnnxRuntimeEngine, choose_engine, installed
from stainproof.inference.export import to_onnx
from stainproof.inference.folding import FoldedNetwork
from stainproof.models.network import build_network, check_network
from stainproof.runs.card import Card
from stainproof.runs.folder import RunFolder
from stainproof.search.experiment import Experiment
from stainproof.search.queue import run_queue
from stainproof.search.run import search
from stainproof.training.loop import Step
from stainproof.training.progressive_resizing import training_sizes_px
from tests.common.tiny import TINY_TRAINING

NAME = "test_byobnet"
TINY_BACKBONE = (f"network.backbone={NAME}", *TINY_TRAINING)
WITHOUT_TIMM = "import sys; sys.modules['timm'] = None; from stainproof.cli import main; main()"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def cells(data: Any) -> Any:
    return api.make_phantoms(data / "home", 120, seed=1, size_px=32)


@pytest.fixture(scope="module")
def weights(data: Any) -> Any:
    torch.manual_seed(5)
    save_file(timm.create_model(NAME).state_dict(), data / "weights.safetensors")
    return data / "weights.safetensors"


def settings(weights: Path, *assignments: Any) -> Any:
    return make_config(assignments=(*TINY_BACKBONE, f"network.pretrained={weights}", *assignments))


@pytest.fixture(scope="module")
def run(cells: Path, weights: Path, data: Any) -> Any:
    frozen = ("training.unfrozen_blocks=0", "training.freeze_norms=true")
    api.train(cells, data / "run", settings(weights, *frozen))
    return data / "run"


def noise(number: Any, size_px: Any = 32) -> Any:
    shape = (number, size_px, size_px, 3)
    return np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)


def test_the_card_names_the_backbone_the_weights_it_began_with_and_its_input(
    run: Path, weights: Any
) -> None:
    card = Card.read(run / "card.json")
    known = timm.get_pretrained_cfg(NAME)
    assert card.network.backbone == NAME
    assert card.pretrained_sha256 == sha256_of(weights)
    assert (card.preprocessing.mean, card.preprocessing.std) == (known.mean, known.std)
    assert read_config(run / "config.toml").preprocessing == card.preprocessing
    assert f"{NAME}, initialised with weights {card.pretrained_sha256[:12]}" in (
        (run / "report.html").read_text(encoding="utf-8")
    )


def test_what_is_frozen_is_kept_to_the_bit_and_the_head_has_learnt(
    run: Path, weights: Path
) -> None:
    before, after = load_file(weights), load_file(run / "best.safetensors")
    assert set(before) == set(after)
    changed = {key for key in before if not np.array_equal(before[key], after[key])}
    assert changed == {"head.fc.weight", "head.fc.bias"}
    assert after["head.fc.weight"].any()


def test_the_kept_weights_fit_into_timms_own_network(run: Path) -> None:
    network = timm.create_model(
        NAME, num_classes=8, checkpoint_path=str(run / "best.safetensors")
    ).eval()
    card = Card.read(run / "card.json")
    mean, std = (
        np.array(one, np.float32) for one in (card.preprocessing.mean, card.preprocessing.std)
    )
    x_bchw = torch.from_numpy((noise(3).astype(np.float32) / 255 - mean) / std).permute(0, 3, 1, 2)
    with torch.inference_mode():
        probs = network(x_bchw).softmax(1).numpy()
    np.testing.assert_allclose(Classifier.load(run).predict_proba(noise(3)), probs, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in EXACT if name in installed()])
def test_every_engine_gives_the_same_probabilities_for_any_number_of_images(
    run: Path, name: Any
) -> None:
    reference = Classifier.load(run, "torch")
    for number in (1, 5, 65):
        probs = Classifier.load(run, name).predict_proba(noise(number))
        np.testing.assert_allclose(probs, reference.predict_proba(noise(number)), atol=1e-5)


def test_torch_is_never_the_engine_of_a_backbone_since_it_needs_timm(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = {"onnxruntime": 9.0, "openvino": 9.0, "torch": 1.0}
    monkeypatch.setattr(
        "stainproof.inference.engines.batch_seconds", lambda name, folder, card: seconds[name]
    )
    assert choose_engine(RunFolder(run), Card.read(run / "card.json")) == "onnxruntime"


@pytest.mark.parametrize(
    "name",
    ["tf_efficientnet_lite0", "mobilenetv3_small_050", "test_convnext", "test_resnet"],
)
def test_every_kind_of_network_is_exported_with_the_same_probabilities(name: Any) -> None:
    config = make_config(assignments=(f"network.backbone={name}", "preprocessing.size_px=64"))
    network = build_network(config, num_classes=8).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            torch.nn.init.uniform_(module.running_mean, -0.5, 0.5)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
    engine = OnnxRuntimeEngine(to_onnx(network, config.preprocessing))
    with torch.inference_mode():
        expected = FoldedNetwork(network, config.preprocessing)(
            torch.from_numpy(noise(5, 64))
        ).numpy()
    np.testing.assert_allclose(engine(noise(5, 64)), expected, atol=1e-5)


def command(*words: Any) -> Any:
    """Run the command line in a process that has no timm."""
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_TIMM, *map(str, words)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("stage", ["evaluate", "predict", "report"])
def test_a_finished_run_is_used_without_timm(
    run: Path, cells: Path, tmp_path: Path, stage: Any
) -> None:
    out = ("--out", tmp_path / "out.csv") if stage == "predict" else ()
    sources = () if stage == "report" else (cells,)
    done = command(stage, run, *sources, *out)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("predict", "RUN", "CELLS", "--out", "OUT", "--engine", "torch"),
        ("train", "CELLS", "--out", "RUN", "--resume"),
        ("train", "CELLS", "--out", "OUT", "--set", f"network.backbone={NAME}"),
    ],
)
def test_what_needs_timm_says_so_in_one_line(
    run: Path, cells: Path, tmp_path: Path, words: Any
) -> None:
    places = {"RUN": run, "CELLS": cells, "OUT": tmp_path / "out.csv"}
    done = command(*(places.get(word, word) for word in words))
    assert done.returncode == 2
    *_, message = done.stderr.splitlines()  # a resumed training describes its source first
    assert message.startswith(f"stainproof: '{NAME}' is a network of timm") and done.stdout == ""
    assert done.stderr.count("stainproof: ") == 1
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (("network.pretrained=gone.pth",), "network.pretrained: gone.pth: no such file"),
        (("training.unfrozen_blocks=6", "network.pretrained=WEIGHTS"), "has 5 blocks, got 6"),
        (("network.backbone=resnet18", "network.pretrained=WEIGHTS"), "not the weights of 'resnet"),
    ],
)
def test_an_invalid_option_is_refused_before_anything_is_written(
    cells: Path, weights: Path, tmp_path: Path, assignments: Any, message: Any
) -> None:
    words = [text.replace("WEIGHTS", str(weights)) for text in (*TINY_BACKBONE, *assignments)]
    done = subprocess.run(
        [sys.executable, "-m", "stainproof", "train", cells, "--out", "out",
         *(word for text in words for word in ("--set", text))],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert message in done.stderr and done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def kill_in_epoch(number: Any) -> Any:
    def on_step(step: Step) -> None:
        if step.epoch == number:
            raise RuntimeError("the machine goes down")

    return on_step


def test_a_run_resumes_without_its_pretrained_weights(
    cells: Path, weights: Path, tmp_path: Path
) -> None:
    own = tmp_path / "first.safetensors"
    own.write_bytes(weights.read_bytes())
    deep = ("training.epochs=3", "training.layer_decay=0.75", "training.unfrozen_blocks=2")
    config = settings(own, *deep, "training.freeze_norms=true")
    whole = api.train(cells, tmp_path / "whole", config)
    with pytest.raises(RuntimeError):
        api.train(cells, tmp_path / "parted", config, on_step=kill_in_epoch(2))
    own.unlink()
    parted = api.train(cells, tmp_path / "parted", config, resume=True)
    assert parted.pretrained_sha256 == whole.pretrained_sha256 == sha256_of(weights)
    for name in ("best.safetensors", "last.safetensors"):
        one, other = (load_file(tmp_path / folder / name) for folder in ("whole", "parted"))
        assert all(np.array_equal(one[key], other[key]) for key in one)


def test_the_mean_of_epochs_keeps_frozen_norms_and_needs_the_first_weights_no_more(
    cells: Path, weights: Path, tmp_path: Path
) -> None:
    own = tmp_path / "first.safetensors"
    own.write_bytes(weights.read_bytes())
    frozen = ("training.freeze_norms=true", "training.keep_every_epoch=true")
    api.train(cells, tmp_path / "run", settings(own, *frozen))
    own.unlink()
    card = api.average([tmp_path / "run"], cells, tmp_path / "mean", choice="last")
    assert card.pretrained_sha256 == sha256_of(weights)
    before, after = load_file(weights), load_file(tmp_path / "mean" / "best.safetensors")
    norms = [key for key in before if ".bn." in key and "num_batches" not in key]
    assert norms and all(np.array_equal(before[key], after[key]) for key in norms)
    assert not np.array_equal(before["stem.conv.weight"], after["stem.conv.weight"])


def test_a_queue_resumes_with_a_backbone_and_its_preprocessing(
    cells: Path, weights: Path, tmp_path: Path
) -> None:
    one = Experiment(name="one", assignments=(*TINY_BACKBONE, f"network.pretrained={weights}"))
    places = (cells, [cells], tmp_path / "runs", tmp_path / "rows.jsonl")
    with pytest.raises(RuntimeError):
        run_queue([one], *places, on_step=kill_in_epoch(2))
    (row,) = run_queue([one], *places)
    assert row.num_epochs == 2


def test_bfloat16_and_progressive_resizing_work_with_a_backbone(
    cells: Path, tmp_path: Path
) -> None:
    config = make_config(
        assignments=(
            *TINY_BACKBONE,
            "preprocessing.size_px=64",
            "training.epochs=1",
            "training.precision=bfloat16",
            "training.start_scale=0.5",
        )
    )
    card = api.train(cells, tmp_path / "run", config)
    assert card.precision == "bfloat16"
    assert card.pretrained_sha256 == ""
    assert np.isfinite(card.best.loss)


def test_the_settings_that_a_search_writes_have_the_input_that_timm_gave(
    cells: Path, tmp_path: Path
) -> None:
    (tmp_path / "space.toml").write_text("training.weight_decay = { low = 0.01, high = 0.02 }")
    search(cells, tmp_path / "found", 1, 20.0, space=tmp_path / "space.toml", fixed=TINY_BACKBONE)
    trained = read_config(tmp_path / "found" / "trials" / "0000" / "config.toml")
    assert trained.preprocessing.mean != (0.0, 0.0, 0.0)
    for name in ("best.toml", "configs/0000.toml"):
        assert read_config(tmp_path / "found" / name).preprocessing == trained.preprocessing


def test_every_size_of_progressive_resizing_is_checked_beforehand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried = []
    monkeypatch.setattr(
        "stainproof.models.network.check_input_size", lambda net, name, px: tried.append(px)
    )
    sizes = ("preprocessing.size_px=64", "training.start_scale=0.5")
    config = make_config(assignments=(*TINY_BACKBONE, *sizes))
    check_network(config, training_sizes_px(config))
    assert sorted(tried) == [32, 40, 48, 56, 64]
