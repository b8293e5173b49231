"""The server: predictions, counts, limits, who may ask, and what it keeps."""

import asyncio
import csv
import io
import json
import re
import signal
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from stainproof.data import sources
from stainproof.inference.classifier import Classifier
from stainproof.serve.app import create_app
from stainproof.serve.settings import Limits
from stainproof.synthetic.fields import draw_field
from tests.common.cells import CLASSES, make_cells
from tests.common.command import run_command
from tests.common.image_files import write_png_16
from tests.common.served import Process, make_services, png, serving, train_tiny, uploads

KEY = "a key of twenty-four characters"
NINE_FIELDS = [
    *[b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'] * 9,
    b"--b--\r\n",
]


@pytest.fixture(scope="module")
def run(shared_cell_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_tiny(shared_cell_folder, tmp_path_factory.mktemp("runs") / "tiny")


@pytest.fixture
def client(run: Path) -> Iterator[TestClient]:
    with serving(run) as client:
        yield client


def test_predictions_are_those_of_the_classifier(run: Path, client: TestClient) -> None:
    images, _ = make_cells(2, 32, seed=1)
    answer = client.post("/v1/predict", files=uploads()).json()
    expected = Classifier.load(run).predict_proba(list(images))
    found = [list(one["probabilities"].values()) for one in answer["predictions"]]
    assert answer["classes"] == list(CLASSES)
    assert np.abs(np.array(found) - expected).max() < 1e-4
    assert [one["label"] for one in answer["predictions"]] == [
        CLASSES[index] for index in expected.argmax(axis=1)
    ]


def test_a_16_bit_file_is_decoded_as_everywhere_else(
    run: Path, client: TestClient, tmp_path: Path
) -> None:
    rgb = make_cells(1, 32, seed=1)[0][0].astype(np.uint16) << 4
    path = write_png_16(tmp_path / "deep.png", rgb, [(b"sBIT", bytes([12, 12, 12]))])
    answer = client.post("/v1/predict", files=[("images", path.read_bytes())]).json()
    expected = Classifier.load(run).predict_proba(path)[0]
    found = list(answer["predictions"][0]["probabilities"].values())
    assert np.abs(np.array(found) - expected).max() < 1e-4


def test_a_broken_file_among_others_has_an_error_and_the_others_an_answer(
    client: TestClient,
) -> None:
    files = [*uploads()[:1], ("images", ("broken.png", b"\x89PNG\r\n\x1a\nbroken"))]
    answer = client.post("/v1/predict", files=files)
    assert answer.status_code == 200
    good, broken = answer.json()["predictions"]
    assert good["error"] is None and broken["label"] is None
    assert broken["error"] and "stainproof-" not in broken["error"]  # no temporary file is named


def test_a_count_has_the_fields_of_the_command(client: TestClient) -> None:
    answer = client.post("/v1/count", files=uploads(5)).json()
    for one in answer["classes"].values():
        assert {"num", "percent", "low", "high"} <= one.keys()
    assert answer["loinc"] == {"basophil": "30180-4", "lymphocyte": "26478-8"}
    assert answer["num_cells"] == 15 and "100" in answer["warnings"][0]


def test_models_health_metrics_and_schema_answer(run: Path, client: TestClient) -> None:
    client.post("/v1/predict", files=uploads())
    (model,) = client.get("/v1/models").json()["models"]
    assert model["weights_sha256"] == Classifier.load(run).weights_sha256
    assert client.get("/healthz").json() == {"status": "ok"}
    metrics = client.get("/metrics").text
    assert 'stainproof_requests_total{route="/v1/predict",status="200"} 1.0' in metrics
    assert "stainproof_images_total 6.0" in metrics
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/v1/predict", "/v1/count", "/v1/models", "/healthz", "/metrics"} <= paths.keys()


def test_refusals_have_the_form_that_the_schema_states(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    for name, methods in paths.items():
        for operation in methods.values():
            schema = operation["responses"]["422"]["content"]["application/json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/Problem"}, name
    assert "reviewer" in client.get("/api/session?reviewer=0").json()["detail"]


# What is refused


@pytest.mark.parametrize(
    ("path", "body"),
    [("blind", {"is_blind": 0}), ("folder", {"start": "1"}), ("decisions", {"cells": [True]})],
)
def test_a_value_of_another_type_is_refused(client: TestClient, path: str, body: Any) -> None:
    assert client.post(f"/api/{path}", json=body).status_code == 422


def bomb() -> bytes:
    stream = io.BytesIO()
    Image.new("1", (9000, 9000)).save(stream, format="PNG")
    return stream.getvalue()


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 100, b"<svg onload=alert(1)>", b"GIF89a" + b"\0" * 50, b"\xff\xd8\xff" * 9],
    ids=["empty", "zeros", "svg", "gif", "jpeg header"],
)
def test_a_file_that_is_no_image_is_a_clear_422(client: TestClient, content: bytes) -> None:
    answer = client.post("/v1/predict", files=[("images", ("x.png", content))])
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("no file can be used: x.png: ")


def test_damaged_files_of_every_format_get_an_error_or_a_class(client: TestClient) -> None:
    rng = np.random.default_rng(0)
    rgb = Image.fromarray(make_cells(1, 32, seed=1)[0][0])
    files = uploads()[:1]
    for kind in ("PNG", "JPEG", "BMP", "TIFF", "WEBP"):
        stream = io.BytesIO()
        rgb.save(stream, format=kind)
        for _ in range(30):
            end = rng.integers(4, stream.tell() + 1) if rng.random() < 0.5 else stream.tell()
            content = bytearray(stream.getvalue()[:end])
            for place in rng.integers(0, len(content), 5):
                content[place] = rng.integers(256)
            files.append(("images", (f"x.{kind.lower()}", bytes(content))))
    answer = client.post("/v1/predict", files=files)
    assert answer.status_code == 200
    found = answer.json()["predictions"]
    assert len(found) == len(files)
    assert all((one["error"] is None) != (one["label"] is None) for one in found)
    assert sum(one["error"] is not None for one in found) > 50


def test_too_many_pixels_are_refused_before_decoding(client: TestClient) -> None:
    answer = client.post("/v1/predict", files=[("images", ("bomb.png", bomb()))])
    assert answer.status_code == 422 and "got 9000 x 9000" in answer.json()["detail"]


def test_too_many_files_and_too_large_bodies_are_413(run: Path) -> None:
    with serving(run, Limits(num_files=3, body_bytes=100_000)) as client:
        assert client.post("/v1/predict", files=uploads()[:4]).status_code == 413
        large = [("images", ("a.png", b"x" * 200_000))]
        answer = client.post("/v1/predict", files=large)
        assert answer.status_code == 413 and "97.7 KiB" in answer.json()["detail"]
        assert client.post("/v1/predict", files=uploads()[:3]).status_code == 200


def test_a_body_without_a_length_is_not_read_beyond_the_limit(run: Path) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        yield b'--b\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n'
        for _ in range(1000):
            sent += 10_000
            yield b"x" * 10_000

    with serving(run, Limits(body_bytes=100_000)) as client:
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        answer = client.post("/v1/predict", content=endless(), headers=headers)
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("headers", "content", "status"),
    [
        ({"Content-Type": "application/json"}, b"{}", 415),
        ({"Content-Type": "multipart/form-data; boundary=b"}, b"nothing", 422),
        ({"Content-Type": "multipart/form-data"}, b"nothing", 422),
        ({"Content-Type": "multipart/form-data; boundary=b"}, b"--b--\r\n", 422),
        ({"Content-Type": "multipart/form-data; boundary=b"}, b"".join(NINE_FIELDS), 422),
    ],
)
def test_another_body_than_a_form_is_a_clear_4xx(
    client: TestClient, headers: dict[str, str], content: bytes, status: int
) -> None:
    answer = client.post("/v1/predict", headers=headers, content=content)
    assert answer.status_code == status and answer.json()["detail"]


