"""Fine-tuning: training that starts from the weights of a trained model."""

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from stainproof import api
from stainproof.errors import CheckpointError, ConfigError
from stainproof.models.fine_tuning import load_start
from stainproof.models.network import build_network
from stainproof.models.weights import load_weights
from stainproof.runs.fine_tuning import FINE_TUNING, fine_tuning_config
from stainproof.runs.folder import RunFolder
from tests.common.cells import CLASSES, make_cells, write_cells
from tests.common.tiny import tiny_config

SHORT: dict[str, Any] = {
    f"training.{key}": value
    for key, value in (("epochs", 1), ("threads", 1), ("precision", "float32"))
} | {"augment.recipe": "d4"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    api.train(write_cells(folder / "cells"), folder / "run", tiny_config())
    return folder / "run"


@pytest.fixture(scope="module")
def other_cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cells of a known class in another spelling and of two unknown ones."""
    folder = tmp_path_factory.mktemp("other")
    images, labels = make_cells(6, 32, seed=3)
    for index, (rgb, label) in enumerate(zip(images, labels, strict=True)):
        path = folder / ("artefact", "Lymphocytes", "smudge")[label] / f"{index}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rgb).save(path)
    return folder


@pytest.fixture(scope="module")
def tuned(run: Path, other_cells: Path) -> Path:
    """A run that was fine-tuned on the other cells, to be read only."""
    api.train(other_cells, run.parent / "tuned", start_from=run, **SHORT)
    return run.parent / "tuned"


def best_weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_weights(RunFolder(folder).best)


def test_classes_of_the_same_name_keep_their_weights_and_others_are_random(run: Path) -> None:
    config = fine_tuning_config(run)
    network = build_network(config, 3)
    fresh = {key: value.clone() for key, value in network.state_dict().items()}
    sha256 = load_start(network, str(run), ("artefact", "Lymphocytes", "smudge"))
    trained, found = best_weights(run), network.state_dict()
    assert sha256 == RunFolder(run).read_card().weights_sha256
    *body, head_weight, head_bias = found
    assert all(torch.equal(found[name], trained[name]) for name in body)
    for name in (head_weight, head_bias):
        assert torch.equal(found[name][1], trained[name][CLASSES.index("lymphocyte")])
        assert torch.equal(found[name][[0, 2]], fresh[name][[0, 2]])


def test_a_fine_tuned_run_has_new_classes_and_names_its_model(run: Path, tuned: Path) -> None:
    card = RunFolder(tuned).read_card()
    assert set(card.classes) == {"artefact", "Lymphocytes", "smudge"}
    assert (card.start_from, card.pretrained_sha256) == (
        "run",
        RunFolder(run).read_card().weights_sha256,
    )
    config = RunFolder(tuned).read_config()
    assert config.training.learning_rate == FINE_TUNING["learning_rate"]
    assert config.preprocessing == RunFolder(run).read_config().preprocessing
    assert "Fine-tuned from" in (tuned / "report.html").read_text()


@pytest.mark.slow
def test_frozen_fine_tuning_changes_the_last_layer_only(
    run: Path, other_cells: Path, tmp_path: Path
) -> None:
    api.train(other_cells, tmp_path / "own", start_from=run, frozen=True, **SHORT)
    trained, found = best_weights(run), best_weights(tmp_path / "own")
    *body, head_weight, head_bias = found
    assert [name for name in body if not torch.equal(found[name], trained[name])] == []
    assert not torch.equal(found[head_weight], trained[head_weight])
    assert not torch.equal(found[head_bias], trained[head_bias])


def test_batch_normalisation_stays_by_default_and_kernels_do_not(run: Path, tuned: Path) -> None:
    trained, found = best_weights(run), best_weights(tuned)
    kept = {name for name, value in found.items() if torch.equal(value, trained[name])}
    assert {name for name in found if "running" in name} <= kept
    assert not {name for name, value in found.items() if value.ndim == 4} & kept


@pytest.mark.slow
def test_other_sizes_start_from_the_same_weights(
    run: Path, other_cells: Path, tmp_path: Path
) -> None:
    card = api.train(
        other_cells, tmp_path / "own", start_from=run, preprocessing__size_px=48, **SHORT
    )
    assert card.preprocessing.size_px == 48
    assert len(api.evaluate(tmp_path / "own", other_cells).classes) == 3


@pytest.mark.slow
def test_a_fine_tuned_run_can_be_repeated_from_its_settings(
    tuned: Path, other_cells: Path, tmp_path: Path
) -> None:
    card = api.train(other_cells, tmp_path / "again", tuned / "config.toml")
    assert card.weights_sha256 == RunFolder(tuned).read_card().weights_sha256


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"preset": "tiny"}, ConfigError, "preset: not allowed here; a fine-tuned run keeps"),
        ({"network__hidden": 16}, CheckpointError, "another network than the settings"),
        ({"network__pretrained": "hub"}, ConfigError, "pretrained needs a backbone"),
        ({"training__unfrozen_blocks": 99}, ConfigError, "the network has .* blocks, got 99"),
        ({"start_from": "nowhere"}, CheckpointError, "nowhere: no such run folder"),
        ({"start_from": None, "frozen": True}, ConfigError, "needs a model to start from"),
    ],
)
def test_what_does_not_fit_is_one_line_and_leaves_nothing(
    run: Path,
    other_cells: Path,
    tmp_path: Path,
    arguments: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message) as raised:
        api.train(other_cells, tmp_path / "own", **{"start_from": run} | arguments)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "own").exists()


def test_a_resumed_run_keeps_the_model_that_it_started_from(tuned: Path, other_cells: Path) -> None:
    with pytest.raises(ConfigError, match=r"start_from.*a resumed run keeps its own"):
        api.train(other_cells, tuned, resume=True, training__start_from="elsewhere")
    with pytest.raises(ConfigError, match="start_from: not allowed here; a resumed run keeps"):
        api.train(other_cells, tuned, resume=True, start_from=tuned)


@pytest.mark.slow
def test_fine_tuning_beats_random_weights_on_few_images(tmp_path: Path) -> None:
    home = api.make_phantoms(tmp_path / "home", 240, seed=1, size_px=32)
    few = api.make_phantoms(tmp_path / "few", 48, seed=2, size_px=32, lab="other")
    test = api.make_phantoms(tmp_path / "test", 120, seed=3, size_px=32, lab="other")
    longer = SHORT | {"training.epochs": 12}
    api.train(home, tmp_path / "model", tiny_config("training.epochs=12"))
    api.train(few, tmp_path / "random", tiny_config("training.epochs=12"))
    api.train(few, tmp_path / "tuned", start_from=tmp_path / "model", **longer)
    random, tuned = (
        api.evaluate(tmp_path / name, test).accuracy.value for name in ("random", "tuned")
    )
    assert tuned > random + 0.1
