"""The review page in Chromium: frame times while scrolling, first picture, cells per second.

python -m benchmarks.serve.page RUN [--cells 2000] [--runtime node_modules/onnxruntime-web]

Phantom cells of 96 x 96 px are classified by `predict`, by the page of the server and, with
--runtime, by the static page, whose network runs in the browser. Then the gallery is scrolled from
its first cell to its last, a step with every animation frame. Needs Debian's chromium and
chromium-driver; chromium runs without a window and without a GPU.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.child import ROOT
from benchmarks.common.page import made_on, write_section
from benchmarks.serve.load import cpu_s, free_port, wait_until_up
from tests.common.browser import chromium, wait

SIZE_PX = 96
STEP_PX = 60
"""Pixels of a step: 3,600 a second at 60 frames a second, about a window in a quarter second."""
LONG_MS = 1000 / 30
"""A longer frame is seen as a jerk."""
MOST_S = 1800.0
IDLE_S = 2.0

WATCH = """
window.times = {picture: null, start: null, end: null};
document.addEventListener("load", (event) => {
  if (event.target.closest?.(".tile")) times.picture ??= performance.now();
}, true);
"""
WORK = """
times.picture = null;
new MutationObserver(([{target}]) => {
  if (!target.hidden) times.start ??= performance.now();
  else if (times.start !== null) times.end = performance.now();
}).observe(document.getElementById("working"), {attributes: true, attributeFilter: ["hidden"]});
"""
SCROLL = """
const [step, done] = arguments, deltas = [];
let last = null;
scrollTo(0, 0);
const frame = (now) => {
  if (last !== null) deltas.push(now - last);
  last = now;
  const before = scrollY;
  scrollBy(0, step);
  if (scrollY > before || deltas.length < 3) requestAnimationFrame(frame);
  else done(deltas);
};
requestAnimationFrame(frame);
"""


@dataclass(frozen=True)
class Added:
    """How long it took to classify cells."""

    seconds: float
    picture_s: float
    """Until the first picture."""


class Page:
    """The review page in a browser."""

    def __init__(self, browser: Any, url: str):
        self.browser, self.url = browser, url
        browser.set_script_timeout(MOST_S)
        browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH})
        self.open()

    def open(self) -> None:
        """Load the page."""
        self.browser.get(self.url)
        wait(self.browser, lambda: self._text("model"))

    def _text(self, element: str) -> str:
        return str(self.browser.find_element("id", element).get_attribute("textContent"))

    def choose(self, images: Sequence[Path]) -> Added:
        """Classify files."""
        self.browser.execute_script(WORK)
        self.browser.find_element("id", "files").send_keys("\n".join(map(str, images)))
        return self._added()

    def open_folder(self) -> Added:
        """Classify the images of the server's folder."""
        self.browser.execute_script(WORK)
        self.browser.find_element("css selector", "#empty [data-pick='server']").click()
        return self._added()

    def _added(self) -> Added:
        wait(self.browser, lambda: self._times()["end"], MOST_S)
        times = self._times()
        start = times["start"]
        return Added((times["end"] - start) / 1000, (times["picture"] - start) / 1000)

    def _times(self) -> dict[str, float]:
        return dict(self.browser.execute_script("return times"))

    def reopened_s(self) -> float:
        """Load the page again; return the seconds until its first picture."""
        self.open()
        wait(self.browser, lambda: self._times()["picture"])
        return self._times()["picture"] / 1000

    def frames(self) -> list[float]:
        """Scroll through all cells; return the times between frames in ms."""
        return list(self.browser.execute_async_script(SCROLL, STEP_PX))


@contextmanager
def process(*words: Any) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a Python module until the end of the block."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    command = [sys.executable, "-m", *map(str, words)]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as running:
        try:
            yield running
        finally:
            running.terminate()


def idle(server: "subprocess.Popen[bytes]") -> None:
    """Wait until a server computes nothing, such as the check of the cells."""
    before = -1.0
    while cpu_s(server.pid) - before > 0.05 * IDLE_S:
        before = cpu_s(server.pid)
        time.sleep(IDLE_S)


