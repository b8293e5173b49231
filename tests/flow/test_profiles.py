"""The journey of a laboratory's unlabelled images: profile, then predictions with it."""

import csv
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from stainproof import Classifier, api
from stainproof.cli.app import app
from stainproof.data import sources
from stainproof.data.decoding import decode
from stainproof.errors import CheckpointError, DataError
from stainproof.runs.card import Card
from stainproof.runs.folder import RunFolder
from stainproof.shift.lab import Lab
from tests.common.tiny import tiny_config


@pytest.fixture(scope="module")
def run(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "first"
    api.train(phantoms, folder, tiny_config("training.epochs=1", seed=1))
    return folder


@pytest.fixture(scope="module")
def yellow(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unlabelled images at several depths: the same cells in yellow light, half as large."""
    folder = tmp_path_factory.mktemp("lab")
    listing = sources.list_source(phantoms)
    for index in range(24):
        rgb = listing.read(index).rgb
        small = cv2.resize(cv2.copyMakeBorder(rgb, 16, 16, 16, 16, cv2.BORDER_REFLECT), (32, 32))
        place = folder / f"{index % 3}" / "deep" / f"{index}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(place), (small * (0.95, 0.9, 0.6)).astype(np.uint8)[:, :, ::-1])
    return folder


@pytest.fixture(scope="module")
def lab(run: Path, yellow: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("profile") / "lab.json"
    api.profile(yellow, run, path)
    return path


def test_training_measures_its_own_images(run: Path) -> None:
    found = Card.read(run / "card.json").appearance
    assert found is not None
    assert found.num_images == 64
    assert {"white_point", "magnification", "noise", "focus"} <= set(found.measures)


def test_a_card_without_a_measurement_is_still_read(run: Path) -> None:
    card = Card.read(run / "card.json")
    old = card.to_json().decode().replace('"appearance"', '"appearance_": null, "appearance"')
    without = card.model_copy(update={"appearance": None})
    assert Card.parse(without.to_json(), Path("card.json")).appearance is None
    with pytest.raises(CheckpointError, match="appearance_"):
        Card.parse(old.encode(), Path("card.json"))


def test_a_profile_states_what_was_measured_and_where(lab: Path, run: Path) -> None:
    found = Lab.read(lab)
    assert found.num_images == 24
    assert found.white_point[2] < found.reference["white_point"].values[2]
    assert found.reference == Card.read(run / "card.json").appearance.measures  # type: ignore[union-attr]
    assert found.reasons
    page = lab.with_suffix(".html").read_text(encoding="utf-8")
    assert "Before and after" in page
    assert "http" not in page.split("</style>")[1]


def test_the_same_images_and_seed_give_the_same_profile(
    run: Path, yellow: Path, lab: Path, tmp_path: Path
) -> None:
    again = api.profile(yellow, run, tmp_path / "lab.json")
    known = Lab.read(lab)
    assert again.model_copy(update={"provenance": known.provenance}) == known


def test_fewer_than_16_images_change_nothing_and_one_line_says_so(
    run: Path, yellow: Path, tmp_path: Path
) -> None:
    found = api.profile(yellow / "1", run, tmp_path / "lab.json")
    assert (found.trusted, found.scale) == (False, 1.0)
    assert "8 images, 16 are needed" in found.reasons[0]


def test_a_profile_is_applied_once_wherever_images_enter(
    run: Path, yellow: Path, tmp_path: Path
) -> None:
    lab = Lab(scale=1.6, white_point=(240, 210, 150), target_white_point=(250, 240, 230))
    lab.write(tmp_path / "lab.json")
    paths = sorted(yellow.rglob("*.png"))
    plain = Classifier.load(run)
    expected = plain.predict_proba([lab.standardise(decode(p).rgb) for p in paths])
    given = Classifier.load(run, lab=tmp_path / "lab.json").predict_proba(paths)
    assert np.array_equal(given, expected)
    assert not np.allclose(given, plain.predict_proba(paths))
    table = tmp_path / "table.csv"
    api.predict(run, [str(yellow)], table, lab=lab)
    with table.open() as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    classes = plain.classes
    for path, probs in zip(paths, expected, strict=True):
        written = [float(rows[str(path)][name]) for name in classes]
        assert written == pytest.approx(probs.tolist(), abs=1e-5)


def test_evaluations_with_a_profile_have_a_name_of_their_own(run: Path, phantoms: Path) -> None:
    plain = api.evaluate(run, phantoms)
    given = api.evaluate(run, phantoms, lab=Lab(scale=1.6))
    assert given.source == f"{plain.source}, scale 1.60"
    assert given.num_in_training == plain.num_in_training > 0


def test_the_command_prints_what_it_found(run: Path, yellow: Path, tmp_path: Path) -> None:
    out = tmp_path / "lab.json"
    arguments = ["profile", str(yellow), "--model", str(run), "--out", str(out)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0
    assert "24 images measured" in result.stdout
    assert Lab.read(out).num_images == 24


def test_a_run_without_a_measurement_is_compared_with_pbc_and_says_so(
    run: Path, yellow: Path, tmp_path: Path
) -> None:
    old = tmp_path / "old"
    shutil.copytree(run, old)
    card = Card.read(old / "card.json").model_copy(update={"appearance": None})
    RunFolder(old).write_card(card)
    said: list[str] = []
    api.profile(yellow, old, tmp_path / "lab.json", say=said.append)
    assert any("compared with PBC" in line for line in said)


def test_mistakes_are_one_line(run: Path, yellow: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a profile is a \.json file"):
        api.profile(yellow, run, tmp_path / "lab.txt")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match="no images there"):
        api.profile(empty, run, tmp_path / "lab.json")
    (empty / "broken.png").write_bytes(b"\x89PNG")
    with pytest.raises(DataError, match="no image can be read"):
        api.profile(empty, run, tmp_path / "lab.json")
    with pytest.raises(CheckpointError, match="missing"):
        Classifier.load(run, lab=tmp_path / "absent.json")
    assert not (tmp_path / "lab.json").exists()
