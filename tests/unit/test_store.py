import sqlite3
from pathlib import Path

import numpy as np
import pytest

from stainproof.errors import ConfigError, DataError
from stainproof.serve.records import ModelFacts, NewCell
from stainproof.serve.store import BLIND_SHARE, Store

MODEL = ModelFacts("abc", ("ig", "platelet"))


def cells(num: int, start: int = 0) -> list[NewCell]:
    probs = np.array([0.25, 0.75], np.float32)
    return [
        NewCell(f"{i}.png", "", f"hash {i}", b"picture %d" % i, probs)
        for i in range(start, start + num)
    ]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.session"


def test_cells_come_back_as_they_were_added(path: Path) -> None:
    store = Store(path, MODEL)
    assert store.add(cells(3)) == [1, 2, 3]
    store.close()
    again = Store(path, MODEL)
    assert [cell.name for cell in again.cells()] == ["0.png", "1.png", "2.png"]
    assert again.cells([2])[0].probs.tolist() == [0.25, 0.75]
    assert again.picture(2) == b"picture 1" and again.picture(9) is None


def test_the_same_pixels_are_added_once() -> None:
    store = Store(None, MODEL)
    assert store.add(cells(2)) == [1, 2]
    assert store.add(cells(3)) == [3]
    assert store.num_cells() == 3


def test_the_last_decision_counts_and_undo_takes_back_a_whole_step() -> None:
    store = Store(None, MODEL)
    store.add(cells(3))
    store.decide(1, {1: ("ig", True), 2: ("ig", True)})
    store.decide(1, {1: ("platelet", True)})
    assert store.decisions(1)[1].label == "platelet"
    assert store.undo(1) == [1]
    assert store.decisions(1)[1].label == "ig"
    assert sorted(store.undo(1)) == [1, 2]
    assert store.decisions(1) == {} and store.undo(1) == []


def test_reviewers_decide_and_undo_apart() -> None:
    store = Store(None, MODEL)
    store.add(cells(2))
    store.decide(1, {1: ("ig", True)})
    store.decide(2, {1: ("platelet", True)})
    assert store.undo(1) == [1]
    assert store.decisions(1) == {} and store.decisions(2)[1].label == "platelet"


def test_the_first_decision_is_remembered() -> None:
    store = Store(None, MODEL)
    store.add(cells(1))
    store.decide(1, {1: ("ig", False)})
    store.decide(1, {1: ("platelet", True)})
    first = store.decisions(1, first=True)[1]
    assert first.label == "ig" and not first.was_shown


def test_about_a_tenth_of_the_cells_is_blind_and_the_seed_chooses_them() -> None:
    store, other = Store(None, MODEL, seed=1), Store(None, MODEL, seed=2)
    for one in (store, other):
        one.add(cells(2000))
    first, second = ([cell.id for cell in one.cells() if cell.is_blind] for one in (store, other))
    assert abs(len(first) / 2000 - BLIND_SHARE) < 0.02
    assert first != second


def test_a_second_server_is_refused_the_file(path: Path) -> None:
    store = Store(path, MODEL)
    with pytest.raises(ConfigError, match="another server has this session open"):
        Store(path, MODEL)
    store.close()
    Store(path, MODEL).close()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (ModelFacts("xyz", MODEL.classes), "another model"),
        (ModelFacts("abc", MODEL.classes, "scale 1.5"), "another laboratory profile"),
    ],
)
def test_a_session_of_another_model_or_laboratory_is_refused(
    path: Path, model: ModelFacts, message: str
) -> None:
    Store(path, MODEL).close()
    with pytest.raises(DataError, match=message):
        Store(path, model)
    Store(path, MODEL).close()  # the refusal left no lock behind


@pytest.mark.parametrize("content", [b"no database" * 200, b"\0" * 4096])
def test_a_file_that_is_no_session_is_refused_and_kept(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(DataError, match="not a session file"):
        Store(path, MODEL)
    assert path.read_bytes() == content


def test_a_foreign_database_is_refused_and_kept(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE cells (id INTEGER)")
    before = path.read_bytes()
    with pytest.raises(DataError, match="not a session file"):
        Store(path, MODEL)
    assert path.read_bytes() == before