@contextmanager
def open_page(folder: Path, *words: Any) -> Iterator[tuple[Page, Any]]:
    """Start a server and open its page."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with (
        process(*(str(word).replace("PORT", str(port)) for word in words)) as server,
        chromium(folder / "downloads", is_logged=False) as browser,
    ):
        wait_until_up(address, server)
        yield Page(browser, address), server


def predict_rates(run: Path, images: Path, num: int, folder: Path) -> list[str]:
    """Return rows with the cells per second of `predict`."""
    from stainproof import api

    began = time.perf_counter()
    words = ("stainproof", "predict", run, images, "--out", folder / "command.csv")
    with process(*words) as command:
        if command.wait():
            raise SystemExit("predict failed")
    as_command = time.perf_counter() - began
    api.predict(run, [str(images)], folder / "warm.csv")
    began = time.perf_counter()
    api.predict(run, [str(images)], folder / "again.csv")
    in_python = time.perf_counter() - began
    return [
        f"| `predict`, the command with its start | {num / as_command:,.0f} | |",
        f"| `predict` in Python, the second time | {num / in_python:,.0f} | |",
    ]


def rate(name: str, num: int, added: Added) -> str:
    """Return the row of a page's classification."""
    return f"| {name} | {num / added.seconds:,.0f} | {added.picture_s:.2f} |"


def frame_row(name: str, deltas: Sequence[float]) -> str:
    """Return the row of a scroll through all cells."""
    p50, p95, worst = np.percentile(deltas, [50, 95, 100])
    num_long = sum(one > LONG_MS + 1 for one in deltas)
    return f"| {name} | {len(deltas):,} | {p50:.1f} | {p95:.1f} | {worst:.1f} | {num_long} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every side, write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--cells", type=int, default=2000)
    parser.add_argument("--runtime", type=Path, help="the npm package onnxruntime-web")
    options = parser.parse_args(arguments)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        rates, frames, reopened = measure(options.run, options.cells, options.runtime, Path(name))
    text = "\n".join(
        [
            "| cells classified by | cells/s | first picture, s |",
            "|---|---|---|",
            *rates,
            "",
            "| scrolling through the cells | frames | p50, ms | p95, ms | worst, ms | over 34 ms |",
            "|---|---|---|---|---|---|",
            *frames,
            "",
            f"{options.cells:,} phantom cells of {SIZE_PX} x {SIZE_PX} px (PNG). The times of a "
            "page begin when files are chosen and end with the last answer. A review with these "
            f"cells that is opened again has its first picture after {reopened:.2f} s. "
            f"Chromium without a window and a GPU, 1300 x 850 px; {STEP_PX} px of scrolling with "
            "every frame, the first time with pictures that have to be fetched, the second time "
            "with pictures in the browser's cache. Load of the machine (1 minute) at the start: "
            f"{load:.1f}.",
            "",
            made_on(),
        ]
    )
    write_section("The page in a browser", text)


def measure(
    run: Path, num: int, runtime: Path | None, folder: Path
) -> tuple[list[str], list[str], float]:
    """Return rows of rates, rows of frame times, and the seconds to reopen a review."""
    from stainproof import api
    from stainproof.runs.shipped import find_run
    from stainproof.serve.web_export import export_web

    run = find_run(run).resolve()
    cells = api.make_phantoms(folder / "cells", num, seed=1, size_px=SIZE_PX)
    images = sorted(cells.rglob("*.png"))
    rates = predict_rates(run, cells, num, folder)
    frames = []
    serve = ("stainproof", "serve", run, "--port", "PORT")
    with open_page(folder, *serve) as (page, server):
        rates.append(rate("the page, files chosen", num, page.choose(images)))
        idle(server)
        for which in ("first", "second"):
            frames.append(frame_row(f"the page, {which} time", page.frames()))
        reopened = page.reopened_s()
    with open_page(folder, *serve, "--folder", cells) as (page, _):
        rates.append(rate("the page, the server's folder", num, page.open_folder()))
    if runtime:
        web = export_web(run, folder / "web", runtime).parent
        words = ("http.server", "PORT", "--bind", "127.0.0.1", "--directory", web)
        with open_page(folder, *words) as (page, server):
            rates.append(rate("the static page, files chosen", num, page.choose(images)))
            time.sleep(5)  # the count, in the browser
            for which in ("first", "second"):
                frames.append(frame_row(f"the static page, {which} time", page.frames()))
    return rates, frames, reopened


if __name__ == "__main__":
    main()
