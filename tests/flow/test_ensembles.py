"""Several runs that answer as one, and images looked at in several ways."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from typer.testing import CliRunner

from stainproof import Classifier, api
from stainproof.cli.app import app
from stainproof.config.presets import make_config, make_inference_config
from stainproof.config.schema import TrainingConfig
from stainproof.data import sources
from stainproof.errors import CheckpointError, ConfigError, DataError
from stainproof.inference.engines import OnnxRuntimeEngine
from stainproof.inference.folding import FoldedNetwork
from stainproof.inference.frequency_filters import apply_filter
from stainproof.inference.teacher import load_teacher
from stainproof.inference.tta import tta_views
from stainproof.inference.voting import vote
from stainproof.runs.card import Card
from stainproof.runs.ensemble import Ensemble
from stainproof.runs.folder import RunFolder
from stainproof.search.run import search
from stainproof.shift.lab import Lab
from stainproof.training.distillation import Teacher
from stainproof.training.loop import Trainer
from tests.common.runs import change_card
from tests.common.tiny import tiny_config

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs, of 32 and of 24 pixels."""
    folder = tmp_path_factory.mktemp("runs")
    for size_px in (32, 24):
        config = tiny_config(f"preprocessing.size_px={size_px}", seed=size_px)
        api.train(phantoms, folder / f"px{size_px}", config)
    return [folder / "px32", folder / "px24"]


