"""A run folder and an audit made by the version before, in tests/data, are still read."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from stainproof import Classifier, api
from stainproof.audit.summary import AuditSummary
from stainproof.errors import CheckpointError
from stainproof.files import sha256_of
from stainproof.models.network import build_network
from stainproof.runs.folder import RunFolder
from stainproof.synthetic.phantoms import make_phantoms
from stainproof.training.checkpoint import read_position

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
def old_run(tmp_path: Path) -> RunFolder:
    """The old run folder's text files, with weights drawn anew for its network."""
    shutil.copytree(DATA / "run_v2", tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    network = build_network(run.read_config(), num_classes=8)
    run.write_weights(run.best, network.state_dict())
    card = json.loads(run.card.read_text())
    card["weights_sha256"] = sha256_of(run.best)
    run.card.write_text(json.dumps(card))
    return run


def test_the_settings_of_an_old_run_are_read_under_their_new_names() -> None:
    config = RunFolder(DATA / "run_v2").read_config()
    assert config.preprocessing.size_px == 32
    assert config.audit.outlier_threshold == 3.0
    assert (config.augment.recipe, config.augment.policy) == ("d4", "independent")
    assert config.augment.class_balance == "oversample"
    assert config.augment.without == ("flip", "tone")
    assert list(config.augment.operations) == ["d4"]


def test_the_history_of_an_old_run_is_read_under_its_new_names() -> None:
    run = RunFolder(DATA / "run_v2")
    history = run.read_history()
    assert [record.epoch for record in history] == [1, 2]
    assert history[0].val_augmented_loss is not None
    assert run.read_card().best in history


def test_an_old_run_predicts_evaluates_and_reports(old_run: RunFolder, tmp_path: Path) -> None:
    source = make_phantoms(tmp_path / "cells", 16, seed=1, size_px=32)
    images = np.zeros((2, 32, 32, 3), dtype=np.uint8)
    probs = Classifier.load(old_run.path, "torch").predict_proba(images)
    assert np.allclose(probs.sum(axis=1), 1, atol=1e-5)
    assert api.evaluate(old_run.path, source, engine="torch").num_images == 16
    assert api.report(old_run.path).exists()


def test_an_old_training_state_is_refused_and_says_what_to_do(old_run: RunFolder) -> None:
    old_run.write_weights(old_run.state, {}, state=json.dumps({"version": 2}))
    with pytest.raises(CheckpointError, match=r"state\.safetensors: .* begin a new run"):
        read_position(old_run.state)


def test_an_old_audit_is_read() -> None:
    summary = AuditSummary.read(DATA / "audit_v2" / "audit.json")
    assert summary.num_images == 160
    assert summary.compared_with == "ph"
    assert summary.two_sample_auc is not None
    assert summary.settings.near_duplicate_deviations == 6.0


def test_a_card_of_an_unknown_version_is_one_error(tmp_path: Path) -> None:
    card = json.loads((DATA / "run_v2" / "card.json").read_text()) | {"schema_version": 1}
    (tmp_path / "card.json").write_text(json.dumps(card))
    with pytest.raises(CheckpointError, match=r"card\.json: .*version"):
        RunFolder(tmp_path).read_card()
