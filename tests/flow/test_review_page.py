"""The review page in a browser: drop, correct, undo, kill the server, reopen, export."""

import csv
import json
import signal
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stainproof import api
from stainproof.data import sources
from stainproof.files import write_picture
from stainproof.labels import BLOOD_CLASSES
from stainproof.synthetic.fields import draw_field
from tests.common.browser import chromium, needs_browser, wait
from tests.common.cells import write_cells
from tests.common.command import run_command
from tests.common.served import Process, train_tiny, train_with_reference

AXE = Path(__file__).parents[1] / "vendor" / "axe.min.js"
pytestmark = [pytest.mark.slow, needs_browser]

DROP = """
const [input, transfer] = [document.getElementById("dropped"), new DataTransfer()];
for (const file of input.files) transfer.items.add(file);
input.remove();
for (const kind of ["dragover", "drop"]) {
  document.body.dispatchEvent(
    new DragEvent(kind, {dataTransfer: transfer, bubbles: true, cancelable: true}));
}
"""
INPUT = """
const input = Object.assign(document.createElement("input"), {type: "file", multiple: true});
input.id = "dropped";
document.body.append(input);
"""
DRAG = """
const tile = document.getElementById(arguments[0]);
const target = document.querySelector(arguments[1]);
const dataTransfer = new DataTransfer();
const fire = (element, kind) => element.dispatchEvent(
  new DragEvent(kind, {dataTransfer, bubbles: true, cancelable: true}));
fire(tile, "dragstart"); fire(target, "dragover"); fire(target, "drop");
"""


class Page:
    """The page in the browser."""

    def __init__(self, browser: Any, url: str):
        self.browser = browser
        browser.get(url)
        wait(browser, lambda: self.one("#model").get_attribute("textContent"))

    def one(self, query: str) -> Any:
        return self.browser.find_element("css selector", query)

    def all(self, query: str) -> list[Any]:
        return list(self.browser.find_elements("css selector", query))

    def run(self, script: str, *values: Any) -> Any:
        return self.browser.execute_script(script, *values)

    def keys(self, *keys: str) -> None:
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.browser).send_keys(*keys).perform()

    def said(self, text: str, seconds: float = 60) -> None:
        status = self.one("#status")
        wait(self.browser, lambda: text in status.get_attribute("textContent"), seconds)

    def ids(self, label: str) -> list[int]:
        tiles = self.all(f"section[data-name='{label}'] .tile")
        tiles.sort(key=lambda tile: int(tile.get_attribute("aria-posinset")))
        return [int(tile.get_attribute("data-id")) for tile in tiles]

    def choose(self, files: list[Path]) -> None:
        self.one("#files").send_keys("\n".join(map(str, files)))
        wait(self.browser, lambda: not self.one("#working").is_displayed())
        self.said("added")

    def drop(self, files: list[Path]) -> None:
        self.run("document.getElementById('status').textContent = ''")
        self.run(INPUT)
        self.one("#dropped").send_keys("\n".join(map(str, files)))
        self.run(DROP)
        self.said("added", 240)
        wait(self.browser, lambda: not self.one("#working").is_displayed())

    def known(self, name: str) -> Any:
        """Return a function's value, or a value, of the page's module of what it knows."""
        return self.browser.execute_async_script(
            "const [name, done] = arguments; import('/page/state.js').then((module) => "
            "done(typeof module[name] === 'function' ? module[name]() : module[name]))",
            name,
        )

    def cells(self) -> dict[int, Any]:
        """Return the cells as the page knows them, by id, also those out of view."""
        found = self.browser.execute_async_script(
            "import('/page/state.js').then(({state}) => arguments[0]([...state.cells.values()]))"
        )
        return {cell["id"]: cell for cell in found}

    def becomes(self, cell: int, label: str) -> None:
        wait(self.browser, lambda: self.cells()[cell]["label"] == label)

    def focus(self, cell: int) -> None:
        tile = self.one(f"#cell-{cell}")
        self.run("arguments[0].scrollIntoView({block: 'center'})", tile)
        tile.click()

    def states(self) -> dict[int, str]:
        return {
            int(tile.get_attribute("data-id")): tile.get_attribute("data-state")
            for tile in self.all(".tile")
        }


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    return train_tiny(write_cells(folder / "cells"), folder / "run")


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    return sorted(write_cells(tmp_path / "slide", 7, seed=4).rglob("cell_*"))


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    with chromium(tmp_path / "downloads") as browser:
        yield browser


