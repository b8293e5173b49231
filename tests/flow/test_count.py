import csv
import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stainproof import api
from stainproof.data import stream
from stainproof.errors import CheckpointError, DataError
from stainproof.evaluation.count_result import Count
from stainproof.evaluation.counter import predict_cells
from stainproof.evaluation.counter_on_cluster import predict_cells_on_cluster
from stainproof.inference.classifier import Classifier
from stainproof.runs.folder import RunFolder
from stainproof.scale import prediction
from stainproof.synthetic.fields import draw_field
from tests.common.command import run_command
from tests.common.image_files import write_png_16
from tests.common.tiny import tiny_config


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, phantoms: Path) -> Path:
    folder = tmp_path_factory.mktemp("count") / "run"
    api.train(phantoms, folder, tiny_config())
    return folder


@pytest.fixture
def cells(phantoms: Path, tmp_path: Path) -> Path:
    """A folder of 30 cells, one of them with a name that a page and a spreadsheet could run."""
    folder = tmp_path / "cells"
    folder.mkdir()
    for index, path in enumerate(sorted(phantoms.rglob("*.png"))[::4]):
        shutil.copy(path, folder / f"{index:02d}.png")
    (folder / "05.png").rename(folder / "<b>05.png")
    return folder


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "cells.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_count_is_a_table_a_file_and_a_page(run: Path, cells: Path, tmp_path: Path) -> None:
    out = tmp_path / "count"
    found = api.count(run, [str(cells)], out, threshold=0)
    assert found == Count.read(out / "count.json")
    assert sum(one.num for one in found.classes.values()) == found.num_cells == 30
    rows = rows_of(out)
    assert len(rows) == 30
    for name, one in found.classes.items():
        assert sum(row["label"] == name for row in rows) == one.num
    page = (out / "count.html").read_text()
    assert "<b>05" not in page and "&lt;b&gt;05" in page
    assert page.count("<img ") == 24
    assert found.assumption.replace("'", "&#39;") in page
    tree = json.loads((out / "count.json").read_text())
    assert {"num", "percent", "low", "high"} < set(tree["classes"]["neutrophil"])


def test_a_filled_table_of_cells_confirms_them(run: Path, cells: Path, tmp_path: Path) -> None:
    out = tmp_path / "count"
    api.count(run, [str(cells)], out)
    rows = rows_of(out)
    for row in rows:
        row["confirmed"] = "neutrophil"
    rows[3]["confirmed"] = "blast"
    with (out / "cells.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)
    found = api.count(run, [str(cells)], out, confirmed=out / "cells.csv")
    assert found.num_confirmed == found.num_white == 30
    assert (found.classes["neutrophil"].num, found.classes["blast"].num) == (29, 1)
    assert [row["label"] for row in rows_of(out)].count("blast") == 1
    assert "Cells to look at first" not in (out / "count.html").read_text()


def test_the_errors_of_another_laboratory_replace_those_at_home(
    run: Path, phantoms: Path, cells: Path, tmp_path: Path
) -> None:
    api.evaluate(run, phantoms, tmp_path / "here")
    found = api.count(run, [str(cells)], tmp_path / "count", errors=tmp_path / "here")
    assert found.num_errors_cells == 120
    assert found.errors_from in found.assumption
    again = api.count(run, [str(cells)], tmp_path / "again", errors=tmp_path / "here")
    assert again.classes == found.classes


def test_images_that_cannot_be_read_are_counted_apart(
    run: Path, cells: Path, tmp_path: Path
) -> None:
    (cells / "broken.png").write_bytes(b"no image")
    found = api.count(run, [str(cells)], tmp_path / "count")
    assert (found.num_cells, found.num_unreadable) == (30, 1)
    assert any("could not be read" in line for line in found.warnings)
    assert rows_of(tmp_path / "count")[-1]["error"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("name,confirmed\nno.png,ig\n", "1 confirmed cells are not among the images"),
        ("name,confirmed\na,\n", "column 'confirmed' has no class"),
        ("name,label\na,ig\na,ig\n", "is confirmed twice"),
        ("name,other\na,ig\n", "column 'label' is missing"),
        ("name,confirmed\na,../x\n", "not allowed"),
    ],
)
def test_a_table_that_confirms_nothing_is_refused_and_nothing_is_written(
    run: Path, cells: Path, tmp_path: Path, table: str, message: str
) -> None:
    (tmp_path / "known.csv").write_text(table)
    with pytest.raises(DataError, match=message):
        api.count(run, [str(cells)], tmp_path / "count", confirmed=tmp_path / "known.csv")
    assert not list(tmp_path.glob("count/*"))


@pytest.fixture
def smear(tmp_path: Path) -> Path:
    """A folder of two photographs with five white cells, and a damaged one."""
    folder = tmp_path / "smear"
    folder.mkdir()
    for seed, labels in ((1, ("neutrophil", "lymphocyte", "eosinophil")), (2, ("monocyte", "ig"))):
        rgb, _ = draw_field(np.random.default_rng(seed), labels)
        Image.fromarray(rgb).save(folder / f"{seed}.png")
    (folder / "broken.png").write_bytes(b"no image")
    return folder


