"""The static page in Chromium: the probabilities, the count and the reach of Python's own."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from stainproof import Classifier, api
from stainproof.evaluation.count import count_cells
from stainproof.evaluation.misclassification import ErrorCounts, read_errors
from stainproof.files import write_picture
from stainproof.serve.web_export import export_web
from tests.common.browser import chromium, needs_browser, wait
from tests.common.tiny import tiny_config

RUNTIME = Path(__file__).parents[2] / "build" / "node" / "node_modules" / "onnxruntime-web"
STATIC = Path(__file__).parents[2] / "src" / "stainproof" / "serve" / "static"
AXE = Path(__file__).parents[1] / "vendor" / "axe.min.js"
NUM_CELLS = 50
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not RUNTIME.is_dir(), reason="its packages are not installed: make test-node"
    ),
]


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return api.make_phantoms(tmp_path_factory.mktemp("cells"), 200, seed=1, size_px=90)


@pytest.fixture(scope="module")
def run(cells: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "first"
    api.train(cells, folder, tiny_config("training.epochs=8"))
    return folder


@contextmanager
def delivered(folder: Path) -> Iterator[str]:
    """Deliver a folder with Python's own static web server; yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ("http.server", str(port), "--bind", "127.0.0.1", "--directory", str(folder))
    with subprocess.Popen([sys.executable, "-m", *words], stderr=subprocess.DEVNULL) as server:
        for _ in range(100):
            with socket.socket() as client:
                if not client.connect_ex(("127.0.0.1", port)):
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
        server.terminate()


def choose(browser: Any, address: str, images: list[Path]) -> None:
    browser.get(address)
    wait(browser, lambda: browser.find_element("id", "empty").is_displayed())
    browser.find_element("id", "files").send_keys("\n".join(map(str, images)))
    status = browser.find_element("id", "status")
    wait(browser, lambda: "added" in status.get_attribute("textContent"))


def export_link(browser: Any, name: str) -> Any:
    return browser.find_element("css selector", f"#exports a[download='{name}']")


def state(browser: Any) -> Any:
    return browser.execute_async_script(
        "import('./page/state.js').then(({state}) => arguments[0]({"
        "cells: [...state.cells.values()], count: state.count}))"
    )


def num_counted(browser: Any) -> int:
    """Return the number of cells in the count that the page shows at present."""
    count = state(browser)["count"]
    return sum(one["num"] for one in count["classes"].values()) if count else 0


@needs_browser
def test_probabilities_and_count_are_those_of_python(
    run: Path, cells: Path, tmp_path: Path
) -> None:
    images = sorted(cells.rglob("*.png"))[:NUM_CELLS]
    oblong = np.random.default_rng(0).integers(0, 256, (41, 70, 3), dtype=np.uint8)
    write_picture(tmp_path / "oblong.png", cv2.blur(oblong, (9, 9)))
    images.append(tmp_path / "oblong.png")
    page = export_web(run, tmp_path / "page", RUNTIME)
    with delivered(page.parent) as address, chromium(tmp_path / "downloads") as browser:
        choose(browser, address, images)
        wait(browser, lambda: num_counted(browser) == len(images))
        found = state(browser)
        asked = {
            one["params"]["request"]["url"]
            for one in (
                json.loads(entry["message"])["message"] for entry in browser.get_log("performance")
            )
            if one["method"] == "Network.requestWillBeSent"
        }
        assert all(
            url.startswith((address, f"blob:{address}", "data:", "chrome:")) for url in asked
        )
        assert "verified" in browser.find_element("css selector", ".weights").get_attribute(
            "textContent"
        )
    classifier = Classifier.load(run, "onnxruntime")
    expected = classifier.predict_proba(images)
    by_name = {cell["name"]: cell["probs"] for cell in found["cells"]}
    assert len(by_name) == len(images)
    probs = np.array([by_name[path.name] for path in images])
    assert np.abs(probs - expected).max() < 1e-3
    errors = read_errors(
        run, None, classifier.classes, classifier.weights_sha256, classifier.temperature
    )
    count = count_cells(probs, classifier.classes, errors, margin_points=100)  # of the same numbers
    assert set(found["count"]["classes"]) == set(count.classes)
    for name, one in count.classes.items():
        other = found["count"]["classes"][name]
        assert (other["num"], other["kind"]) == (one.num, one.kind)
        assert other["percent"] == pytest.approx(one.percent)
        assert other["low"] <= other["percent"] <= other["high"]


@needs_browser
def test_a_review_without_a_server_is_corrected_undone_and_exported(
    run: Path, cells: Path, tmp_path: Path
) -> None:
    page = export_web(run, tmp_path / "page", RUNTIME)
    images = [*sorted(cells.rglob("*.png"))[:30], Path(__file__)]
    with delivered(page.parent) as address, chromium(tmp_path / "downloads") as browser:
        choose(browser, address, images)
        tile = browser.find_element("css selector", ".tile")
        tile.click()
        browser.find_element("css selector", "#selection .buttons button:last-child").click()
        reviewed = browser.find_element("css selector", "#reviewed .text")
        wait(browser, lambda: reviewed.text == "1 of 30 reviewed")
        browser.find_element("id", "undo").click()
        wait(browser, lambda: reviewed.text == "0 of 30 reviewed")
        browser.execute_script("document.querySelector('.tile').click()")
        browser.find_element("id", "confirm").click()
        wait(browser, lambda: reviewed.text == "1 of 30 reviewed")
        browser.execute_script(AXE.read_text(encoding="utf-8"))
        broken = browser.execute_async_script(
            "axe.run(document).then((found) => arguments[0](found.violations.map((one) => one.id)))"
        )
        assert broken == []
        browser.find_element("id", "export").click()
        for name in ("count.json", "cells.csv"):
            link = export_link(browser, name)
            wait(browser, link.is_displayed)
            link.click()
            wait(browser, (tmp_path / "downloads" / name).exists)
        assert not export_link(browser, "cells.zip").is_displayed()
        count = json.loads((tmp_path / "downloads" / "count.json").read_text())
        assert count["num_cells"] == 30 and count["num_confirmed"] == 1
        table = (tmp_path / "downloads" / "cells.csv").read_text().splitlines()
        assert len(table) == 31
        for target in ("https://example.org/x", "http://127.0.0.1:9/x"):
            outcome = browser.execute_async_script(
                "const [address, done] = arguments;"
                "fetch(address).then(() => done('sent'), () => done('refused'))",
                target,
            )
            assert outcome == "refused"