def test_another_sites_page_reaches_nothing(client: TestClient) -> None:
    assert client.get("/healthz", headers={"Host": "evil.example"}).status_code == 400
    assert client.get("/healthz", headers={"Host": "127.0.0.1.evil.example"}).status_code == 400
    assert client.get("/healthz", headers={"Host": "localhost:9"}).status_code == 200
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        assert client.post("/api/undo", headers=headers).status_code == 403
    assert client.post("/api/undo", headers={"Origin": "http://127.0.0.1:8000"}).status_code == 200


def test_every_answer_forbids_requests_to_other_sites(client: TestClient) -> None:
    answers = [
        client.get("/"),
        client.get("/healthz"),
        client.get("/nothing"),
        client.get("/login"),
    ]
    answers.append(client.get("/", headers={"Host": "evil.example"}))
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'") and "unsafe" not in policy
        assert not re.search(r"https?:|\*", policy)
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_page_names_no_other_site(client: TestClient) -> None:
    names = re.findall(r"/page/[\w.]+", client.get("/").text)
    texts = [client.get(name).text for name in {*names, "/page/actions.js", "/page/gallery.js"}]
    addresses = {found for text in texts for found in re.findall(r"https?://[\w./]+", text)}
    assert addresses <= {"http://www.w3.org/2000/svg"}  # a name space


