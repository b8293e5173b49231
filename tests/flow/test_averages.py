"""Means of weights over epochs and over runs."""

import re
import shutil
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from stainproof import Classifier, api
from stainproof.audit.findings import write_csv
from stainproof.data import sources
from stainproof.errors import CheckpointError, ConfigError
from stainproof.models.network import build_network
from stainproof.models.preprocessing import to_tensor
from stainproof.runs.card import Card
from stainproof.runs.folder import RunFolder
from stainproof.runs.history import EpochRecord
from stainproof.training.weight_averaging import (
    Candidate,
    choose_greedily,
    make_bn_batches,
    mean_state,
    recompute_bn_stats,
)
from tests.common.tiny import tiny_config

pytestmark = pytest.mark.slow

KEPT = ("training.epochs=5", "training.ema_decay=0", "training.keep_every_epoch=true")


@pytest.fixture(scope="module")
def runs(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs that differ by their learning rate."""
    folder = tmp_path_factory.mktemp("runs")
    for rate in ("2e-3", "4e-3"):
        config = tiny_config(*KEPT, f"training.learning_rate={rate}")
        api.train(phantoms, folder / rate, config)
    return [folder / "2e-3", folder / "4e-3"]


def test_a_mean_keeps_the_audit_that_its_run_left_images_out_by(
    runs: list[Path], phantoms: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(runs[0], tmp_path / "copy"))
    (copy / "audit").mkdir()
    write_csv(copy / "audit" / "audit.csv", [])
    api.average([copy], phantoms, tmp_path / "mean", choice="last")
    assert (tmp_path / "mean" / "audit" / "audit.csv").exists()


def test_the_mean_of_weights_is_their_mean_and_counts_are_kept() -> None:
    states = [{"w": torch.full((2,), value), "n": torch.tensor(7)} for value in (1.0, 2.0, 6.0)]
    mean = mean_state(states)
    assert torch.equal(mean["w"], torch.full((2,), 3.0)) and mean["w"].dtype == torch.float32
    assert mean["n"] == 7
    assert torch.equal(states[0]["w"], torch.full((2,), 1.0))


def test_greedy_takes_what_does_not_lower_the_figure() -> None:
    worth = {Path("a"): 5, Path("b"): -1, Path("c"): 0, Path("d"): 2}
    ranked = [Candidate(path, cast(EpochRecord, None)) for path in worth]
    chosen = choose_greedily(ranked, lambda some: sum(worth[one.path] for one in some))
    assert [one.path for one in chosen] == [Path("a"), Path("c"), Path("d")]


def test_the_mean_of_statistics_is_not_what_the_mean_of_weights_gives(phantoms: Path) -> None:
    """Why the statistics of batch normalisation are measured again after averaging."""
    config = tiny_config("augment.recipe=none", "network.dropout=0")
    data = sources.load(phantoms, config.preprocessing)
    networks = [build_network(config.model_copy(update={"seed": seed}), 8) for seed in (0, 1)]
    images = make_bn_batches(data, config)
    mean = mean_state(
        recompute_bn_stats(net, net.state_dict(), images, config.preprocessing) for net in networks
    )
    network = networks[0]
    anew = recompute_bn_stats(network, mean, images, config.preprocessing)
    assert all(torch.equal(anew[key], mean[key]) for key, _ in network.named_parameters())

    def answers(state: Any, training: Any) -> Any:
        network.load_state_dict(state)
        with torch.no_grad():
            x_bchw = to_tensor(torch.from_numpy(data.images), config.preprocessing)
            return network.train(training)(x_bchw)

    own = answers(mean, training=True)
    off_by, off_by_anew = (
        (answers(state, training=False) - own).abs().mean().item() for state in (mean, anew)
    )
    assert off_by_anew < 0.2 * off_by


@pytest.mark.parametrize("choice", ["threshold", "last", "greedy"])
def test_the_average_of_epochs_is_a_run_folder_for_inference(
    runs: list[Path], phantoms: Path, tmp_path: Path, choice: str
) -> None:
    card = api.average(runs[:1], phantoms, tmp_path / "mean", choice=choice)
    assert card.mean_of.startswith("mean of ")
    assert card.stopped == "all 5 epochs done"
    assert Card.read(tmp_path / "mean" / "card.json") == card
    assert (tmp_path / "mean" / "report.html").exists()
    torch_probs, onnx_probs = (
        Classifier.load(tmp_path / "mean", name).predict_proba(
            np.full((1, 32, 32, 3), 90, np.uint8)
        )
        for name in ("torch", "onnxruntime")
    )
    np.testing.assert_allclose(torch_probs, onnx_probs, atol=1e-5)


def test_epochs_within_a_tenth_of_the_lowest_loss_are_near_it(
    runs: list[Path], phantoms: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(runs[0], tmp_path / "copy"))
    records = [
        record.model_copy(update={"val_augmented_loss": loss})
        for record, loss in zip(
            RunFolder(copy).read_history(), (2.0, 1.2, 1.09, 1.0, 1.11), strict=True
        )
    ]
    lines = "".join(f"{record.model_dump_json()}\n" for record in records)
    RunFolder(copy).put_bytes(copy / "history.jsonl", lines.encode())
    card = api.average([copy], phantoms, tmp_path / "mean")
    assert card.mean_of == "mean of 2 of 5 with a validation loss up to 1.1"
    found = load_file(tmp_path / "mean" / "best.safetensors")["0.0.weight"]
    third, fourth = (
        load_file(copy / "epochs" / f"000{n}.safetensors")["0.0.weight"] for n in (3, 4)
    )
    np.testing.assert_allclose(found, (third + fourth) / 2, atol=1e-7)


def test_the_last_quarter_of_epochs_is_at_least_two(
    runs: list[Path], phantoms: Path, tmp_path: Path
) -> None:
    api.average(runs[:1], phantoms, tmp_path / "mean", choice="last")
    found = load_file(tmp_path / "mean" / "best.safetensors")["0.0.weight"]
    fourth, fifth = (
        load_file(runs[0] / "epochs" / f"000{n}.safetensors")["0.0.weight"] for n in (4, 5)
    )
    np.testing.assert_allclose(found, (fourth + fifth) / 2, atol=1e-7)


def test_a_greedy_soup_of_runs_is_a_run_with_the_first_ones_history(
    runs: list[Path], phantoms: Path, tmp_path: Path
) -> None:
    card = api.average(runs, phantoms, tmp_path / "soup", choice="greedy")
    assert "of 2 chosen greedily" in card.mean_of
    assert card.best.epoch == Card.read(runs[0] / "card.json").best.epoch


def test_what_cannot_be_averaged_is_refused_and_leaves_nothing(
    runs: list[Path], phantoms: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(ConfigError, match=r"'best' .* threshold, last, greedy"):
        api.average(runs, phantoms, out, choice="best")
    with pytest.raises(ConfigError, match=r"max-val-loss: .* got 0.001"):
        api.average(runs, phantoms, out, max_val_loss=0.001)
    with pytest.raises(ConfigError, match=r"max-val-loss: .*threshold.* got .*last"):
        api.average(runs[:1], phantoms, out, choice="last", max_val_loss=0.5)
    with pytest.raises(ConfigError, match=r"choice last: .*one run, got 2"):
        api.average(runs, phantoms, out, choice="last")
    plain = shutil.copytree(runs[0], tmp_path / "plain") / "config.toml"
    text = re.sub('validation = "[a-z]+"', 'validation = "none"', plain.read_text())
    RunFolder(plain.parent).put_bytes(plain, text.encode())
    with pytest.raises(CheckpointError, match=r"other images \(.*=none\)"):
        api.average([runs[0], plain.parent], phantoms, out)
    with pytest.raises(ConfigError, match="already holds a run"):
        api.average(runs, phantoms, runs[0])
    other = api.make_phantoms(tmp_path / "other", 80, seed=8, size_px=32)
    with pytest.raises(CheckpointError, match="other images"):
        api.average(runs, other, out)
    assert not out.exists()
    bare = tiny_config("training.epochs=1", "network.hidden=8")
    api.train(phantoms, tmp_path / "bare", bare)
    with pytest.raises(CheckpointError, match="keep_every_epoch"):
        api.average([tmp_path / "bare"], phantoms, out)
    with pytest.raises(CheckpointError, match=r"another network"):
        api.average([runs[0], tmp_path / "bare"], phantoms, out)
    assert not out.exists()