@pytest.fixture(scope="module")
def both(runs: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("both") / "ensemble"
    api.ensemble(runs, out)
    return out


def noise(number: int, size_px: Any = 32) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(
        256, size=(number, size_px, size_px, 3), dtype=np.uint8
    )


def test_a_soft_vote_is_the_mean_of_members_with_images_of_different_sizes(
    runs: list[Path], both: Path
) -> None:
    one, other = (Classifier.load(run).predict_proba(noise(70)) for run in runs)
    together = Classifier.load(both)
    np.testing.assert_allclose(together.predict_proba(noise(70)), (one + other) / 2, atol=1e-6)
    assert together.preprocessing.size_px == 32
    assert together.predict_proba(noise(0)).shape == (0, 8)


def test_a_hard_vote_goes_by_number_and_decides_ties_by_probability() -> None:
    sure = np.array([[0.9, 0.1, 0.0]], dtype=np.float32)
    unsure = np.array([[0.3, 0.4, 0.3]], dtype=np.float32)
    assert vote([sure, unsure, unsure], "soft").argmax() == 0
    assert vote([sure, unsure, unsure], "hard").argmax() == 1
    assert vote([sure, unsure], "hard").argmax() == 0
    assert vote([unsure, sure], "hard").sum() == pytest.approx(1)


def test_members_with_classes_in_another_order_vote_for_the_right_ones(
    runs: list[Path], tmp_path: Path
) -> None:
    turned = tmp_path / "turned"
    shutil.copytree(runs[0], turned)
    card = Card.read(turned / "card.json")
    order = card.classes[::-1]
    change_card(turned, classes=order)
    api.ensemble([turned, runs[0]], tmp_path / "both")
    probs = Classifier.load(runs[0]).predict_proba(noise(5))
    expected = (probs + probs[:, ::-1]) / 2
    found = Classifier.load(tmp_path / "both")
    assert found.classes == order
    np.testing.assert_allclose(found.predict_proba(noise(5)), expected, atol=1e-6)


def test_an_ensemble_stands_alone_and_is_evaluated_and_predicted_like_a_run(
    runs: list[Path], both: Path, phantoms: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(both, moved)
    result = api.evaluate(moved, phantoms)
    assert result.num_images == 120
    assert result.weights_sha256 not in {
        Card.read(run / "card.json").weights_sha256 for run in runs
    }
    api.predict(moved, [str(phantoms)], tmp_path / "table.csv")
    assert len((tmp_path / "table.csv").read_text().splitlines()) == 121


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda runs: runs[:1], ConfigError, "two runs or more, got 1"),
        (lambda runs: [runs[0], runs[0] / "nowhere"], CheckpointError, "card.json: missing"),
    ],
)
def test_what_cannot_be_put_together_leaves_no_folder(
    runs: list[Path],
    tmp_path: Path,
    change: Callable[..., Any],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        api.ensemble(change(runs), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_runs_that_fit_images_in_another_way_are_refused(runs: list[Path], tmp_path: Path) -> None:
    padded = shutil.copytree(runs[1], tmp_path / "padded")
    card = Card.read(padded / "card.json")
    preprocessing = card.preprocessing.model_copy(update={"fit": "pad"})
    change_card(padded, preprocessing=preprocessing)
    with pytest.raises(CheckpointError, match=r"preprocessing.fit.* got crop and pad"):
        api.ensemble([runs[0], padded], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_runs_with_other_classes_are_refused(runs: list[Path], tmp_path: Path) -> None:
    strange = tmp_path / "strange"
    shutil.copytree(runs[0], strange)
    card = Card.read(strange / "card.json")
    names = (*card.classes[:7], "blast")
    change_card(strange, classes=names)
    with pytest.raises(CheckpointError, match=r"the same classes.*blast"):
        api.ensemble([runs[0], strange], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_ensemble_is_refused_where_a_run_is_needed(
    runs: list[Path], both: Path, phantoms: Path, tmp_path: Path
) -> None:
    for act in (
        lambda: api.quantise(both, phantoms),
        lambda: api.report(both),
        lambda: api.ensemble([both, runs[0]], tmp_path / "out"),
    ):
        with pytest.raises(CheckpointError, match="is an ensemble"):
            act()
    with pytest.raises(DataError, match="already there"):
        api.ensemble(runs, both)
    with pytest.raises(ConfigError, match=r"'loud' .* soft, hard"):
        api.ensemble(runs, tmp_path / "out", voting="loud")


def test_a_damaged_or_hostile_list_of_members_is_one_error(both: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(both, broken)
    ensemble = Ensemble.read(broken / "ensemble.json")
    for names in (["0-../../secret", "1-b"], ["0-gone", "1-gone"], ["/etc", "1-b"], ["0-px32"]):
        text = json.dumps({**json.loads(ensemble.model_dump_json()), "members": names})
        (broken / "ensemble.json").write_text(text)
        with pytest.raises(CheckpointError):
            Classifier.load(broken)


def test_views_are_averaged_and_the_filter_comes_first(runs: list[Path]) -> None:
    images = noise(6)
    how = make_inference_config("d4", "gaussian", 0.4)
    plain = Classifier.load(runs[0], "torch")
    seen = tta_views(apply_filter(images, "gaussian", 0.4), "d4")
    expected = np.mean([plain.predict_proba(view) for view in seen], axis=0)
    found = Classifier.load(runs[0], "torch", how).predict_proba(images)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    turned = np.ascontiguousarray(np.rot90(images, axes=(1, 2)))
    again = Classifier.load(runs[0], "torch", make_inference_config("d4"))
    np.testing.assert_allclose(again.predict_proba(images), again.predict_proba(turned), atol=1e-5)


def test_an_evaluation_with_tta_or_a_filter_has_a_folder_of_its_own(
    runs: list[Path], phantoms: Path
) -> None:
    plain = api.evaluate(runs[0], phantoms)
    changed = api.evaluate(runs[0], phantoms, inference=make_inference_config("flips", "notch"))
    assert (plain.source, changed.source) == ("home", "home, flips, notch")
    page = api.report(runs[0]).read_text()
    assert "home, flips, notch" in page


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tta", "many"], "'many' is not one of 'none'"),
        (["--filter", "sharp"], "'sharp' is not one of"),
        (["--cutoff", "0"], "cutoff: Input should be greater than 0, got 0"),
    ],
)
def test_unknown_inference_settings_are_refused_before_anything_is_read(
    options: list[str], message: str
) -> None:
    found = CliRunner().invoke(app, ["evaluate", "nowhere", "nothing", *options])
    assert re.search(message, " ".join(f"{found.exception} {found.output}".split()))


def test_distillation_trains_a_network_to_predict_as_the_ensemble(
    both: Path, phantoms: Path, tmp_path: Path
) -> None:
    taught = (f"training.teacher={both}", "training.distillation_weight=1")
    teacher = Classifier.load(both).predict_proba(noise(40))
    adamw = ("training.optimizer=adamw", "training.learning_rate=4e-3")
    off_by = []
    for name, more in (("alone", ()), ("taught", taught)):
        config = tiny_config("training.epochs=10", *adamw, *more)
        data = sources.load(phantoms, config.preprocessing)
        teacher_of = (lambda threads: Classifier.load(both, threads=threads)) if more else None
        run = RunFolder(tmp_path / name)
        trainer = Trainer(config, data, data, run, load_teacher=teacher_of)
        trainer.train()
        network = FoldedNetwork(trainer.network.eval(), config.preprocessing)
        with torch.no_grad():
            probs = network(torch.from_numpy(noise(40))).numpy()
        off_by.append(np.abs(probs - teacher).mean())
    assert off_by[1] < 0.7 * off_by[0]


def test_a_teachers_predictions_are_mixed_into_the_labels_in_their_order(runs: list[Path]) -> None:
    model = load_teacher(str(runs[0]), threads=1)
    classes = model.classes[::-1]
    labels = np.eye(8, dtype=np.float32)[:5]
    settings = TrainingConfig(teacher=str(runs[0]), distillation_weight=0.25)
    targets = Teacher(model, settings, classes)(noise(5), labels)
    probs = Classifier.load(runs[0], calibrated=False).predict_proba(noise(5))[:, ::-1]
    np.testing.assert_allclose(targets, 0.25 * probs + 0.75 * labels, atol=1e-6)
    assert targets.dtype == np.float32
    engine = Classifier.load(runs[0], "onnxruntime", threads=1).members[0].engine
    assert isinstance(engine, OnnxRuntimeEngine) and engine.num_threads == 1


def test_an_unusable_teacher_is_refused_and_nothing_is_written(
    phantoms: Path, tmp_path: Path
) -> None:
    nowhere, message = "training.teacher=nowhere", r"training.teacher: nowhere: no such run folder"
    with pytest.raises(ConfigError, match=message):
        api.train(phantoms, tmp_path / "run", tiny_config(nowhere), audited=True)
    with pytest.raises(ConfigError, match=message):
        search(phantoms, tmp_path / "search", 1, 5.0, fixed=(nowhere,))
    assert not list(tmp_path.iterdir())
    with pytest.raises(ConfigError, match=r"cannot be combined with augment.consistency"):
        make_config("light", assignments=("training.teacher=a", "augment.consistency=12"))


def test_a_resumed_run_keeps_its_teacher(runs: list[Path], phantoms: Path, tmp_path: Path) -> None:
    teacher = shutil.copytree(runs[0], tmp_path / "teacher")
    first = tiny_config("training.epochs=1", f"training.teacher={teacher}")
    card = api.train(phantoms, tmp_path / "run", first)
    assert card.teacher_sha256 == Card.read(runs[0] / "card.json").weights_sha256
    shutil.rmtree(teacher)
    shutil.copytree(runs[1], teacher)
    more = tiny_config("training.epochs=2", f"training.teacher={teacher}")
    with pytest.raises(CheckpointError, match=r"training.teacher: "):
        api.train(phantoms, tmp_path / "run", more, resume=True)


LAB = Lab(scale=1.5, white_point=(240, 210, 150), target_white_point=(255, 230, 203))


@pytest.fixture(scope="module")
def with_lab(runs: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stored")
    LAB.write(folder / "new.json")
    words = ["ensemble", *map(str, runs), "--lab", str(folder / "new.json")]
    done = CliRunner().invoke(app, [*words, "--out", str(folder / "both")])
    assert done.exit_code == 0
    assert "2 networks" in done.output and "with its profile" in done.output
    return folder / "both"


def test_a_stored_profile_is_applied_and_one_line_says_so(
    both: Path, with_lab: Path, phantoms: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    found = Classifier.load(with_lab, say=said.append)
    assert found.lab == LAB
    assert said == [f"{with_lab}: its laboratory profile is applied: {LAB.describe()}"]
    given = Classifier.load(both, lab=LAB)
    assert np.array_equal(found.predict_proba(noise(6)), given.predict_proba(noise(6)))
    assert not np.allclose(
        found.predict_proba(noise(6)), Classifier.load(both).predict_proba(noise(6))
    )
    said.clear()
    result = api.evaluate(with_lab, phantoms, say=said.append)
    assert result.source.endswith(LAB.describe())
    assert len(said) == 1 and "is applied" in said[0]
    said.clear()
    api.predict(with_lab, [str(phantoms)], tmp_path / "table.csv", say=said.append)
    assert len(said) == 1 and "is applied" in said[0]


def test_a_given_profile_replaces_the_stored_one_and_one_line_says_so(with_lab: Path) -> None:
    said: list[str] = []
    other = Lab(scale=0.8)
    assert Classifier.load(with_lab, lab=other, say=said.append).lab == other
    assert len(said) == 1 and "is replaced by the one given: scale 0.80" in said[0]
    Classifier.load(with_lab, lab=LAB, say=said.append)
    assert len(said) == 1


def test_a_teacher_sees_the_training_images_as_they_are(both: Path, with_lab: Path) -> None:
    images = noise(4)
    seen = load_teacher(str(with_lab)).predict_proba(images)
    np.testing.assert_array_equal(seen, load_teacher(str(both)).predict_proba(images))


def test_a_stored_profile_that_was_altered_or_removed_is_refused(
    with_lab: Path, tmp_path: Path
) -> None:
    broken = shutil.copytree(with_lab, tmp_path / "broken")
    LAB.model_copy(update={"scale": 2.0}).write(broken / "lab.json")
    with pytest.raises(CheckpointError, match=r"lab\.json: altered"):
        Classifier.load(broken)
    (broken / "manifest.json").unlink()
    with pytest.raises(CheckpointError, match=r"not the one in ensemble\.json"):
        Classifier.load(broken)
    (broken / "lab.json").unlink()
    with pytest.raises(CheckpointError, match=r"lab\.json: missing"):
        Classifier.load(broken)


def test_members_with_other_white_points_are_refused(runs: list[Path], tmp_path: Path) -> None:
    white = shutil.copytree(runs[1], tmp_path / "white")
    preprocessing = Card.read(white / "card.json").preprocessing
    change_card(white, preprocessing=preprocessing.model_copy(update={"white_point": (9, 9, 9)}))
    with pytest.raises(CheckpointError, match=r"white_point.* got None and \(9, 9, 9\)"):
        api.ensemble([runs[0], white], tmp_path / "out")
