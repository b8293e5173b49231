"""What `make demo` says, without running it."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def planned(folder: Path, *options: str) -> str:
    """Return the commands that `make demo` would run where nothing is installed."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "requirements", folder / "requirements", dirs_exist_ok=True)
    done = subprocess.run(
        ["make", "-n", "demo", *options], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_the_demo_announces_every_slow_step_before_it_begins(tmp_path: Path) -> None:
    text = planned(tmp_path)
    steps = (
        "setup 1 of 3: creating", "-m venv .venv",
        "setup 2 of 3: installing PyTorch (~200 MB", '"torch==',
        "setup 3 of 3: installing stainproof", "-e ",
        "demo 1 of 3: making 4800 synthetic cells", "stainproof phantom",
        "demo 2 of 3: training for 100s", "stainproof train",
        "demo 3 of 3: evaluating on demo/other", "stainproof evaluate",
    )  # fmt: skip
    places = [text.index(step) for step in steps]
    assert places == sorted(places)
    assert "\x1b" not in text


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_the_demo_of_own_images_names_them(tmp_path: Path) -> None:
    text = planned(tmp_path, "DATA=my/train", "TEST=my/test", "BUDGET=20m")
    assert "your images in my/train" in text and "evaluating on my/test" in text
    assert "phantom" not in text
