"""Train, submit, score: the contest's whole loop on one machine."""

import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from stainproof import Classifier, api
from stainproof.cli.app import app
from stainproof.config.presets import make_inference_config
from stainproof.config.schema import Preprocessing
from stainproof.contest import submission as submissions
from stainproof.contest.competition import competition
from stainproof.contest.grader import FILES, Task, run_submission
from stainproof.contest.results import Score
from stainproof.contest.sandbox import Limits, missing_packages
from stainproof.contest.scoring import score
from stainproof.contest.submission import submit
from stainproof.data import sources
from stainproof.errors import CheckpointError, ConfigError, DataError, SubmissionError
from stainproof.labels import BLOOD_CLASSES
from stainproof.runs.card import Card
from stainproof.shift.lab import Lab
from stainproof.synthetic import phantoms
from tests.common.command import run_command
from tests.common.hostile import needs_bubblewrap
from tests.common.runs import change_card
from tests.common.tiny import tiny_config

pytestmark = [needs_bubblewrap, pytest.mark.slow]

VARIED = (
    "training.epochs=8", "training.batch_size=16", "training.optimizer=adamw",
    "training.learning_rate=0.01", "training.ema_decay=0.0", "augment.recipe=none",
    "augment.validation=none",
)  # fmt: skip
"""A tiny training after which many classes are predicted."""
WRITES = "import sys; open(sys.argv[2] + '/confusion.json', 'w').write('{}')"
"""A scoring program that writes a given confusion matrix and nothing else."""


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Cells of a contest's size."""
    return api.make_phantoms(tmp_path_factory.mktemp("data") / "cells", 96, seed=1)


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return api.make_phantoms(tmp_path_factory.mktemp("data") / "elsewhere", 48, seed=2, lab="other")


