"""Names as text: printable, and no formulas to a spreadsheet; our commands restore them."""

import csv
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from stainproof import api
from stainproof.audit.checks import run_checks, summarise
from stainproof.audit.findings import Finding, read_csv, write_csv
from stainproof.audit.summary import AuditSummary
from stainproof.config.schema import AuditConfig, SourceConfig
from stainproof.data import sources
from stainproof.data.manifest import list_manifest
from stainproof.data.stream import Item
from stainproof.errors import DataError
from stainproof.inference.tables import write_predictions
from stainproof.text import printable, quote_formula, unquote_formula

FORMULAS = ("=1+1", "+x", "-1.png", "@a", "\tb", "\rc", "'=d", "''+e")
TEXTS = st.text() | st.text("'=+-@\t\ra", max_size=5)


@given(TEXTS)
def test_a_quoted_text_is_no_formula_and_is_restored(text: str) -> None:
    quoted = quote_formula(text)
    assert not quoted.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert unquote_formula(quoted) == text


@given(st.binary(max_size=20))
def test_any_file_name_becomes_text_that_prints(name: bytes) -> None:
    text = printable(os.fsdecode(name))
    text.encode("utf-8")
    assert not set(text) & set("\n\r\t\x1b\u202e\u2028") and printable(text) == text


def test_names_of_people_are_printed_as_they_are() -> None:
    assert printable("Sézary 細胞\u3000\xa0\u200d.png") == "Sézary 細胞\u3000\xa0\u200d.png"


@pytest.fixture
def items() -> list[Item]:
    rgb = np.zeros((4, 4, 3), np.uint8)
    return [Item(name, rgb) for name in FORMULAS] + [Item("-x.png", None, "-x.png: damaged")]


@pytest.fixture
def classifier() -> Any:
    classes = ("=cmd", "b")
    return SimpleNamespace(
        classes=classes,
        predict_standardised=lambda images: np.tile([0.75, 0.25], (len(images), 1)),
    )


def test_no_cell_of_a_csv_of_predictions_is_a_formula(
    tmp_path: Path, items: list[Item], classifier: Any
) -> None:
    write_predictions(classifier, items, tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["name", "label", "'=cmd", "b", "error"]
    assert not [cell for row in rows for cell in row if cell.startswith(tuple("=+-@\t\r"))]
    assert [unquote_formula(row[0]) for row in rows] == [*FORMULAS, "-x.png"]
    assert rows[0][1] == "'=cmd" and rows[-1][-1] == "'-x.png: damaged"


def test_parquet_and_json_lines_keep_the_names(
    tmp_path: Path, items: list[Item], classifier: Any
) -> None:
    write_predictions(classifier, items, tmp_path / "t.parquet")
    table = pyarrow.parquet.read_table(tmp_path / "t.parquet")
    assert table["name"].to_pylist() == [*FORMULAS, "-x.png"]
    assert table.column_names == ["name", "label", "=cmd", "b", "error"]
    write_predictions(classifier, items, tmp_path / "t.jsonl")
    rows = map(json.loads, (tmp_path / "t.jsonl").read_text().splitlines())
    assert [row["name"] for row in rows] == [*FORMULAS, "-x.png"]


def test_names_survive_the_table_of_findings(tmp_path: Path) -> None:
    names = [name for name in FORMULAS if "\r" not in name]  # which no name of a source has
    found = [Finding(name, "outlier", name, -0.5, 0.1, "drop", new_label=name) for name in names]
    write_csv(tmp_path / "audit.csv", found)
    with (tmp_path / "audit.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert all(row[name].startswith("'") for row in rows for name in ("file", "group", "new_label"))
    assert read_csv(tmp_path / "audit.csv") == found


def write_cells(folder: Path) -> Path:
    """Write class folders named `+` and `-` with files named like formulas, line breaks and text
    that runs from right to left."""
    names = [f"{name}_{n}.png" for n, name in enumerate((*FORMULAS, "a\nb", "\x1b[2J", "\u202ex"))]
    for label in "+-":
        (folder / label).mkdir(parents=True)
        for name in [*names, "y" * 251 + ".png"]:
            Image.new("RGB", (8, 8)).save(folder / label / name)
    return folder


def test_a_manifest_written_by_clean_finds_all_files_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_cells(tmp_path / "cells")
    before = sources.list_source(folder)
    (tmp_path / "audit").mkdir()
    write_csv(tmp_path / "audit" / "audit.csv", [])
    monkeypatch.chdir(folder)
    api.clean(".", "../audit", "m.csv")
    after = list_manifest(Path("m.csv"), SourceConfig())
    assert after.names == before.names and after.classes == before.classes == ("+", "-")
    assert all(path.is_file() for path in after.paths)
    lines = Path("m.csv").read_text(encoding="utf-8").splitlines()
    assert not [line for line in lines if line.strip('"').startswith(("=", "+", "-", "@"))]


def test_cleaning_into_a_folder_keeps_files_of_equal_and_long_names(tmp_path: Path) -> None:
    long = "y" * 251 + ".png"
    for patient in ("P1", "P2"):
        for label in ("a", "b"):
            (tmp_path / "cells" / label / patient).mkdir(parents=True)
            Image.new("RGB", (8, 8)).save(tmp_path / "cells" / label / patient / long)
    (tmp_path / "audit").mkdir()
    write_csv(tmp_path / "audit" / "audit.csv", [])
    options = SourceConfig(layout="{label}/**")
    assert api.clean(tmp_path / "cells", tmp_path / "audit", tmp_path / "out", options=options) == (
        4,
        0,
    )
    assert len(list((tmp_path / "out").rglob("*.png"))) == 4


@pytest.mark.parametrize("name", ["\x1b[31mred", "a\nb", "\u202egnp", "y" * 255])
def test_class_folders_that_do_not_print_are_refused_in_one_line(tmp_path: Path, name: str) -> None:
    for label in (name, "b"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "1.png").touch()
    with pytest.raises(DataError, match="is not allowed; use letters") as caught:
        sources.list_source(tmp_path)
    assert str(caught.value).isprintable()


def test_two_classes_that_are_written_alike_are_refused(tmp_path: Path) -> None:
    for label in (b"x\xff", b"x\xfe"):
        folder = tmp_path / os.fsdecode(label)
        folder.mkdir()
        (folder / "1.png").touch()
    with pytest.raises(DataError, match="two classes are both written"):
        sources.list_source(tmp_path)


def test_an_audit_against_a_folder_whose_name_is_no_text_is_written(
    tmp_path: Path, cell_folder: Path
) -> None:
    found = run_checks(sources.list_source(cell_folder), AuditConfig())
    summarise(found, os.fsdecode(b"other_\xff"), None, 0.0).write(tmp_path / "audit.json")
    assert AuditSummary.read(tmp_path / "audit.json").compared_with == "other_\\xff"
