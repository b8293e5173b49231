"""The corruption benchmark, as a user takes it."""

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stainproof import api, train
from stainproof.cli import console
from stainproof.corruptions.bloodmnist import CORRUPTIONS
from stainproof.errors import ConfigError, DataError
from stainproof.evaluation import corrupted
from stainproof.evaluation.corrupted import CASES
from stainproof.evaluation.corrupted_result import CorruptionEvaluation
from stainproof.runs.folder import RunFolder
from stainproof.shift.lab import Lab
from tests.common.command import run_command
from tests.common.image_files import write_png_16
from tests.common.tiny import tiny_config


@pytest.fixture(scope="module")
def run(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "first"
    train(phantoms, folder, tiny_config("training.epochs=1"))
    return folder


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return api.make_phantoms(tmp_path_factory.mktemp("data") / "few", 16, seed=5, size_px=32)


@pytest.mark.slow
def test_evaluate_measures_every_corruption_at_every_severity(
    run: Path,
    few: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    done = run_command(
        monkeypatch, capfd, "evaluate", run, few, "--out", tmp_path / "eval", "--corruptions"
    )

    assert done.code == 0
    found = CorruptionEvaluation.read(tmp_path / "eval" / "corruptions.json")
    assert found.num_images == 16
    assert list(found.balanced_accuracy) == list(CORRUPTIONS)
    values = np.array(list(found.balanced_accuracy.values()))
    assert values.shape == (11, 5)
    assert found.mean.value == pytest.approx(values.mean())
    errors = [one.alexnet_error for one in CORRUPTIONS.values()]
    expected = np.mean((1 - values.mean(axis=1)) / errors)
    assert found.balanced_error.value == pytest.approx(expected)
    assert "stain_deposit" in done.out and "BE" in done.out


@pytest.mark.slow
def test_unreadable_images_are_skipped_with_corruptions_too(
    run: Path,
    few: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    cells, out = tmp_path / "cells", tmp_path / "eval"
    shutil.copytree(few, cells)
    min(cells.rglob("*.png")).write_bytes(b"no image")
    evaluate = partial(run_command, monkeypatch, capfd, "evaluate", run, cells, "--out", out)

    done = evaluate("--corruptions", "--skip-unreadable")

    assert done.code == 0
    assert CorruptionEvaluation.read(out / "corruptions.json").num_images == 15
    assert "cells: 1 unreadable images left out" in done.err


def test_an_evaluation_is_printed_before_corruptions_begin(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise DataError("too late")

    monkeypatch.setattr(api, "evaluate", lambda *_, **__: "evaluated")
    monkeypatch.setattr(api, "evaluate_corruptions", fail)
    monkeypatch.setattr(console, "print_evaluation", print)
    done = run_command(monkeypatch, capfd, "evaluate", "runs/first", "cells", "--corruptions")
    assert done.code == 2
    assert "evaluated" in done.out and "too late" in done.err


@pytest.mark.slow
def test_the_same_seed_gives_the_same_figures(run: Path, few: Path, tmp_path: Path) -> None:
    first, again, other = (
        api.evaluate_corruptions(run, few, tmp_path / name, seed=seed)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )

    assert first.balanced_accuracy == again.balanced_accuracy
    assert first.calibration_error == again.calibration_error
    assert first.calibration_error != other.calibration_error


@pytest.mark.parametrize("place", ["given", "stored in the ensemble"])
def test_a_profile_is_said_and_named_in_folder_and_result(
    run: Path, few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    probs = np.full((len(CASES), 16, 8), 1 / 8, dtype=np.float32)
    monkeypatch.setattr(corrupted, "predict_corrupted", lambda *_: probs)
    lab = Lab(scale=1.6)
    model = shutil.copytree(run, tmp_path / "run")
    if place != "given":
        model = tmp_path / "both"
        api.ensemble([run, run], model, lab=lab)
    said: list[str] = []

    given = lab if place == "given" else None
    found = api.evaluate_corruptions(model, few, lab=given, say=said.append)

    assert found.source == "few, scale 1.60"
    folder = RunFolder(model).evaluations / "few, scale 1.60, corrupted"
    assert CorruptionEvaluation.read(folder / "corruptions.json") == found
    is_applied = f"{model}: its laboratory profile is applied: scale 1.60"
    assert said == ([] if place == "given" else [is_applied])


def test_corrupt_writes_a_source_for_every_corruption_and_severity(
    few: Path, tmp_path: Path
) -> None:
    num = api.corrupt(few, tmp_path / "out", corruptions=("pixelate", "bubble"), severities=(1, 5))

    assert num == 64
    made = {path.name for path in (tmp_path / "out").iterdir()}
    assert made == {"pixelate-1", "pixelate-5", "bubble-1", "bubble-5"}
    pictures = sorted((tmp_path / "out" / "bubble-5").rglob("*.png"))
    assert len(pictures) == 16
    assert {path.parent.name for path in pictures} == {path.name for path in few.iterdir()}
    with Image.open(pictures[0]) as picture:
        assert picture.size == (224, 224)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"corruptions": ("fog",)}, "corruption 'fog' is unknown; allowed: pixelate"),
        ({"severities": (6,)}, "severity must be 1 to 5, got 6"),
        ({"seed": -1}, "seed must be 0 or more, got -1"),
    ],
)
def test_unknown_corruptions_are_refused(
    few: Path, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        api.corrupt(few, tmp_path / "out", **changes)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_corrupted_12_bit_images_are_as_bright_as_8_bit_ones(tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    rgb[0, 0] = 255
    means = []
    for bits in (8, 12):
        folder = tmp_path / f"{bits}"
        folder.mkdir()
        if bits == 8:
            Image.fromarray(rgb).save(folder / "a.png")
        else:
            write_png_16(folder / "a.png", rgb.astype(np.uint16) * 16)
        api.corrupt(folder, tmp_path / f"{bits}-out", corruptions=("pixelate",))
        with Image.open(tmp_path / f"{bits}-out" / "pixelate-3" / "a.png.png") as picture:
            means.append(np.asarray(picture).mean())
    assert means[1] == pytest.approx(means[0], abs=0.01)


def test_an_unreadable_image_leaves_nothing(few: Path, tmp_path: Path) -> None:
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / "broken.png").write_bytes(b"no image")

    with pytest.raises(DataError, match=r"broken\.png"):
        api.corrupt(tmp_path / "cells", tmp_path / "out")
    assert not (tmp_path / "out").exists()
