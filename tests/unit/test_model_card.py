"""Model cards and Croissant metadata, made from the files of a run."""

import json
import shutil
from pathlib import Path

import pytest

from stainproof import api
from stainproof.errors import CheckpointError, ConfigError
from stainproof.files import sha256_of
from stainproof.reports.model_card import text
from stainproof.runs.folder import RunFolder
from tests.common.cells import CLASSES, write_cells
from tests.common.command import run_command
from tests.common.tiny import tiny_config


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("carded")
    cells = write_cells(folder / "cells")
    api.train(cells, folder / "run", tiny_config("training.epochs=1"))
    api.evaluate(folder / "run", write_cells(folder / "elsewhere", seed=5))
    return folder / "run"


def test_the_card_has_the_figures_of_every_evaluation(run: Path) -> None:
    page = api.write_model_card(run).read_text()
    result = api.evaluate(run, run.parent / "elsewhere")
    assert f"| elsewhere | 24 | {result.accuracy.percent()} |" in page
    for one in result.per_class:
        assert one.sensitivity is not None
        assert f"| {one.name} | {one.num_images} | {one.sensitivity.percent()} |" in page
    assert "### validation" in page
    assert RunFolder(run).read_card().weights_sha256 in page


def test_the_card_has_the_balanced_accuracy_by_corruption_and_severity(
    run: Path, tmp_path: Path
) -> None:
    shutil.copytree(run, tmp_path / "run")
    result = api.evaluate_corruptions(tmp_path / "run", run.parent / "elsewhere")
    page = api.write_model_card(tmp_path / "run").read_text()
    assert "## Corruptions: elsewhere" in page
    values = result.balanced_accuracy["motion_blur"]
    row = " | ".join(f"{100 * value:.1f}" for value in (*values, sum(values) / 5))
    assert f"| motion blur | {row} |" in page
    assert f"- balanced accuracy: {result.mean.percent()}; not corrupted" in page


def test_pictures_of_the_mistakes_are_those_in_the_run_folder(run: Path) -> None:
    page = api.write_model_card(run).read_text()
    places = [part.partition(")")[0] for part in page.split("![](")[1:]]
    assert places
    assert all((run / place).is_file() for place in places)


def test_what_nobody_said_is_not_stated_and_what_is_said_is_there(
    run: Path, tmp_path: Path
) -> None:
    assert "| Licence | not stated |" in api.write_model_card(run).read_text()
    about = tmp_path / "about.toml"
    about.write_text(
        'intended_use = "Sorting <b>cells</b>"\nrepeat = "make it"\n[data]\nlicence = "CC BY 4.0"\n'
    )
    page = api.write_model_card(run, tmp_path / "out", about).read_text()
    assert "| Licence | CC BY 4.0 |" in page
    assert "| Command | make it |" in page
    assert "Sorting &lt;b\\>cells" in page
    metadata = json.loads((tmp_path / "out" / "croissant.json").read_text())
    assert metadata["license"] == "CC BY 4.0"


def test_croissant_metadata_has_the_classes_with_their_counts_and_the_hashed_list(
    run: Path,
) -> None:
    api.write_model_card(run)
    metadata = json.loads((run / "croissant.json").read_text())
    classes, images = metadata["recordSet"]
    counts = RunFolder(run).read_card().data.class_counts
    assert [row["classes/name"] for row in classes["data"]] == list(CLASSES)
    assert [row["classes/train"] for row in classes["data"]] == list(counts["train"].values())
    (file,) = metadata["distribution"]
    assert file["sha256"] == sha256_of(run / file["contentUrl"])
    header = (run / "splits.csv").read_text().splitlines()[0].split(",")
    assert [field["source"]["extract"]["column"] for field in images["field"]] == header


def test_texts_cannot_leave_their_cell_or_become_markup() -> None:
    assert text("a|b\n<script>[x](y)`") == r"a\|b &lt;script\>\[x\](y)\`"


def test_evaluations_of_other_weights_are_refused(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    path = tmp_path / "run" / "evaluations" / "elsewhere" / "eval.json"
    tree = json.loads(path.read_text())
    path.write_text(json.dumps(tree | {"weights_sha256": "0" * 64}))
    with pytest.raises(CheckpointError, match="evaluates other weights than the run's"):
        api.write_model_card(tmp_path / "run")


def test_an_unknown_key_of_the_texts_is_refused(run: Path, tmp_path: Path) -> None:
    (tmp_path / "about.toml").write_text("author = 'x'\n")
    with pytest.raises(ConfigError, match="author is unknown; allowed: "):
        api.write_model_card(run, tmp_path, tmp_path / "about.toml")
    assert not (tmp_path / "MODEL_CARD.md").exists()


def test_the_command_names_the_card(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    done = run_command(monkeypatch, capfd, "card", run, "--out", tmp_path / "cards")
    assert (done.code, done.out.strip()) == (0, str(tmp_path / "cards" / "MODEL_CARD.md"))
