"""Files that `benchmarks.reliability.fuzz` found: each once ended in a traceback or unclearly."""

import io
import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stainproof.audit import cleaning, findings
from stainproof.audit.summary import AuditSummary
from stainproof.cells.boxes import read_boxes
from stainproof.config.schema import SourceConfig
from stainproof.data import npz
from stainproof.data.decoding import decode
from stainproof.data.listing import Listing
from stainproof.data.manifest import list_manifest
from stainproof.errors import CheckpointError, DataError
from stainproof.files import read_bytes
from stainproof.runs.folder import RunFolder
from stainproof.serve.records import ModelFacts, NewCell
from stainproof.serve.store import Store

MODEL = ModelFacts("abc", ("ig", "platelet"))


def test_a_png_file_of_colour_numbers_without_a_palette_is_refused(tmp_path: Path) -> None:
    content = io.BytesIO()
    Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4)).convert("P").save(content, "PNG")
    png = content.getvalue()
    start = png.index(b"PLTE") - 4
    end = start + 12 + int.from_bytes(png[start : start + 4])
    (tmp_path / "cell.png").write_bytes(png[:start] + png[end:])
    with pytest.raises(DataError, match=r"cell\.png: damaged or cut short \(AssertionError\)"):
        decode(tmp_path / "cell.png")


@pytest.mark.parametrize("number", [10**400, -(10**400)])
@pytest.mark.parametrize("key", ["bbox", "score"])
def test_numbers_beyond_a_float_in_coco_boxes_are_refused(
    tmp_path: Path, key: str, number: int
) -> None:
    box = {"image_id": 1, "bbox": [0, 0, 5, 5], "score": 1}
    box[key] = [0, 0, number, 5] if key == "bbox" else number
    tree = {"images": [{"id": 1, "file_name": "a.png"}], "annotations": [box]}
    (tmp_path / "boxes.json").write_text(json.dumps(tree))
    with pytest.raises(DataError, match=r"boxes\.json: damaged boxes \(int too large"):
        read_boxes(tmp_path / "boxes.json")


