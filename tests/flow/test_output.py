"""What the commands write, to a pipe and to a terminal."""

import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from rich.cells import cell_len

from tests.common.pty import on_terminal

STAINPROOF = (sys.executable, "-m", "stainproof")
NAME = "[red]x é ≥ 細"


def stainproof(*words: object, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*STAINPROOF, *map(str, words)],
        capture_output=True, check=False, env={**os.environ, **environment},
    )  # fmt: skip


def test_the_version_is_one_line() -> None:
    assert stainproof("--version").stdout.decode() == f"stainproof {version('stainproof')}\n"


def test_shells_can_complete_and_the_help_does_not_list_it() -> None:
    shown = stainproof("--show-completion", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert b"No such option" not in shown.stderr
    helped = stainproof("--help").stdout
    assert b"--version" in helped and b"completion" not in helped
    words = {"_STAINPROOF_COMPLETE": "complete_bash", "COMP_WORDS": "stainproof eva"}
    code = "import sys; sys.argv[0] = 'stainproof'; from stainproof.cli import main; main()"
    completed = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **words, "COMP_CWORD": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert completed.stdout.split() == ["evaluate"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "cp1252"},
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=("cp1252", "ascii", "C"),
)
def test_an_encoding_without_the_letters_is_no_traceback(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    done = stainproof("phantom", "--n", 8, "--size", 28, "--out", tmp_path / NAME, **environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"[red]x" in done.stdout and b"\\u" in done.stdout
    failed = stainproof("clean", NAME, "--audit", "none", "--out", tmp_path / "p", **environment)
    assert failed.returncode == 2
    assert failed.stderr.count(b"\n") == 1 and b"[red]x" in failed.stderr
    helped = stainproof("evaluate", "--help", **environment)
    assert (helped.returncode, helped.stderr) == (0, b"")


@pytest.mark.parametrize("columns", [60, 100])
def test_no_line_of_progress_is_wider_than_the_terminal(tmp_path: Path, columns: int) -> None:
    command = (*STAINPROOF, "phantom", "--n", 200, "--size", 28, "--out", "out")
    text = on_terminal(command, columns, tmp_path)
    lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text))
    assert any("drawing phantoms" in line for line in lines)
    assert max(map(cell_len, lines)) <= columns


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments", [["phantom", "--n", "8", "--out", "out"], ["train", "--help"]]
)
def test_no_color_writes_no_terminal_codes_on_a_terminal(
    tmp_path: Path, arguments: list[str]
) -> None:
    (tmp_path / "other").mkdir()
    command = *STAINPROOF, *arguments
    assert "\x1b" in on_terminal(command, 100, tmp_path)
    plain = on_terminal(command, 100, tmp_path / "other", NO_COLOR="1")
    assert "phantom cells in out" in plain or "Usage" in plain
    assert "\x1b" not in plain


def test_a_message_shows_control_characters_of_a_name() -> None:
    done = stainproof("clean", "a\x1b[31mb", "--audit", "none", "--out", "out.csv")
    assert done.returncode == 2
    assert rb"a\x1b[31mb" in done.stderr and b"\x1b" not in done.stderr
