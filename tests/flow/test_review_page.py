"""The review page in a browser: drop, correct, undo, kill the server, reopen, export."""

import json
import signal
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stainproof.data import sources
from stainproof.files import write_picture
from tests.common.browser import chromium, needs_browser, wait
from tests.common.cells import CLASSES, write_cells
from tests.common.served import Process, train_tiny, train_with_reference

AXE = Path(__file__).parents[1] / "vendor" / "axe.min.js"
pytestmark = [pytest.mark.slow, needs_browser]

DROP = """
const [target, names, done] = [document.querySelector(arguments[0]), arguments[1], arguments[2]];
const transfer = new DataTransfer();
Promise.all(names.map(async (name) => {
  const bytes = await (await fetch(`/api/cells/${name}/picture`)).blob();
  return new File([bytes], `${name}.png`);
})).then((files) => {
  files.forEach((file) => transfer.items.add(file));
  for (const kind of ["dragover", "drop"]) {
    const settings = {dataTransfer: transfer, bubbles: true, cancelable: true};
    target.dispatchEvent(new DragEvent(kind, settings));
  }
  done();
});
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

    def said(self, text: str) -> None:
        wait(self.browser, lambda: text in self.one("#status").get_attribute("textContent"))

    def ids(self, label: str) -> list[int]:
        tiles = self.all(f"section[data-name='{label}'] .tile")
        tiles.sort(key=lambda tile: int(tile.get_attribute("aria-posinset")))
        return [int(tile.get_attribute("data-id")) for tile in tiles]

    def choose(self, files: list[Path]) -> None:
        self.one("#files").send_keys("\n".join(map(str, files)))
        wait(self.browser, lambda: not self.one("#working").is_displayed())
        self.said("added")

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


def test_a_review_from_dropped_cells_to_a_training_survives_a_killed_server(
    run: Path, images: list[Path], browser: Any, tmp_path: Path
) -> None:
    session = tmp_path / "a.session"
    server = Process(run, "--port", 0, "--session", session).wait()
    page = Page(browser, server.url)
    assert page.one("#empty").is_displayed()
    page.choose(images[:20])
    browser.set_script_timeout(60)
    browser.execute_async_script(DROP, "body", [1, 2])  # the same pixels: nothing is added
    wait(browser, lambda: "2 images already there" in page.one("#messages").text)
    page.choose(images[20:])
    label = max(CLASSES, key=lambda name: len(page.ids(name)))
    to = next(name for name in CLASSES if name != label)
    first, second, third, fourth, fifth, *_ = page.ids(label)

    key = page.run(
        "return [...document.querySelectorAll('.classes button')].find((button) => "
        "button.querySelector('.name').textContent.toLowerCase() === arguments[0])"
        ".querySelector('kbd').textContent", to)  # fmt: skip
    page.one(f"#cell-{first}").click()
    page.keys(key)
    page.said(f"1 cell now {to}, saved")
    page.keys(key)  # the next cell has the focus
    wait(browser, lambda: page.states().get(second) == "changed")
    page.run(DRAG, f"cell-{third}", f"section[data-name='{to}']")
    wait(browser, lambda: page.states().get(third) == "changed")
    page.one(f"#cell-{fourth}").click()
    page.run(
        "document.getElementById(arguments[0]).dispatchEvent(new MouseEvent('click', "
        "{bubbles: true, ctrlKey: true}))", f"cell-{fifth}")  # fmt: skip
    wait(browser, lambda: "2 cells selected" in page.one("#selection").text)
    page.keys("\ue007")  # Enter
    page.said("2 cells confirmed, saved")
    page.run("document.activeElement.blur()")
    page.keys("u")
    page.said("undone: 2 cells")
    page.one("#confirm").click()
    page.said("2 cells confirmed, saved")

    port = server.port
    server.end(signal.SIGKILL)
    page.one(f"#cell-{fifth}").click()
    page.keys(key)
    wait(browser, lambda: "cannot be reached" in page.one("#messages").text)
    again = Process(run, "--port", port, "--session", session).wait()
    wait(browser, lambda: "cannot be reached" not in page.one("#messages").text)
    expected = {first: "changed", second: "changed", third: "changed", fourth: "confirmed",
                fifth: "confirmed"}  # fmt: skip
    wait(browser, lambda: page.states().items() >= expected.items())
    page = Page(browser, again.url)
    wait(browser, lambda: page.states().items() >= expected.items())
    assert page.one("#reviewed .text").text == "5 of 21 reviewed"

    page.one("#export").click()
    page.one("#exports a[href*='cells.zip']").click()
    saved = tmp_path / "downloads" / "cells.zip"
    wait(browser, saved.exists)
    zipfile.ZipFile(saved).extractall(tmp_path / "export")
    listing = sources.list_source(tmp_path / "export" / "manifest.csv")
    labels = [listing.classes[index] for index in listing.labels]
    assert labels.count(to) == 3 and labels.count(label) == 2
    again.end()


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