def write_fields(folder: Path, num: int) -> list[Path]:
    """Write phantom fields of three white cells each."""
    folder.mkdir()
    paths = [folder / f"field_{index}.png" for index in range(num)]
    for index, path in enumerate(paths):
        labels = ("neutrophil", "lymphocyte", "eosinophil")
        write_picture(path, draw_field(np.random.default_rng(index), labels)[0])
    return paths


def test_the_whole_path_from_dropped_cells_to_an_adapted_run(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    run = "stainproof-light"  # a shipped model: it has a reference, which `adapt` needs
    images = sorted(api.make_phantoms(tmp_path / "slide", 200, seed=2, size_px=96).rglob("*.png"))
    fields = write_fields(tmp_path / "fields", 10)
    session = tmp_path / "a.session"
    server = Process(run, "--port", 0, "--session", session).wait()
    page = Page(browser, server.url)
    assert page.one("#empty").is_displayed()
    page.drop(images)
    assert len(page.cells()) == 200
    page.drop(images[:2])  # the same pixels: nothing is added
    wait(browser, lambda: "2 images already there" in page.one("#messages").text)

    label = max(page.known("sections"), key=lambda one: len(one["ids"]))["name"]
    to, key = next((one["name"], one["key"]) for one in page.known("classes")
                   if one["name"] not in (label, "unclassified"))  # fmt: skip
    page.run("document.getElementById(arguments[0]).scrollIntoView()",
             page.one(f"section[data-name='{label}'] h2").get_attribute("id"))  # fmt: skip
    wait(browser, lambda: len(page.ids(label)) >= 5)
    first, second, third, fourth, fifth, *_ = page.ids(label)
    page.focus(first)
    page.keys(key)
    page.becomes(first, to)
    page.keys(key)  # the next cell has the focus
    page.becomes(second, to)
    for cell in (third, fourth):
        page.run(DRAG, f"cell-{cell}", f"section[data-name='{to}']")
        page.becomes(cell, to)
    page.focus(fifth)
    page.keys(key)
    page.becomes(fifth, to)
    page.run("document.activeElement.blur()")
    page.keys("u")
    page.said("undone: 1 cell")
    assert not page.cells()[fifth]["is_reviewed"]
    page.focus(fifth)
    page.run("document.activeElement.dispatchEvent(new KeyboardEvent('keydown', "
             "{key: 'a', ctrlKey: true, bubbles: true, cancelable: true}))")  # fmt: skip
    page.keys("\ue007")  # Enter confirms the whole class
    wait(browser, lambda: page.cells()[fifth]["is_reviewed"])
    cells = page.cells()
    reviewed = {one: cells[one]["label"] for one in cells if cells[one]["is_reviewed"]}
    expected = [to] * 4 + [cells[fifth]["predicted"]]
    assert [reviewed[one] for one in (first, second, third, fourth, fifth)] == expected
    assert len(reviewed) >= 20

    port = server.port
    server.end(signal.SIGKILL)
    page.keys(key)
    wait(browser, lambda: "cannot be reached" in page.one("#messages").text)
    again = Process(run, "--port", port, "--session", session, "--fields").wait()
    wait(browser, lambda: "cannot be reached" not in page.one("#messages").text)
    page.drop(fields)
    page = Page(browser, again.url)
    found = page.cells()
    assert {one: found[one]["label"] for one in found if found[one]["is_reviewed"]} == reviewed
    of_fields = [one for one in found if found[one]["has_field"]]
    assert len(of_fields) >= 20 and len(found) == 200 + len(of_fields)

    page.one("#export").click()
    page.one("#exports a[href*='cells.zip']").click()
    saved = tmp_path / "downloads" / "cells.zip"
    wait(browser, saved.exists)
    zipfile.ZipFile(saved).extractall(tmp_path / "export")
    again.end()
    manifest = tmp_path / "export" / "manifest.csv"
    listing = sources.list_source(manifest)
    labels = [listing.classes[index] for index in listing.labels]
    assert sorted(labels) == sorted(reviewed.values())
    adapted, table = tmp_path / "adapted", tmp_path / "predictions.csv"
    for words in (
        ("adapt", run, manifest, "--out", adapted),
        ("predict", adapted, tmp_path / "slide", "--out", table),
    ):
        done = run_command(monkeypatch, capfd, *words)
        assert done.code == 0, done.err
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert len(rows) == 200 and {row["label"] for row in rows} <= set(BLOOD_CLASSES)
    assert not any(row["error"] for row in rows)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_cell_is_shown_in_its_field_as_long_as_the_server_has_it(
    run: Path, browser: Any, tmp_path: Path, scheme: str
) -> None:
    browser.set_script_timeout(60)
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    fields = write_fields(tmp_path / "fields", 2)
    words = ("--port", 0, "--session", tmp_path / "a.session", "--fields")
    server = Process(run, *words).wait()
    page = Page(browser, server.url)
    page.drop(fields)
    cells = list(page.cells())
    page.run("document.querySelector('.tile').click()")
    page.keys("f")
    wait(browser, lambda: page.one("#zoom-field").is_displayed())
    assert len(page.all("#zoom-field .line")) * 2 >= len(cells) >= 6
    assert len(page.all("#zoom-field .own.line")) == 1
    label = page.one("#zoom-field").get_attribute("aria-label")
    assert "field_" in label and "480 by 480 pixels" in label
    assert violations(page) == []
    page.keys("f")
    wait(browser, lambda: page.one("#zoom-picture").is_displayed())
    assert not page.one("#zoom-field").is_displayed()
    server.end(signal.SIGKILL)

    server = Process(run, *words).wait()
    page = Page(browser, server.url)
    wait(browser, lambda: page.all(".tile"))
    page.run("document.querySelector('.tile').click()")
    page.keys("f")
    wait(browser, lambda: "no longer available" in page.one("#field-gone").text)
    assert violations(page) == []
    page.keys("\ue00c")  # Escape
    page.drop(fields)
    assert list(page.cells()) == cells  # none was added twice
    page.keys("f")
    wait(browser, lambda: page.one("#zoom-field").is_displayed())
    server.end()


def test_nothing_is_requested_from_elsewhere_and_no_rule_is_broken(
    run: Path, images: list[Path], browser: Any
) -> None:
    server = Process(run, "--port", 0).wait()
    page = Page(browser, server.url)
    page.choose(images)
    page.keys("?", "\ue00c", "z", "\ue00c")
    for address in ("https://example.org/x", "http://127.0.0.1:9/x"):
        outcome = browser.execute_async_script(
            "fetch(arguments[0]).then(() => arguments[1]('sent'), () => arguments[1]('refused'))",
            address,
        )
        assert outcome == "refused"
    entries = [json.loads(one["message"])["message"] for one in browser.get_log("performance")]
    asked = {
        one["params"]["request"]["url"]
        for one in entries
        if one["method"] == "Network.requestWillBeSent"
    }
    allowed = (
        server.url,
        "data:",
        "blob:",
        "chrome:",
        "https://example.org/x",
        "http://127.0.0.1:9/",
    )
    assert all(address.startswith(allowed) for address in asked)
    refused = [one["message"] for one in browser.get_log("browser")]
    assert sum("Content Security Policy" in message for message in refused) >= 2
    assert not [one for one in refused if "inline" in one]
    server.end()


def test_two_reviewers_and_hidden_classes(
    run: Path, images: list[Path], browser: Any, tmp_path: Path
) -> None:
    many = sorted(write_cells(tmp_path / "many", 25, seed=8).rglob("cell_*"))
    server = Process(run, "--port", 0).wait()
    page = Page(browser, server.url)
    page.choose(many)
    page.one("#blind").click()
    hidden = wait(browser, lambda: page.ids(""))
    page.run("arguments[0].scrollIntoView({block: 'center'})", page.one(f"#cell-{hidden[0]}"))
    page.one(f"#cell-{hidden[0]}").click()
    page.keys("\ue007")
    wait(browser, lambda: "hidden" in page.one("#messages").text)
    page.keys("1")
    wait(browser, lambda: hidden[0] not in page.ids(""))
    wait(browser, lambda: "class hidden" in page.one("#agreement").text)
    page.one("[data-reviewer='2']").click()
    page.said("reviewer 2")
    wait(browser, lambda: hidden[0] in page.ids(""))  # decided by the other reviewer only
    page.run("arguments[0].scrollIntoView({block: 'center'})", page.one(f"#cell-{hidden[0]}"))
    page.one(f"#cell-{hidden[0]}").click()
    page.keys("2")
    wait(browser, lambda: "0 of 1 cell equal" in page.one("#agreement").text)
    server.end()


def test_many_cells_are_in_the_document_only_while_they_are_in_view(
    run: Path, browser: Any, tmp_path: Path
) -> None:
    write_cells(tmp_path / "many", 200, seed=9)
    server = Process(run, "--port", 0, "--folder", tmp_path / "many").wait()
    page = Page(browser, server.url)
    page.one("#empty [data-pick='server']").click()
    page.said("600 cells added")
    assert 10 < len(page.all(".tile")) < 250
    top = set(page.states())
    page.run("scrollTo(0, document.body.scrollHeight)")
    wait(browser, lambda: not top & set(page.states()))
    assert len(page.all(".tile")) < 250
    server.end()


def violations(page: Page) -> list[str]:
    """Return the rules of axe-core that the page breaks now."""
    page.run(AXE.read_text(encoding="utf-8"))
    return list(
        page.browser.execute_async_script(
            "axe.run(document, {resultTypes: ['violations']}).then((found) => arguments[0]("
            "found.violations.map((one) => `${one.id}: ${one.nodes[0].html}`)))"
        )
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_screen_reader_can_use_every_state(
    run: Path, images: list[Path], browser: Any, scheme: str
) -> None:
    browser.set_script_timeout(60)
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    server = Process(run, "--port", 0).wait()
    page = Page(browser, server.url)
    assert violations(page) == []
    page.choose([*images, Path(__file__)])
    assert page.one("#messages").text
    page.run("document.querySelector('.tile').click()")
    page.keys("1")
    page.said("saved")
    page.run("document.querySelector('.tile').click()")
    wait(browser, lambda: page.one("#selection").is_displayed())
    assert violations(page) == []
    for key in ("z", "?"):
        page.run("document.activeElement.blur()")
        page.keys(key)
        wait(browser, lambda: page.one("dialog[open]"))
        assert violations(page) == []
        page.run("document.querySelector('dialog[open]').close()")
    server.end()


@pytest.mark.parametrize("width", [1300, 390])
def test_nothing_is_wider_than_the_window(
    run: Path, images: list[Path], browser: Any, width: int
) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False},
    )
    server = Process(run, "--port", 0).wait()
    page = Page(browser, server.url)
    page.choose(images)
    page.run("document.querySelector('.tile').click()")
    wait(browser, lambda: page.one("#selection").is_displayed())
    assert page.run("return document.documentElement.scrollWidth") <= width
    server.end()


def test_cells_of_another_laboratory_have_a_verdict_and_marks(
    images: list[Path], browser: Any, tmp_path: Path
) -> None:
    rng = np.random.default_rng(7)
    for index in range(4):
        write_picture(
            images[0].parent / f"noise_{index}.png", rng.integers(0, 256, (32, 32, 3), np.uint8)
        )
    run = train_with_reference(tmp_path)
    server = Process(run, "--port", 0).wait()
    page = Page(browser, server.url)
    page.choose([*images, *images[0].parent.glob("noise_*")])
    wait(browser, lambda: page.one("#check").is_displayed(), 120)
    assert "Expected accuracy" in page.one("#check .text").text
    marked = {tile.get_attribute("title") for tile in page.all(".tile:has(.unlike:not([hidden]))")}
    assert {f"noise_{index}.png" for index in range(4)} <= marked
    page.one("#check summary").click()
    assert page.all("#check li")
    assert violations(page) == []
    server.end()