def test_damaged_statistics_of_a_parquet_column_do_not_end_the_process() -> None:
    path = Path(__file__).with_name("fuzz_findings") / "statistics.parquet"
    code = (
        "from pathlib import Path\n"
        "from stainproof.config.schema import SourceConfig\n"
        "from stainproof.data.manifest import list_manifest\n"
        f"list_manifest(Path({str(path)!r}), SourceConfig())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "statistics.parquet: not a readable .parquet table" in done.stderr.splitlines()[-1]


def test_a_parquet_column_of_fewer_rows_than_the_table_is_refused() -> None:
    path = Path(__file__).with_name("fuzz_findings") / "short_column.parquet"
    with pytest.raises(DataError, match=r"not a readable .parquet table \(8 rows, 0 in column"):
        list_manifest(path, SourceConfig())


@pytest.mark.parametrize("order", ["<", ">"])
def test_class_names_beyond_unicode_are_refused(tmp_path: Path, order: str) -> None:
    names = np.array([[0x61, 0x11FFFF, 0x62], [0x63, 0x64, 0x65]], np.dtype(np.uint32))
    classes = names.astype(f"{order}u4").view(f"{order}U3")[:, 0]
    images = np.zeros((4, 8, 8, 3), np.uint8)
    np.savez(tmp_path / "cells.npz", images=images, labels=np.arange(4) % 2, classes=classes)
    with pytest.raises(DataError, match=r"cells\.npz: classes must be Unicode text"):
        npz.list_npz(tmp_path / "cells.npz")


@pytest.mark.parametrize(
    ("labels", "message"),
    [(("ig", "platelet"), "has two, 'ig' and 'platelet'"), (("x", "x"), "'x' is no class of")],
)
def test_a_wrong_new_label_names_the_table(
    tmp_path: Path, labels: tuple[str, str], message: str
) -> None:
    found = [
        findings.Finding("a.png", "outlier", "", 0.5, 0.4, "review", label) for label in labels
    ]
    findings.write_csv(tmp_path / "audit.csv", found)
    listing = Listing("cells", ("a.png", "b.png"), np.arange(2), MODEL.classes)
    with pytest.raises(DataError, match=rf"audit\.csv: new_label: .*{message}"):
        cleaning.apply(listing, tmp_path)


@pytest.fixture
def session(tmp_path: Path) -> Path:
    """A session with two cells and a decision."""
    store = Store(tmp_path / "a.session", MODEL)
    probs = np.array([0.25, 0.75], np.float32)
    store.add([NewCell(f"{i}.png", "", f"{i}", b"picture", probs) for i in range(2)])
    store.decide(1, {1: ("ig", True)})
    store.close()
    return tmp_path / "a.session"


STATEMENTS = {
    "probabilities cut short": "UPDATE cells SET probs = x'00' WHERE id = 2",
    "probabilities that are no numbers": "UPDATE cells SET probs = x'0000c07f0000803f'",
    "probabilities as text": "UPDATE cells SET probs = '12345678'",
    "a picture as number": "UPDATE cells SET picture = 1",
    "a name that is not UTF-8": "UPDATE cells SET name = CAST(x'ff' AS TEXT)",
    "a seed that is no number": "UPDATE facts SET value = 'x' WHERE name = 'seed'",
    "a fact as bytes": "UPDATE facts SET value = x'ff' WHERE name = 'weights_sha256'",
    "another class": "UPDATE decisions SET label = 'other'",
    "another cell": "UPDATE decisions SET cell = 9",
    "a third reviewer": "UPDATE decisions SET reviewer = 3",
    "steps that have ended": f"UPDATE decisions SET step = {2**63 - 1}",
    "a missing column": "ALTER TABLE decisions DROP COLUMN made",
    "a trigger": "CREATE TRIGGER t AFTER INSERT ON cells BEGIN DELETE FROM cells; END",
    "a seed of too many digits": f"UPDATE facts SET value = '{'1' * 5000}' WHERE name = 'seed'",
    "decisions that are undone": "PRAGMA writable_schema = ON; UPDATE sqlite_master "
        "SET sql = replace(sql, 'DEFAULT 0', 'DEFAULT 1') WHERE name = 'decisions'",
    "cells that are not added": "ALTER TABLE cells ADD COLUMN c CHECK (id <= 2)",
    "another index": "CREATE UNIQUE INDEX one_decision ON decisions (reviewer)",
    "another index of the same name": "DROP INDEX decisions_of; "
        "CREATE UNIQUE INDEX decisions_of ON decisions (reviewer)",
    "a view": "ALTER TABLE cells RENAME TO c; CREATE VIEW cells AS SELECT * FROM c",
}  # fmt: skip


@pytest.mark.parametrize("statement", STATEMENTS.values(), ids=STATEMENTS)
def test_a_session_with_other_content_is_refused_and_kept(session: Path, statement: str) -> None:
    database = sqlite3.connect(session)
    database.executescript(statement)
    database.close()
    before = session.read_bytes()
    with pytest.raises(DataError, match=r"a\.session: (damaged session|not a session file)"):
        Store(session, MODEL)
    assert session.read_bytes() == before


def _zero_page(number: int, content: bytes) -> bytes:
    return content[: 4096 * number] + bytes(4096) + content[4096 * (number + 1) :]


def _damage_schema(content: bytes) -> bytes:
    return content.replace(b"CREATE TABLE facts", b"CREATE T\xffBLE facts")


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    **{f"page {n} lost": partial(_zero_page, n) for n in range(1, 6)},
    "cut short": lambda content: content[:-4096],
    "a schema that is not UTF-8": _damage_schema,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_session_is_refused_and_kept(
    session: Path, damage: Callable[[bytes], bytes]
) -> None:
    content = damage(session.read_bytes())
    session.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.session: (damaged session|not a session file)"):
        Store(session, MODEL)
    assert session.read_bytes() == content


def test_a_sound_session_is_opened_again(session: Path) -> None:
    for _ in range(2):
        store = Store(session, MODEL)
        assert store.num_cells() == 2 and store.decisions(1)[1].label == "ig"
        store.decide(2, {2: ("unclassified", False)})
        store.close()


def test_a_session_whose_index_is_damaged_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.session"
    shutil.copy(Path(__file__).with_name("fuzz_findings") / "index.session", path)
    model = ModelFacts("0" * 64, ("basophil", "platelet", "monocyte"))
    with pytest.raises(DataError, match=r"a\.session: (damaged session|not a session file)"):
        Store(path, model)


def test_a_file_that_is_larger_than_it_says_is_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fstat", lambda number: os.stat_result((stat.S_IFREG, *[0] * 9)))
    assert len(read_bytes(Path(__file__))) == Path(__file__).stat().st_size
    with pytest.raises(OSError, match="larger than"):
        read_bytes(Path(__file__), 100)


def test_a_small_file_is_read_without_the_memory_of_a_large_one(tmp_path: Path) -> None:
    path = tmp_path / "small"
    path.write_bytes(b"abc")
    tracemalloc.start()
    assert read_bytes(path, 2**30) == b"abc"
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20


def test_half_of_a_surrogate_pair_in_json_is_refused(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.json"
    manifest.write_text(r'{"files": {"a.png": ["\ud800"]}}')
    with pytest.raises(CheckpointError, match=r"manifest\.json: not"):
        RunFolder(tmp_path).settle()
    manifest.write_text(r'{"files": {"a.png": ["\ud83d\ude00"]}}')
    RunFolder(tmp_path).settle()


def test_a_summary_of_an_audit_whose_settings_are_a_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "audit.json").write_text('{"schema_version": 2, "settings": ""}')
    with pytest.raises(CheckpointError, match=r"audit\.json: not a auditsummary file"):
        AuditSummary.read(tmp_path / "audit.json")
