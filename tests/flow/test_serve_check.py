"""Checks of unlabelled cells by the server."""

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from benchmarks.serve.hostile_files import FAULTS, attack, memory_mb, warm_up
from stainproof import api
from stainproof.runs.folder import RunFolder
from tests.common.cells import make_cells, write_cells
from tests.common.image_files import png_header
from tests.common.served import Process, png, serving, train_tiny, train_with_reference, uploads

pytestmark = pytest.mark.slow
Upload = tuple[str, tuple[str, bytes]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_with_reference(tmp_path_factory.mktemp("check"))


@pytest.fixture(scope="module")
def client(run: Path) -> Iterator[TestClient]:
    with serving(run) as client:
        yield client


def noise(num: int) -> list[Upload]:
    """Return files of noise, which are no cells."""
    rgb = np.random.default_rng(7).integers(0, 256, (num, 32, 32, 3), dtype=np.uint8)
    return [("images", (f"noise_{index}.png", png(one))) for index, one in enumerate(rgb)]


def test_the_answer_is_the_content_of_check_json(
    run: Path, client: TestClient, tmp_path: Path
) -> None:
    images, _ = make_cells(8, 32, seed=1)
    for index, rgb in enumerate(images):
        (tmp_path / f"cell_{index:02d}.png").write_bytes(png(rgb))
    expected = json.loads(api.check(run, [str(tmp_path)], tmp_path / "out").to_json())
    files = [("images", (path.name, path.read_bytes())) for path in sorted(tmp_path.glob("*.png"))]
    answer = client.post("/v1/check", files=files)
    assert answer.status_code == 200
    found = answer.json()
    assert found.keys() == expected.keys()
    for name in ("verdict", "expected_accuracy", "unlike_share", "num_images", "class_mix"):
        assert (
            found[name] == pytest.approx(expected[name])
            if name == "unlike_share"
            else (found[name] == expected[name])
        )


def test_a_file_that_cannot_be_read_is_counted(client: TestClient) -> None:
    answer = client.post("/v1/check", files=[*uploads(8), ("images", ("a.png", b"no image"))])
    assert answer.json()["num_unreadable"] == 1


def test_too_few_images_are_refused_in_one_line(client: TestClient) -> None:
    answer = client.post("/v1/check", files=uploads(2))
    assert answer.status_code == 422
    assert answer.json()["detail"] == "a check needs 20 images or more, got 6 that can be used"


def test_a_model_without_a_reference_is_refused_in_one_line(tmp_path: Path) -> None:
    run = train_tiny(write_cells(tmp_path / "cells"), tmp_path / "run")
    assert not RunFolder(run).reference.exists()
    with serving(run) as client:
        answer = client.post("/v1/check", files=uploads(8))
        assert answer.status_code == 422
        assert "no reference" in answer.json()["detail"]
        client.post("/api/cells", files=uploads(8))
        assert client.get("/api/check").json() is None


def test_a_session_has_a_verdict_from_20_cells_and_marks_from_the_first(run: Path) -> None:
    with serving(run) as client:
        assert client.get("/api/check").json() is None
        client.post("/api/cells", files=uploads(2))
        few = client.get("/api/check").json()
        assert few["verdict"] is None and few["num_cells"] == 6
        added = client.post("/api/cells", files=noise(30)).json()["cells"]
        found = client.get("/api/check").json()
        assert found["verdict"] == "not fit"
        assert {cell["id"] for cell in added} <= set(found["unlike"])


def test_a_session_is_checked_as_the_same_images_are(run: Path, client: TestClient) -> None:
    files = uploads(10, seed=5)
    alone = client.post("/v1/check", files=files).json()
    with serving(run) as other:
        other.post("/api/cells", files=files)
        found = other.get("/api/check").json()
    assert found["expected_accuracy"] == pytest.approx(alone["expected_accuracy"])
    assert (found["verdict"], found["reasons"]) == (alone["verdict"], alone["reasons"])


def test_an_image_of_the_folder_may_be_larger_than_an_upload(run: Path, tmp_path: Path) -> None:
    (tmp_path / "large.png").write_bytes(png(np.full((4200, 4000, 3), 200, np.uint8)))
    with serving(run, folder=tmp_path) as client:
        (cell,) = client.post("/api/folder", json={"start": 0}).json()["cells"]
        assert client.get("/api/check").status_code == 200
        assert client.get(f"/api/cells/{cell['id']}/explanation").status_code == 200


@pytest.mark.parametrize(
    "picture", [b"", b"no image", png_header(100_000, 100_000)], ids=["empty", "text", "bomb"]
)
def test_a_picture_of_a_session_that_cannot_be_read_is_one_line(
    picture: bytes, run: Path, tmp_path: Path
) -> None:
    session = tmp_path / "a.session"
    with serving(run, session=session) as client:
        (cell, *_) = client.post("/api/cells", files=uploads(1)).json()["cells"]
    with contextlib.closing(sqlite3.connect(session)) as database, database:
        database.execute("UPDATE cells SET picture = ? WHERE id = ?", (picture, cell["id"]))
    with serving(run, session=session) as client:
        check, map_ = (
            client.get(url) for url in ("/api/check", f"/api/cells/{cell['id']}/explanation")
        )
    assert check.status_code == map_.status_code == 409
    assert check.json()["detail"] == f"cell {cell['id']}: {map_.json()['detail']}"


def test_hostile_files_end_in_a_class_or_a_clear_refusal_in_bounded_memory(run: Path) -> None:
    server = Process(run, "--port", 0).wait()
    try:
        warm_up(server.url)
        before = memory_mb(server.process.pid, peak=False)
        outcomes = list(attack(server.url, 60, seed=1))
        peak = memory_mb(server.process.pid, peak=True)
    finally:
        assert server.end() in (0, -15, 143)
    assert [one for one in outcomes if one.what in FAULTS] == []
    assert len(outcomes) == 2 * 60 + 3
    assert peak - before < 500