@pytest.mark.parametrize("name", ["../app.py", "..%2fapp.py", "%2e%2e/app.py", "app.py", "."])
def test_no_other_file_of_the_package_is_served(client: TestClient, name: str) -> None:
    assert client.get(f"/page/{name}").status_code == 404


def test_with_a_key_only_its_bearer_gets_answers(run: Path) -> None:
    with serving(run, api_key=KEY, host="0.0.0.0") as client:
        assert client.get("/v1/models").status_code == 401
        assert client.get("/", follow_redirects=False).status_code == 303
        assert client.get("/healthz").status_code == 200
        wrong = {"Authorization": f"Bearer {KEY}x"}
        assert client.get("/v1/models", headers=wrong).status_code == 401
        right = {"Authorization": f"Bearer {KEY}"}
        assert client.get("/v1/models", headers=right).status_code == 200
        answer = client.post("/login", data={"key": "no"}, follow_redirects=False)
        assert answer.headers["location"] == "/login?wrong"
        answer = client.post("/login", data={"key": KEY}, follow_redirects=False)
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie and "samesite=strict" in cookie.lower() and KEY not in cookie
        assert client.get("/v1/models").status_code == 200


# Load


def test_under_load_every_request_is_answered_or_refused_with_503(run: Path) -> None:
    services = make_services(run, Limits(num_requests=4, num_waiting=8))
    slow = services.batcher._predict

    def slowly(images: Any) -> Any:
        threading.Event().wait(0.02)
        return slow(images)

    services.batcher._predict = slowly
    app = create_app(services)

    async def load() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            jobs = (client.post("/v1/predict", files=uploads()[:1]) for _ in range(60))
            return await asyncio.gather(*jobs)

    answers = asyncio.run(load())
    statuses = [one.status_code for one in answers]
    assert set(statuses) == {200, 503}
    assert all(one.headers["retry-after"] == "1" for one in answers if one.status_code == 503)
    assert all(one.json()["predictions"][0]["label"] for one in answers if one.status_code == 200)
    services.close()


def test_a_request_that_takes_too_long_is_given_up(run: Path) -> None:
    services = make_services(run, Limits(time_s=0.2))
    go = threading.Event()
    answer = services.batcher._predict
    services.batcher._predict = lambda images: (go.wait(5), answer(images))[1]
    with TestClient(create_app(services), base_url="http://127.0.0.1") as client:
        assert client.post("/v1/predict", files=uploads()[:1]).status_code == 503
        go.set()


# The review


def add(client: TestClient, num_a_class: int = 4) -> list[dict[str, Any]]:
    answer = client.post("/api/cells", files=uploads(num_a_class, seed=3))
    assert answer.status_code == 200
    return list(answer.json()["cells"])


def decide(client: TestClient, cells: list[int], label: str | None, reviewer: int = 1) -> Any:
    body = {"cells": cells, "label": label}
    return client.post(f"/api/decisions?reviewer={reviewer}", json=body).json()["cells"]