@pytest.fixture(scope="module")
def run(cells: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run on images of a contest's own size."""
    out = tmp_path_factory.mktemp("runs") / "px96"
    api.train(cells, out, tiny_config("preprocessing.size_px=96", "network.stem=[4,8,16]", *VARIED))
    return out


@pytest.fixture(scope="module")
def small(cells: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run on smaller images, standardised."""
    standard = ("preprocessing.mean=[0.7,0.6,0.7]", "preprocessing.std=[0.2,0.2,0.1]")
    out = tmp_path_factory.mktemp("runs") / "px48"
    api.train(cells, out, tiny_config("preprocessing.size_px=48", *standard, *VARIED, seed=1))
    return out


@pytest.fixture(scope="module")
def bundle(cells: Path, elsewhere: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    out = tmp_path_factory.mktemp("contest") / "bundle.zip"
    competition(cells, elsewhere, out)
    return out


@pytest.fixture(scope="module")
def zipped(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    out = tmp_path_factory.mktemp("zips") / "submission.zip"
    submit(run, out, runtime="onnx")
    return out


def labels_of(zipped: Path, images: Any, tmp_path: Path) -> Any:
    """Return the labels that a submission predicts in the contest's grader."""
    np.save(tmp_path / "images.npy", images)
    predictions, _ = run_submission(zipped, Task(tmp_path, tmp_path), Limits())
    return np.array(predictions.split(), dtype=int)


# The loop


def test_a_submission_scores_what_its_run_does_to_the_image(
    run: Path, zipped: Path, cells: Path, elsewhere: Path, bundle: Any
) -> None:
    for phase, source in (("development", cells), ("final", elsewhere)):
        evaluated = api.evaluate(run, source)
        scored = score(zipped, bundle, phase=phase)
        assert scored.confusion == evaluated.confusion
        assert scored.accuracy == evaluated.accuracy
        assert scored.per_class == evaluated.per_class
        assert scored.source == f"bundle, {phase}"
        assert scored.confusion == score(zipped, source).confusion
        assert (np.array(scored.confusion).sum(axis=0) > 0).sum() >= 3
    assert scored.seconds > 0 and scored.peak_mb and scored.peak_mb > 20
    assert scored.sandboxed
    assert scored.submission == "submission.zip" and len(scored.submission_sha256) == 64


def test_the_command_line_goes_round_the_loop(
    run: Path, cells: Path, elsewhere: Path, tmp_path: Path
) -> None:
    def say(*words: Any) -> Any:
        done = CliRunner().invoke(app, [str(word) for word in words])
        assert done.exit_code == 0, done.output
        return done.stdout

    zipped, bundle = tmp_path / "s.zip", tmp_path / "bundle"
    said = say("submit", run, "--out", zipped, "--runtime", "onnx", "--images", elsewhere)
    assert "the same labels as the run on 48 images" in said and "MB peak memory" in said
    say("competition", "--development", cells, "--final", elsewhere, "--out", bundle,
        "--set", "title=Trial", "--set", "days=3")  # fmt: skip
    assert "title: Trial" in (bundle / "competition.yaml").read_text()
    said = say("score", zipped, "--on", bundle, "--phase", "final", "--time-limit", "1m",
               "--out", tmp_path / "score.json")  # fmt: skip
    assert Score.read(tmp_path / "score.json").source == "bundle, final"
    accuracy = api.evaluate(run, elsewhere).accuracy.percent()
    assert f"accuracy                   {accuracy}" in said and "platelet" in said


def test_a_submission_is_clean_files_that_name_nothing_of_ours(
    zipped: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(zipped) as archive:
        names = set(archive.namelist())
        code = {name: archive.read(name).decode() for name in names if name.endswith(".py")}
    parts = ("__init__", "frequency_filters", "network", "resize", "scaling", "standardise", "tta",
             "voting", "white_balance")  # fmt: skip
    assert names == {"model.py", "model.json", "weights/0.onnx",
                     *(f"parts/{part}.py" for part in parts)}  # fmt: skip
    for name, text in code.items():
        compile(text, name, "exec")
        assert "stainproof" not in text


def test_the_same_run_gives_the_same_zip(run: Path, zipped: Path, tmp_path: Path) -> None:
    submit(run, tmp_path / "again.zip", runtime="onnx")
    assert (tmp_path / "again.zip").read_bytes() == zipped.read_bytes()


def test_the_starting_kit_is_a_submission_that_scores(elsewhere: Path, tmp_path: Path) -> None:
    shutil.make_archive(str(tmp_path / "kit"), "zip", FILES / "starting_kit")
    scored = score(tmp_path / "kit.zip", elsewhere)
    assert scored.accuracy.value == 6 / 48
    assert scored.per_class[6].sensitivity
    assert scored.per_class[6].sensitivity.value == 1


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("labels.json", '{"labels": [0]}', "the contest's labels.json defines no classes"),
        ("labels.json", "[0]", "the contest's labels.json defines no classes"),
        ("labels.json", "[0", "the contest's labels.json cannot be read"),
        ("scoring.py", "", "the contest's confusion.json cannot be read"),
        ("scoring.py", WRITES.format("[[48]]"), "wrote no 8 by 8 confusion matrix"),
        ("scoring.py", WRITES.format("{}"), "wrote no 8 by 8 confusion matrix"),
    ],
)
def test_what_another_teachers_bundle_lacks_is_not_laid_on_the_submission(
    zipped: Path, bundle: Path, tmp_path: Path, file: Any, text: Any, message: Any
) -> None:
    shutil.unpack_archive(bundle, tmp_path / "bundle")
    for path in (tmp_path / "bundle").rglob(file):
        path.write_text(text)
    with pytest.raises(DataError, match=message):
        score(zipped, tmp_path / "bundle", phase="final")


def test_a_phase_of_plain_images_is_refused(zipped: Path, elsewhere: Path) -> None:
    with pytest.raises(ConfigError, match="not a contest bundle"):
        score(zipped, elsewhere, phase="final")


# What goes into the zip


@pytest.mark.parametrize("how", [("d4",), ("none", "notch"), ("flips", "butterworth", 0.3)])
def test_views_and_filters_travel_inside(
    small: Any, elsewhere: Path, tmp_path: Path, how: Any
) -> None:
    inference = make_inference_config(*how)
    submit(small, tmp_path / "s.zip", runtime="onnx", inference=inference)
    expected = api.evaluate(small, elsewhere, tmp_path / "eval", inference=inference)
    assert score(tmp_path / "s.zip", elsewhere).confusion == expected.confusion


@pytest.mark.parametrize("voting", ["soft", "hard"])
def test_a_submission_contains_an_ensemble_with_sizes_and_voting(
    run: Path, small: Any, elsewhere: Path, tmp_path: Path, voting: Any
) -> None:
    turned = shutil.copytree(small, tmp_path / "turned")
    card = Card.read(turned / "card.json")
    change_card(turned, classes=card.classes[::-1])
    api.ensemble([turned, run, small], tmp_path / "three", voting=voting)
    submit(tmp_path / "three", tmp_path / "s.zip", runtime="onnx")
    expected = api.evaluate(tmp_path / "three", elsewhere, tmp_path / "eval")
    found = score(tmp_path / "s.zip", elsewhere)
    assert found.accuracy == expected.accuracy
    assert found.classes == expected.classes[::-1] == BLOOD_CLASSES
    assert np.array_equal(found.confusion, np.array(expected.confusion)[::-1, ::-1])


@pytest.mark.slow
@pytest.mark.parametrize("size_px", [40, 112])
def test_images_are_resized_as_the_run_resizes_them(
    cells: Path, elsewhere: Path, tmp_path: Path, size_px: Any
) -> None:
    config = tiny_config(f"preprocessing.size_px={size_px}", *VARIED)
    api.train(cells, tmp_path / "run", config)
    submit(tmp_path / "run", tmp_path / "s.zip", runtime="onnx")
    images = sources.load(elsewhere, Preprocessing()).images
    expected = Classifier.load(tmp_path / "run").predict_proba(images).argmax(axis=1)
    assert np.array_equal(labels_of(tmp_path / "s.zip", images, tmp_path), expected)


def test_images_of_another_size_than_the_contests_are_refused(zipped: Path, tmp_path: Path) -> None:
    message = r"ValueError: X must be uint8 \(n, 96, 96, 3\), got uint8 \(2, 96, 128, 3\)"
    with pytest.raises(SubmissionError, match=message):
        labels_of(zipped, np.zeros((2, 96, 128, 3), np.uint8), tmp_path)


def test_no_images_get_no_labels(zipped: Path, tmp_path: Path) -> None:
    assert len(labels_of(zipped, np.empty((0, 96, 96, 3), np.uint8), tmp_path)) == 0


def test_classes_in_another_order_and_spelling_get_the_contests_labels(
    run: Path, elsewhere: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(run, tmp_path / "other")
    card = Card.read(other / "card.json")
    names = {"ig": "Immature Granulocytes", "platelet": "PLATELETS"}
    shuffled = tuple(names.get(name, name) for name in np.roll(card.classes, 3))
    change_card(other, classes=shuffled)
    submit(other, tmp_path / "s.zip", runtime="onnx")
    images = sources.load(elsewhere, Preprocessing()).images
    found = labels_of(tmp_path / "s.zip", images, tmp_path)
    plain = Classifier.load(run).predict_proba(images).argmax(axis=1)
    assert np.array_equal(found, (plain - 3) % 8)


@pytest.mark.parametrize("names", [("blast", *BLOOD_CLASSES[1:]), ("Platelet", *BLOOD_CLASSES[1:])])
def test_a_run_with_other_classes_is_refused(run: Path, tmp_path: Path, names: Any) -> None:
    other = shutil.copytree(run, tmp_path / "other")
    change_card(other, classes=names)
    with pytest.raises(CheckpointError, match=f"contest's classes are .* the run knows {names[0]}"):
        submit(other, tmp_path / "s.zip", runtime="onnx")
    assert not (tmp_path / "s.zip").exists()


# The test of a submission before it is written


@pytest.fixture
def spoilt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    """Change a file of every submission that is made from here on."""

    def spoil(name: Any, old: Any, new: Any) -> None:
        files = shutil.copytree(FILES, tmp_path / "files")
        path = files / "submission" / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        monkeypatch.setattr(submissions, "FILES", files)

    return spoil


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("return labels[", "return 7 - labels[", r"s\.zip: not written: \d+ of 200 labels differ"),
        ("if X.dtype", "if True or X.dtype", r"failed: model\.py, line \d+: ValueError: X must"),
        ("import json", "import json, stainproof", r"ModuleNotFoundError: .*stainproof"),
        ("import json", "import json, torch", r"ModuleNotFoundError: .*torch"),
        ("import json", "import json, urllib.request as r; r.urlopen('http://localhost')",
         r"test failed: model\.py, line 7: URLError"),
        ("class Model", "class Modell", "no attribute 'Model'"),
        ("return labels[", "import os; os._exit(0)\n        return labels[",
         "ended without readable predictions"),
        ("return labels[", "import os; os.abort()\n        return labels[", "ended by signal 6"),
    ],
)  # fmt: skip
def test_a_zip_that_fails_its_test_is_not_written(
    run: Path, tmp_path: Path, spoilt: Callable[..., Any], old: Any, new: Any, message: Any
) -> None:
    spoilt("model.py", old, new)
    (tmp_path / "s.zip").write_text("an earlier one")
    with pytest.raises(SubmissionError, match=message):
        submit(run, tmp_path / "s.zip", runtime="onnx")
    assert (tmp_path / "s.zip").read_text() == "an earlier one"
    assert {path.name for path in tmp_path.iterdir()} == {"s.zip", "files"}


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"runtime": "torch"}, ConfigError, "'torch' is unknown; allowed: keras, onnx"),
        ({"out": "s.tar"}, ConfigError, r"s\.tar: a submission is one file; name it something"),
        ({"images": "nowhere"}, DataError, "nowhere: no images there"),
        ({"python": "/no/python"}, ConfigError, "/no/python: is no Python"),
    ],
)
def test_what_cannot_be_submitted_is_said_at_once(
    run: Path, tmp_path: Path, options: Any, error: Any, message: Any
) -> None:
    given = {"out": "s.zip", "runtime": "onnx", **options}
    out = tmp_path / given.pop("out")
    with pytest.raises(error, match=message):
        submit(run, out, **given)
    assert not list(tmp_path.iterdir())