def test_the_cells_of_fields_are_those_of_the_table_of_predictions(
    run: Path, smear: Path, tmp_path: Path
) -> None:
    found = api.count(run, [str(smear)], tmp_path / "count", fields=True)
    api.predict_fields(run, [str(smear)], tmp_path / "cells.csv")
    with (tmp_path / "cells.csv").open(newline="") as file:
        predicted = {row["name"]: row["label"] for row in csv.DictReader(file) if row["label"]}
    counted = {row["name"]: row["predicted"] for row in rows_of(tmp_path / "count")}
    broken = str(smear / "broken.png")
    assert counted == predicted | {broken: ""}
    assert len({name.partition("#")[0] for name in predicted}) == 2
    assert (found.num_cells, found.num_unreadable) == (len(predicted), 1)
    again = api.count(
        run, [str(smear)], tmp_path / "again", fields=True, red_cell_px=40.0,
        confirmed=confirm(tmp_path / "count", "neutrophil"),
    )  # fmt: skip
    assert again.num_confirmed == again.classes["neutrophil"].num == len(predicted)


def confirm(folder: Path, label: str) -> Path:
    """Confirm all cells of a count as one class; return the table."""
    rows = [row | {"confirmed": label} for row in rows_of(folder) if row["label"]]
    with (folder / "cells.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)
    return folder / "cells.csv"


def test_fields_without_a_cell_are_an_error_that_says_why(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(np.full((300, 300, 3), 230, np.uint8)).save(tmp_path / "empty.png")
    words = ("count", run, tmp_path / "empty.png", "--fields", "--out", tmp_path / "count")
    done = run_command(monkeypatch, capfd, *words)
    assert done.code == 2 and "no cell to count" in done.err
    assert "1 fields skipped; first: " in done.out + done.err
    assert "no red cells and no nuclei to measure the scale by" in done.out + done.err
    assert not list(tmp_path.glob("count/*"))


def test_a_folder_without_a_readable_image_is_an_error(run: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="no cell"):
        api.count(run, [str(tmp_path / "broken.png")], tmp_path / "count")


def test_the_same_image_twice_is_refused(run: Path, cells: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="two files are both written"):
        api.count(run, [str(cells), str(cells / "01.png")], tmp_path / "count")


def test_a_run_without_its_own_evaluation_needs_the_option(
    run: Path, cells: Path, tmp_path: Path
) -> None:
    shutil.copytree(run, tmp_path / "bare")
    shutil.rmtree(RunFolder(tmp_path / "bare").home)
    with pytest.raises(CheckpointError, match="--errors"):
        api.count(tmp_path / "bare", [str(cells)], tmp_path / "count")


def test_the_command_prints_the_table_and_warns(
    run: Path,
    cells: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    words = ("count", run, cells, "--out", tmp_path / "count", "--margin", "30")
    done = run_command(monkeypatch, capfd, *words)
    assert done.code == 0
    assert "neutrophil" in done.out and "95 % interval" in done.out
    assert "a differential count needs 100" in done.err
    for wrong in (("--threshold", "2"), ("--fields", "--bits", "12"), ("--red-cell-px", "40")):
        words = ("count", run, cells, "--out", tmp_path / "other", *wrong)
        done = run_command(monkeypatch, capfd, *words)
        assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert not (tmp_path / "other").exists()


def test_grey_and_oblong_images_are_counted(run: Path, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 60), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "grey.png")
    assert api.count(run, [str(tmp_path / "grey.png")], tmp_path / "count").num_cells == 1


class LocalCalls:
    """Runs the calls of a cluster in this process."""

    def run(self, calls: Iterable[Callable[[], Any]]) -> Iterator[tuple[int, Any]]:
        return enumerate(call() for call in calls)


def test_pictures_of_a_count_on_a_cluster_have_the_bit_depth_of_the_whole_set(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction, "cluster", lambda address: nullcontext(LocalCalls()))
    cells = tmp_path / "cells"
    cells.mkdir()
    noise = np.random.default_rng(0).random((32, 32, 3))
    for highest in (300, 900, 4095):  # alone: no bit depth, 10 bits, 12 bits
        values = (noise / noise.max() * highest).astype(np.uint16)
        write_png_16(cells / f"{highest}.png", values)
    classifier = Classifier.load(run)
    found = predict_cells_on_cluster(run, [str(cells)], tmp_path / "out", "local", classifier)
    items = stream.read(stream.find([str(cells)]), classifier.preprocessing)
    expected = predict_cells(classifier, items)
    assert [cell.name for cell in found.unsure] == [cell.name for cell in expected.unsure]
    for one, other in zip(found.unsure, expected.unsure, strict=True):
        assert np.array_equal(one.rgb, other.rgb)
