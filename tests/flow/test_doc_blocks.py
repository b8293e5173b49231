"""Every command and Python block of README and docs runs; a fast test parses every command.

A block runs as it is written, except that trainings are cut to seconds: a script `stainproof` in
front of the real one shortens budgets and epochs. A block that cannot run here has a comment that
says why.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer

from stainproof import api
from stainproof.cli.app import app

ROOT = Path(__file__).parents[2]
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").glob("*.md")),
    )
}
BLOCK = re.compile(
    r"(?:<!-- not tested: (?P<why>[^>]+) -->\n)?```(?P<kind>console|python|toml)\n(?P<text>.*?)```",
    re.DOTALL,
)
SHORTENED = f"""#!{sys.executable}
import os, sys
shorter = {{"--budget": "3s", "--trials": "1", "--n": "160", "--python": sys.executable}}
words = sys.argv[1:]
for number, word in enumerate(words[:-1]):
    words[number + 1] = shorter.get(word, words[number + 1])
if words[0] == "train" and "--resume" not in words:
    words += ["--set", "training.epochs=2"]
if words[0] == "submit":
    words += ["--runtime", "onnx"]
os.execv(sys.executable, [sys.executable, "-m", "stainproof", *words])
"""


@dataclass(frozen=True)
class Block:
    """A block of code in a page."""

    kind: str
    text: str
    why_not_tested: str


def blocks_of(page: str) -> list[Block]:
    return [
        Block(one["kind"], one["text"], one["why"] or "") for one in BLOCK.finditer(PAGES[page])
    ]


def commands_of(block: Block) -> Iterator[list[str]]:
    """Give the words of each line of a console block."""
    for line in block.text.replace("\\\n", " ").splitlines():
        if words := shlex.split(line, comments=True):
            yield words


COMMANDS = [
    pytest.param(words, id=" ".join(words))
    for page in PAGES
    for block in blocks_of(page)
    if block.kind == "console"
    for words in commands_of(block)
    if words[0] == "stainproof"
]
RUNNABLE = [
    page
    for page in PAGES
    if any(one.kind != "toml" and not one.why_not_tested for one in blocks_of(page))
]


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_has_arguments_that_exist(words: list[str]) -> None:
    group: Any = typer.main.get_command(app)
    group.commands[words[1]].make_context(words[1], words[2:])


@pytest.mark.parametrize("page", PAGES)
def test_every_make_target_exists(page: str) -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for block in blocks_of(page):
        if block.kind == "console":
            for words in commands_of(block):
                if words[0] == "make" and words[1] != ".venv/.ready":
                    assert words[1] in targets


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pages assume: images of several sources, a manifest, a run, a review."""
    folder = tmp_path_factory.mktemp("pages")
    home = api.make_phantoms(folder / "cells", 400, seed=1)
    other = api.make_phantoms(folder / "other_lab", 80, seed=2, lab="other")
    for name in ("ds1", "clean"):
        (folder / name).symlink_to(home)
    for name in ("ds2", "ds3", "shifted", "overlays"):
        (folder / name).symlink_to(other)
    api.audit(home, folder / "audits" / "cells")
    api.clean(home, folder / "audits" / "cells", folder / "clean.csv")
    shutil.copy(folder / "clean.csv", folder / "ds1_clean.csv")
    shutil.copytree(other, folder / "new_cells")
    for path in (folder / "cell.png", folder / "new_cells" / "a.png"):
        shutil.copy(next(home.rglob("*.png")), path)
    (folder / "Downloads").mkdir()
    shutil.copy(folder / "audits/cells/audit.csv", folder / "Downloads/reviewed.csv")
    (folder / "bin").mkdir()
    (folder / "bin" / "stainproof").write_text(SHORTENED)
    (folder / "bin" / "stainproof").chmod(0o755)
    subprocess.run(
        ["stainproof", "train", "clean.csv", "--out", "runs/first"],
        cwd=folder, env=environment(folder), check=True, capture_output=True,
    )  # fmt: skip
    return folder


def environment(folder: Path) -> dict[str, str]:
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "HOME": str(folder), "OMP_NUM_THREADS": "1"}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", RUNNABLE)
def test_every_block_of_a_page_runs(page: str, folder: Path, tmp_path: Path) -> None:
    made_by_page = {"runs/first"} if "--out runs/first" in PAGES[page] else set()
    for path in folder.iterdir():
        if f"--out {path.name} " not in f"{PAGES[page]} " and path.name not in ("runs", "audits"):
            (tmp_path / path.name).symlink_to(path)
    if not made_by_page:
        shutil.copytree(folder / "runs", tmp_path / "runs")
    for block in blocks_of(page):
        if block.kind == "toml":
            (tmp_path / "own.toml").write_text(block.text)
        if block.kind == "toml" or block.why_not_tested:
            continue
        if block.kind == "python":
            program = re.sub(r'budget="\d+[smh]"', 'budget="3s"', block.text)
            command = [sys.executable, "-c", program]
        else:
            lines = [
                line for line in block.text.splitlines() if not line.startswith(("make ", "pip "))
            ]
            command = ["bash", "-euc", "\n".join(lines)]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment(folder), capture_output=True, text=True
        )
        assert done.returncode == 0, f"{block.text}\n{done.stderr[-2000:]}"