def test_without_keras_the_message_offers_the_runtime_that_is_possible_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        submissions,
        "missing_packages",
        lambda python, names: [name for name in names if name != "onnxruntime"],
    )
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(ConfigError) as caught:
        submit(tmp_path / "no_run", tmp_path / "s.zip", python="env/python")
    assert str(caught.value).startswith(
        "--runtime keras is not possible here; --runtime onnx is. Keras is not installed here: "
        "pip install 'stainproof[keras]'; env/python has no keras and no tensorflow"
    )
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_runtime_that_is_missing_too_is_not_offered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submissions, "missing_packages", lambda python, names: list(names))
    with pytest.raises(ConfigError, match=r"^--runtime keras is not possible here\. "):
        submit(tmp_path / "no_run", tmp_path / "s.zip")


def test_without_keras_the_keras_runtime_says_what_to_install(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submissions, "missing_packages", lambda python, names: [])
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(ConfigError, match=r"pip install 'stainproof\[keras\]'"):
        submit(run, tmp_path / "s.zip")
    assert not list(tmp_path.iterdir())


def test_without_the_graders_tensorflow_the_message_says_what_to_install(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert missing_packages(Path(sys.executable), ["numpy", "no_such", "json"]) == ["no_such"]
    monkeypatch.setattr(submissions, "missing_packages", lambda python, names: [*names][1:])
    message = r"has no tensorflow, .* pip install keras==3\.4\.1 tensorflow-cpu==2\.17\.1 in an env"
    with pytest.raises(ConfigError, match=message):
        submit(run, tmp_path / "s.zip")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("scale", [1.37, 0.7])
def test_a_submission_contains_the_laboratory_profile(
    run: Path,
    small: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: Any,
    scale: float,
) -> None:
    lab = Lab(scale=scale, white_point=(240, 210, 150), target_white_point=(255, 230, 203))
    lab.write(tmp_path / "lab.json")
    out = tmp_path / "lab.zip"
    words = ("submit", run, "--runtime", "onnx", "--out", out, "--lab", tmp_path / "lab.json")
    done = run_command(monkeypatch, capfd, *words)
    assert done.code == 0 and lab.describe() in done.err
    images = np.concatenate([phantoms.generate(40, seed=5, lab=name)[0] for name in phantoms.LABS])
    plain, given = (Classifier.load(run, lab=one).predict_proba(images) for one in (None, lab))
    order = np.array([BLOOD_CLASSES.index(name) for name in Card.read(run / "card.json").classes])
    assert (labels_of(out, images, tmp_path) == order[given.argmax(axis=1)]).all()
    assert (plain.argmax(axis=1) != given.argmax(axis=1)).any()


def test_the_profile_of_an_ensemble_becomes_part_of_its_submission(
    run: Path, small: Path, tmp_path: Path
) -> None:
    lab = Lab(scale=1.37, white_point=(240, 210, 150), target_white_point=(255, 230, 203))
    both = tmp_path / "both"
    said: list[str] = []
    api.ensemble([run, small], both, lab=lab)
    out = tmp_path / "both.zip"
    submit(both, out, runtime="onnx", say=said.append)
    assert len(said) == 1 and "its laboratory profile is applied" in said[0]
    with zipfile.ZipFile(out) as zipped:
        assert "weights/lab_positions.npy" in zipped.namelist()


def test_a_submission_balances_the_white_point_of_every_image(cells: Path, tmp_path: Path) -> None:
    run, out = tmp_path / "white", tmp_path / "white.zip"
    white = "preprocessing.white_point=[255,230,203]"
    config = tiny_config("preprocessing.size_px=96", "network.stem=[4,8,16]", *VARIED, white)
    api.train(cells, run, config)
    submit(run, out, runtime="onnx")
    yellow = np.rint(phantoms.generate(60, seed=6)[0] * (0.95, 0.75, 0.55)).astype(np.uint8)
    images = np.concatenate([phantoms.generate(60, seed=5, lab="other")[0], yellow])
    found = Classifier.load(run)
    order = np.array([BLOOD_CLASSES.index(name) for name in found.classes])
    expected = order[found.predict_proba(images).argmax(axis=1)]
    assert (order[found.members[0].proba(images).argmax(axis=1)] != expected).any()
    assert (labels_of(out, images, tmp_path) == expected).all()