def test_pictures_come_back_with_the_same_pixels(client: TestClient) -> None:
    images, _ = make_cells(4, 32, seed=3)
    for one, expected in zip(add(client), images, strict=True):
        answer = client.get(f"/api/cells/{one['id']}/picture")
        assert answer.headers["content-type"] == "image/png"
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(answer.content))), expected)
    assert client.get("/api/cells/999/picture").status_code == 404


def test_an_explanation_is_a_picture_and_tells_nothing_of_a_hidden_class(
    client: TestClient,
) -> None:
    add(client, num_a_class=20)
    client.post("/api/blind", json={"is_blind": True})
    cells = client.get("/api/session").json()["cells"]
    hidden = next(one["id"] for one in cells if one["predicted"] is None)
    shown = next(one["id"] for one in cells if one["predicted"] is not None)
    answer = client.get(f"/api/cells/{shown}/explanation")
    assert answer.status_code == 200
    assert Image.open(io.BytesIO(answer.content)).size == (32, 32)
    assert client.get(f"/api/cells/{hidden}/explanation").status_code == 409
    assert client.get("/api/cells/999/explanation").status_code == 404


def test_the_count_follows_decisions_and_undo(client: TestClient) -> None:
    cells = add(client)
    ids = [one["id"] for one in cells]
    assert client.get("/api/count").json()["num_confirmed"] == 0
    decide(client, ids[:3], "platelet")
    count = client.get("/api/count").json()
    assert count["num_confirmed"] == 3 and count["classes"]["platelet"]["num_confirmed"] == 3
    assert len(client.post("/api/undo").json()["cells"]) == 3
    assert client.get("/api/count").json()["num_confirmed"] == 0


def test_an_unknown_class_or_cell_is_refused_or_left_out(client: TestClient) -> None:
    ids = [one["id"] for one in add(client)]
    answer = client.post("/api/decisions", json={"cells": ids, "label": "<script>"})
    assert answer.status_code == 422 and "unclassified" in answer.json()["detail"]
    assert decide(client, [9999], "platelet") == []
    for cells in ([], [0], [-1], ["1; DROP TABLE cells"], [2**60]):
        assert client.post("/api/decisions", json={"cells": cells}).status_code == 422


def test_exports_hold_the_decisions(client: TestClient, tmp_path: Path) -> None:
    assert client.get("/api/export/cells.zip").status_code == 409
    ids = [one["id"] for one in add(client)]
    decide(client, ids[:4], "lymphocyte")
    decide(client, ids[4:5], "unclassified")
    decide(client, ids[:1], "platelet", reviewer=2)
    table = list(csv.DictReader(io.StringIO(client.get("/api/export/cells.csv").text)))
    assert [row["reviewer_1"] for row in table[:5]] == ["lymphocyte"] * 4 + ["unclassified"]
    assert table[0]["reviewer_2"] == "platelet"
    count = json.loads(client.get("/api/export/count.json").content)
    assert count["num_confirmed"] == 4 and count["loinc"]["lymphocyte"] == "26478-8"
    archive = zipfile.ZipFile(io.BytesIO(client.get("/api/export/cells.zip").content))
    archive.extractall(tmp_path)
    read = sources.list_source(tmp_path / "manifest.csv")
    assert len(read) == 3  # neither the disputed cell nor the unclassified one
    assert read.classes == ("lymphocyte",)
    answer = client.get("/api/export/manifest.csv")
    assert answer.status_code == 409 and "cells.zip" in answer.json()["detail"]


def test_a_table_for_a_spreadsheet_holds_no_formula(client: TestClient) -> None:
    name = '=HYPERLINK("http://evil.example")'
    client.post("/api/cells", files=[("images", (name, uploads()[0][1][1]))])
    rows = list(csv.reader(io.StringIO(client.get("/api/export/cells.csv").text)))
    assert rows[1][0].startswith("'=")