@needs_browser
def test_an_altered_network_is_refused(run: Path, tmp_path: Path) -> None:
    page = export_web(run, tmp_path / "page", RUNTIME)
    model = page.parent / "model" / "model.onnx"
    model.write_bytes(model.read_bytes() + b"\0")
    with delivered(page.parent) as address, chromium(tmp_path / "downloads") as browser:
        browser.get(address)
        messages = browser.find_element("id", "messages")
        wait(browser, lambda: "was altered" in messages.text)
        assert not browser.find_element("id", "empty").is_displayed()


RESIZE = """
import { readFileSync, writeFileSync } from "node:fs";
import { resize } from "./resize.mjs";
const [width, height, newWidth, newHeight] = process.argv.slice(2);
const rgb = new Uint8Array(readFileSync("in.raw"));
const image = { width: +width, height: +height, rgb };
writeFileSync("out.raw", resize(image, +newWidth, +newHeight).rgb);
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ((363, 360), (96, 96)),
        ((90, 90), (32, 32)),
        ((64, 64), (32, 32)),
        ((32, 32), (96, 96)),
        ((80, 70), (96, 96)),
        ((40, 120), (64, 64)),
    ],
)
def test_pixels_are_resized_as_by_opencv(
    old: tuple[int, int], new: tuple[int, int], tmp_path: Path
) -> None:
    (height, width), size = old, (new[1], new[0])
    rgb = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    is_smaller = new[0] < height or new[1] < width
    expected = cv2.resize(
        rgb, size, interpolation=cv2.INTER_AREA if is_smaller else cv2.INTER_CUBIC
    )
    (tmp_path / "in.raw").write_bytes(rgb.tobytes())
    (tmp_path / "resize.mjs").write_bytes((STATIC / "resize.js").read_bytes())
    (tmp_path / "main.mjs").write_text(RESIZE)
    words = ["node", "main.mjs", str(width), str(height), str(size[0]), str(size[1])]
    subprocess.run(words, cwd=tmp_path, check=True)
    found = np.frombuffer((tmp_path / "out.raw").read_bytes(), np.uint8).reshape(expected.shape)
    differences = np.abs(found.astype(int) - expected)
    assert differences.max() <= 1
    assert (differences > 0).mean() < 0.08


COUNT = """
import { readFileSync } from "node:fs";
import { countCells } from "./count.mjs";
const { cells, facts } = JSON.parse(readFileSync("in.json", "utf8"));
console.log(JSON.stringify(countCells(cells, facts)));
"""


@pytest.mark.parametrize("num_confirmed", [0, 60, 200])
def test_intervals_are_those_of_python(num_confirmed: int, tmp_path: Path) -> None:
    classes = ("basophil", "lymphocyte", "platelet")
    confusion = np.array([[900, 40, 20], [30, 950, 10], [5, 5, 940]])
    errors = ErrorCounts(classes, confusion, "cells", mean_confidence=0.95)
    rng = np.random.default_rng(2)
    labels = rng.choice(3, 200, p=[0.1, 0.7, 0.2])
    probs = np.full((200, 3), 0.02)
    probs[np.arange(200), labels] = 0.96
    given = [classes[(label + (index % 9 == 0)) % 3] for index, label in enumerate(labels)]
    confirmed = dict(enumerate(given[:num_confirmed]))
    expected = count_cells(probs, classes, errors, confirmed=confirmed, margin_points=100)
    facts = {
        "classes": [{"name": one, "is_white": one != "platelet", "loinc": None} for one in classes],
        "threshold": 0.5,
        "unclassified": "unclassified",
        "errors": {"confusion": confusion.tolist(), "mean_confidence": 0.95},
        "model": {},
    }
    cells = [
        {"predicted": int(label), "confidence": 0.96, "label": confirmed.get(index)}
        for index, label in enumerate(labels)
    ]
    (tmp_path / "in.json").write_text(json.dumps({"cells": cells, "facts": facts}))
    for name in ("count", "random"):
        text = (STATIC / f"{name}.js").read_text().replace("./random.js", "./random.mjs")
        (tmp_path / f"{name}.mjs").write_text(text)
    (tmp_path / "main.mjs").write_text(COUNT)
    done = subprocess.run(["node", "main.mjs"], cwd=tmp_path, capture_output=True, check=True)
    found = json.loads(done.stdout)
    allowed = 0.01 if num_confirmed == 200 else 0.7  # all confirmed: nothing is drawn
    assert found["num_confirmed"] == num_confirmed
    for name, one in expected.classes.items():
        assert found["classes"][name]["num"] == one.num
        for field in ("percent", "low", "high", "corrected"):
            other = found["classes"][name][field]
            assert other == pytest.approx(getattr(one, field), abs=allowed)
