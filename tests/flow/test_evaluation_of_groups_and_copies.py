"""Evaluations say over what their intervals are, and count copies of training images."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stainproof import api
from stainproof.cli import console
from stainproof.errors import CheckpointError
from stainproof.evaluation.result import EVALUATION_FILE, Evaluation
from stainproof.runs.folder import RunFolder
from tests.common.tiny import tiny_config

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs, of 32 and of 24 pixels."""
    folder = tmp_path_factory.mktemp("runs")
    for size_px in (32, 24):
        config = tiny_config(f"preprocessing.size_px={size_px}", "training.epochs=1")
        api.train(phantoms, folder / f"px{size_px}", config)
    return [folder / "px32", folder / "px24"]


@pytest.fixture
def mixed(runs: list[Path], phantoms: Path, tmp_path: Path) -> Path:
    """Two training images, one of them rotated, among nine other cells; three patients."""
    source = api.make_phantoms(tmp_path / "mixed", 9, seed=77, size_px=32)
    with RunFolder(runs[0]).splits.open() as file:
        trained = [row["name"] for row in csv.DictReader(file) if row["split"] == "train"][:2]
    for quarters, name in enumerate(trained):
        pixels = np.asarray(Image.open(phantoms / name))
        place = source / Path(name).parent / f"copy{quarters}.png"
        place.parent.mkdir(exist_ok=True)
        Image.fromarray(np.rot90(pixels, quarters)).save(place)
    names = sorted(path.relative_to(source) for path in source.rglob("*.png"))
    rows = [(name, name.parent, f"patient {rank % 3}") for rank, name in enumerate(names)]
    manifest = source / "mixed.csv"
    with manifest.open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label", "group"), *rows])
    return manifest


def test_copies_of_training_images_are_counted_and_said(
    runs: list[Path], mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = api.evaluate(runs[0], mixed, tmp_path / "eval")
    assert (result.num_images, result.num_in_training) == (11, 2)
    assert (result.interval_unit, result.num_groups) == ("groups", 3)
    console.print_evaluation(result)
    shown = capsys.readouterr().out
    assert "2 of 11 images are copies of training images" in shown
    assert "95 % intervals over 3 patients or slides" in shown
    page = api.report(runs[0], [tmp_path / "eval"]).read_text()
    assert "2 of 11 images are copies of training images" in page
    assert "95 % intervals over 3 patients or slides" in page
    home = Evaluation.read(runs[0] / "home" / "val" / EVALUATION_FILE)
    assert (home.num_in_training, home.interval_unit) == (0, "images")


def test_copies_between_the_parts_of_a_source_are_said(phantoms: Path, tmp_path: Path) -> None:
    source = shutil.copytree(phantoms, tmp_path / "cells")
    names = sorted(path.relative_to(source) for path in source.rglob("*.png"))
    rows = [
        (name, name.parent, "val" if rank % 5 == 0 else "train") for rank, name in enumerate(names)
    ]
    for quarters, name in enumerate([names[1], names[2]]):
        Image.fromarray(np.rot90(np.asarray(Image.open(source / name)), quarters)).save(
            source / f"{quarters}.png"
        )
        rows.append((Path(f"{quarters}.png"), name.parent, "val"))
    with (source / "parts.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label", "split"), *rows])
    said: list[str] = []
    api.train(
        source / "parts.csv", tmp_path / "run", tiny_config("training.epochs=1"), say=said.append
    )
    assert "2 images with copies in more than one split" in said
    assert Evaluation.read(tmp_path / "run" / "home" / "val" / EVALUATION_FILE).num_in_training == 2


def test_an_ensemble_counts_the_copies_of_every_members_training_images(
    runs: list[Path], mixed: Path, tmp_path: Path
) -> None:
    api.ensemble(runs, tmp_path / "both")
    assert api.evaluate(tmp_path / "both", mixed).num_in_training == 2
    first, second = (RunFolder(path) for path in sorted((tmp_path / "both" / "members").iterdir()))
    first.training_hashes.unlink()
    again = api.evaluate(tmp_path / "both", mixed)
    assert again.num_in_training >= 1  # resizing to 24 px can round a rotated copy otherwise
    second.training_hashes.unlink()
    assert api.evaluate(tmp_path / "both", mixed).num_in_training == 0


def test_the_mean_of_weights_keeps_the_hashes(
    runs: list[Path], phantoms: Path, tmp_path: Path
) -> None:
    folder = RunFolder(tmp_path / "copy")
    folder.copy_training_record(RunFolder(runs[0]))
    kept, own = (one.read_training_hashes() for one in (folder, RunFolder(runs[0])))
    assert kept is not None and own is not None and np.array_equal(kept, own)


@pytest.mark.parametrize("content", [b"no array", b""])
def test_damaged_hashes_are_named(tmp_path: Path, content: bytes) -> None:
    run = RunFolder(tmp_path)
    assert run.read_training_hashes() is None
    run.training_hashes.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"training_hashes\.npy: damaged"):
        run.read_training_hashes()
    np.save(run.training_hashes, np.zeros(3))
    with pytest.raises(CheckpointError, match="not one uint64 an image"):
        run.read_training_hashes()


def test_an_older_evaluation_has_intervals_over_images(runs: list[Path], tmp_path: Path) -> None:
    tree = json.loads((runs[0] / "home" / "val" / EVALUATION_FILE).read_text())
    for key in ("interval_unit", "num_groups", "num_in_training"):
        del tree[key]
    (tmp_path / EVALUATION_FILE).write_text(json.dumps(tree))
    older = Evaluation.read(tmp_path / EVALUATION_FILE)
    assert (older.interval_unit, older.num_groups, older.num_in_training) == ("images", 0, 0)


@pytest.mark.slow
def test_an_audit_counts_the_copies_in_a_second_source(
    phantoms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = api.make_phantoms(tmp_path / "other", 40, seed=5, size_px=96)
    ours = api.make_phantoms(tmp_path / "ours", 40, seed=6, size_px=96)
    for quarters, path in enumerate(sorted(ours.rglob("*.png"))[:3]):
        copy = other / path.parent.name / f"copy{quarters}.png"
        Image.fromarray(np.rot90(np.asarray(Image.open(path)), quarters)).save(copy)
    summary = api.audit(ours, tmp_path / "audit", against=other)
    assert summary.num_copies_against == 3
    assert json.loads((tmp_path / "audit" / "audit.json").read_text())["num_copies_against"] == 3
    assert (
        "rotated and mirrored copies included: 3."
        in (tmp_path / "audit" / "audit.html").read_text()
    )
    console.print_audit(summary, tmp_path)
    assert "that are copies of images of ours: 3" in capsys.readouterr().out