def test_the_folder_is_read_in_steps_and_links_do_not_lead_out_of_it(
    run: Path, tmp_path: Path
) -> None:
    inside, outside = tmp_path / "slide", tmp_path / "secret.png"
    inside.mkdir()
    images, _ = make_cells(14, 32, seed=5)
    for index, rgb in enumerate(images):
        (inside / f"cell_{index:02d}.png").write_bytes(png(rgb))
    outside.write_bytes(png(images[0] // 2))
    (inside / "link.png").symlink_to(outside)
    (inside / "broken.png").write_bytes(b"broken")
    with serving(run, folder=inside) as client:
        state = client.get("/api/session").json()
        assert state["folder"]["num_images"] == 43
        assert any("outside the folder" in note for note in state["folder"]["notes"])
        start, names, refused = 0, [], []
        while start is not None:
            answer = client.post("/api/folder", json={"start": start}).json()
            names += [one["name"] for one in answer["cells"]]
            refused += [one["name"] for one in answer["refused"]]
            start = answer["next"]
        assert len(names) == 42 and refused == ["broken.png"]
        ids = [one["id"] for one in client.get("/api/session").json()["cells"]]
        decide(client, ids[:2], None)
        manifest = list(csv.DictReader(io.StringIO(client.get("/api/export/manifest.csv").text)))
        assert [Path(row["path"]).parent for row in manifest] == [inside, inside]


def test_the_cells_of_a_photograph_become_cells_of_the_review(run: Path) -> None:
    labels = ("neutrophil", "lymphocyte", "eosinophil")
    field, _ = draw_field(np.random.default_rng(1), labels)
    empty = np.full((300, 300, 3), 230, np.uint8)
    files = [("images", ("field.png", png(field))), ("images", ("empty.png", png(empty)))]
    with serving(run, has_fields=True) as client:
        answer = client.post("/api/cells", files=files).json()
        names = [one["name"] for one in answer["cells"]]
        assert len(names) >= 3 and names[0] == "field.png, cell 1"
        assert [one["name"] for one in answer["refused"]] == ["empty.png"]
        decide(client, [answer["cells"][0]["id"]], "lymphocyte")
        assert client.get("/api/export/manifest.csv").status_code == 409  # no file of its own
        assert client.get("/api/export/cells.zip").status_code == 200


def test_without_a_session_file_nothing_is_written(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with serving(run) as client:
        client.post("/v1/predict", files=uploads())
        add(client)
        assert list(tmp_path.iterdir()) == []
    with serving(run) as client:
        assert client.get("/api/session").json()["cells"] == []


@pytest.mark.slow
def test_a_killed_server_loses_nothing_that_it_had_confirmed(run: Path, tmp_path: Path) -> None:
    words = (run, "--port", 0, "--session", tmp_path / "a.session")
    server = Process(*words).wait()
    with httpx.Client(base_url=server.url, timeout=60) as client:
        cells = client.post("/api/cells", files=uploads(10, seed=3)).json()["cells"]
        confirmed: list[tuple[int, str]] = []
        killer = threading.Timer(0.5, lambda: server.end(signal.SIGKILL))
        killer.start()
        try:
            for _ in range(10_000):
                for one in cells:
                    label = CLASSES[len(confirmed) % 3]
                    body = {"cells": [one["id"]], "label": label}
                    client.post("/api/decisions", json=body).raise_for_status()
                    confirmed.append((one["id"], label))
        except httpx.TransportError:
            pass
        killer.join()
    assert confirmed
    again = Process(*words).wait()
    state = httpx.get(f"{again.url}/api/session").json()
    labels = {one["id"]: one["label"] for one in state["cells"] if one["is_reviewed"]}
    expected = dict(confirmed)
    differing = [cell for cell, label in expected.items() if labels.get(cell) != label]
    assert len(differing) <= 1  # the decision that was on its way when the server was killed
    assert len(state["cells"]) == len(cells)
    assert again.end() in (0, -15, 143)


# The command


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--host", "0.0.0.0"], "an API key is needed"),
        (["--host", "0.0.0.0", "--api-key", "short"], "16 characters or more, got 5"),
        (["--port", "70000"], "allowed: 0 to 65535, got 70000"),
        (["--folder", "nowhere"], "no such folder"),
        (["--error", "0.001%"], "is not calibrated"),
    ],
)
def test_a_mistake_is_one_line(
    run: Path, words: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    done = run_command(monkeypatch, capfd, "serve", run, *words)
    assert done.code == 2 and message in done.err and done.err.count("\n") == 1
