"""Chromium without a window, for tests of pages."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    "headless=new no-sandbox disable-gpu no-first-run disable-sync disable-background-networking "
    "disable-component-update"
)
needs_browser = pytest.mark.skipif(
    not (shutil.which("chromium") and shutil.which("chromedriver")) and not os.environ.get("CI"),
    reason="needs Debian's chromium and chromium-driver",
)


@contextmanager
def chromium(
    downloads: Path, width: int = 1300, height: int = 850, *, is_logged: bool = True
) -> Iterator[Any]:
    """Yield a browser that saves downloads in a folder and, if wanted, keeps its log."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for flag in (*FLAGS.split(), f"window-size={width},{height}"):
        options.add_argument(f"--{flag}")
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    if is_logged:
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
    with webdriver.Chrome(options=options, service=service) as browser:
        yield browser


def wait(browser: Any, holds: Callable[[], Any], seconds: float = 60) -> Any:
    """Wait until something holds, and return it."""
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, seconds, 0.1).until(lambda _: holds())
