"""Fields of a session: where its cells lie, and what of the photographs is kept."""

import contextlib
import io
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from stainproof.data.images import Images
from stainproof.serve.fields import FieldPictures, hash_of
from stainproof.serve.records import StoredField
from stainproof.synthetic.fields import draw_field
from tests.common.image_files import write_png_16
from tests.common.served import png, serving, train_tiny, uploads

LABELS = ("neutrophil", "lymphocyte", "eosinophil")


@pytest.fixture(scope="module")
def run(shared_cell_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_tiny(shared_cell_folder, tmp_path_factory.mktemp("runs") / "tiny")


@pytest.fixture(scope="module")
def drawn() -> tuple[Images, list[Any]]:
    return draw_field(np.random.default_rng(1), LABELS)


def send(client: TestClient, rgb: Images) -> dict[str, Any]:
    answer = client.post("/api/cells", files=[("images", ("smear.png", png(rgb)))])
    assert answer.status_code == 200
    return dict(answer.json())


def field_of(client: TestClient, cell: int = 1) -> dict[str, Any]:
    return dict(client.get(f"/api/cells/{cell}/field").json())


def test_a_cell_of_a_field_has_its_box_and_the_field_its_picture(
    run: Path, drawn: tuple[Images, list[Any]]
) -> None:
    rgb, cells = drawn
    with serving(run, has_fields=True) as client:
        ids = [one["id"] for one in send(client, rgb)["cells"]]
        found = field_of(client, ids[0])
        assert (found["name"], found["width"], found["height"]) == ("smear.png", 480, 480)
        assert found["is_available"] and [one["cell"] for one in found["boxes"]] == ids
        for cell in cells:
            assert any(
                box["x0"] < cell.x_px < box["x1"] and box["y0"] < cell.y_px < box["y1"]
                for box in found["boxes"]
            )
        answer = client.get(f"/api/cells/{ids[0]}/field/picture")
        assert answer.headers["content-type"] == "image/jpeg"
        shown = np.asarray(Image.open(io.BytesIO(answer.content))).astype(int)
        assert shown.shape == rgb.shape and np.abs(shown - rgb).mean() < 5
        assert all(one["has_field"] for one in client.get("/api/session").json()["cells"])


def test_a_cell_with_a_file_of_its_own_has_no_field(run: Path) -> None:
    with serving(run) as client:
        (first, *_) = client.post("/api/cells", files=uploads()).json()["cells"]
        assert not first["has_field"]
        for path in ("field", "field/picture"):
            assert client.get(f"/api/cells/{first['id']}/{path}").status_code == 404
            assert client.get(f"/api/cells/999/{path}").status_code == 404


def test_a_session_keeps_the_boxes_but_not_the_field(
    run: Path, drawn: tuple[Images, list[Any]], tmp_path: Path
) -> None:
    rgb, _ = drawn
    session = tmp_path / "a.session"
    with serving(run, has_fields=True, session=session) as client:
        ids = [one["id"] for one in send(client, rgb)["cells"]]
    with contextlib.closing(sqlite3.connect(session)) as database:
        (field,) = database.execute("SELECT * FROM fields")
        largest = max(len(picture) for (picture,) in database.execute("SELECT picture FROM cells"))
    assert not any(isinstance(value, bytes) for value in field)
    num_bytes = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert num_bytes < len(ids) * largest + 100_000 < rgb.nbytes
    with serving(run, has_fields=True, session=session) as client:
        found = field_of(client)
        assert not found["is_available"] and [one["cell"] for one in found["boxes"]] == ids
        assert client.get("/api/cells/1/field/picture").status_code == 404
        again = send(client, rgb)  # the field is there again, its cells are not added twice
        assert again["cells"] == [] and again["num_known"] == len(ids)
        assert field_of(client)["is_available"]


def test_a_field_of_the_folder_is_read_again_unless_it_was_changed(
    run: Path, drawn: tuple[Images, list[Any]], tmp_path: Path
) -> None:
    rgb, _ = drawn
    session, path = tmp_path / "a.session", tmp_path / "slide" / "smear.png"
    path.parent.mkdir()
    path.write_bytes(png(rgb))
    settings: dict[str, Any] = {"has_fields": True, "session": session}
    with serving(run, folder=path.parent, **settings) as client:
        assert client.post("/api/folder", json={}).json()["cells"]
    with serving(run, folder=path.parent, **settings) as client:
        assert field_of(client)["is_available"]
    with serving(run, **settings) as client:  # a file outside the folder is not opened
        assert not field_of(client)["is_available"]
    path.write_bytes(png(rgb[::-1]))
    with serving(run, folder=path.parent, **settings) as client:
        assert not field_of(client)["is_available"]
    path.write_bytes(b"no picture any more")
    with serving(run, folder=path.parent, **settings) as client:
        assert not field_of(client)["is_available"]


def test_12_bit_images_of_the_folder_are_as_bright_as_they_are(run: Path, tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    rgb[0, 0] = 255
    path = write_png_16(tmp_path / "cell.png", rgb.astype(np.uint16) * 16)
    with serving(run, folder=tmp_path) as client:
        (cell,) = client.post("/api/folder", json={}).json()["cells"]
        picture = client.get(f"/api/cells/{cell['id']}/picture").content
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(picture))), rgb)
    pictures = FieldPictures([path], bits=12)
    assert pictures.get(StoredField("a", hash_of(rgb), 40, 40, str(path), {})) is not None


def test_pictures_of_fields_take_no_more_memory_than_allowed() -> None:
    rng = np.random.default_rng(0)
    fields = [rng.integers(0, 256, (60, 80, 3), dtype=np.uint8) for _ in range(5)]
    size = len(FieldPictures().put("", fields[0]))
    kept = FieldPictures(num_bytes=round(3.5 * size))
    stored = [StoredField("a", hash_of(rgb), 80, 60, "", {}) for rgb in fields]
    for one, rgb in zip(stored, fields, strict=True):
        kept.put(one.sha256, rgb)
        assert kept.get(stored[0]) is not None  # the one seen last stays
    assert [kept.get(one) is not None for one in stored] == [True, False, False, True, True]


def test_a_session_of_an_earlier_version_takes_boxes(
    run: Path, drawn: tuple[Images, list[Any]], tmp_path: Path
) -> None:
    rgb, _ = drawn
    session = tmp_path / "a.session"
    with serving(run, has_fields=True, session=session) as client:
        num = len(send(client, rgb)["cells"])
    with sqlite3.connect(session) as database:
        database.execute("DROP TABLE boxes")
        database.execute("DROP TABLE fields")
    database.close()
    with serving(run, has_fields=True, session=session) as client:
        cells = client.get("/api/session").json()["cells"]
        assert len(cells) == num and not any(one["has_field"] for one in cells)
        assert send(client, rgb)["num_known"] == num
        assert len(field_of(client)["boxes"]) == num
