"""What remains of a submission when scoring is killed, and what happens without a sandbox."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from stainproof import api, cli
from stainproof.cli.app import app
from stainproof.contest.scoring import score
from stainproof.errors import SubmissionError
from tests.common.hostile import SIXES, needs_bubblewrap, write_submission


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return api.make_phantoms(tmp_path_factory.mktemp("data") / "cells", 8, seed=2)


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, whose path is in the arguments of all processes."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def num_running(folder: Path) -> int:
    lines = subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, text=True).stdout
    return sum(str(folder) in line for line in lines.splitlines())


def wait_for(folder: Path, numbers: range) -> None:
    for _ in range(400):
        if num_running(folder) in numbers:
            return
        time.sleep(0.05)
    raise AssertionError(f"{num_running(folder)} processes")


FORKS = "import time\nfor _ in range({num}):\n    if os.fork() == 0: os.setsid(); time.sleep(99)\n"


@needs_bubblewrap
@pytest.mark.parametrize("num", [50, pytest.param(1000, marks=pytest.mark.slow)])
def test_no_process_outlives_scoring(cells: Path, tmp_path: Path, scratch: Path, num: int) -> None:
    forks = FORKS.format(num=num)
    score(write_submission(tmp_path, forks + SIXES), cells)
    assert num_running(scratch) == 0 and not list(scratch.iterdir())
    with pytest.raises(SubmissionError, match="took longer than 1 s"):
        score(write_submission(tmp_path, f"{forks}while True: pass"), cells, time_limit_s=1)
    assert num_running(scratch) == 0 and not list(scratch.iterdir())


VERIFY = (
    "import numpy as np, sys; from pathlib import Path\n"
    "from stainproof.contest.sandbox import Limits\n"
    "from stainproof.contest.submission import verify\n"
    "images = np.zeros((1, 96, 96, 3), np.uint8)\n"
    "verify(Path(sys.argv[1]), images, np.zeros(1, int), Limits(), 'test')"
)


@needs_bubblewrap
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("command", ["score", "submit"])
def test_no_process_outlives_the_death_of_the_command(
    cells: Path, tmp_path: Path, scratch: Path, number: signal.Signals, command: str
) -> None:
    ignore = "import ctypes, signal\nctypes.CDLL(None).prctl(1, 0)\n"
    zipped = write_submission(tmp_path, f"{ignore}{FORKS.format(num=3)}while True: pass")
    words = {
        "score": ["-m", "stainproof", "score", str(zipped), "--on", str(cells)],
        "submit": ["-c", VERIFY, str(zipped)],
    }
    environment = {**os.environ, "TMPDIR": str(scratch)}
    process = subprocess.Popen(
        [sys.executable, *words[command]], env=environment, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(scratch, range(6, 99))
        process.send_signal(number)
        code = process.wait(20)
    finally:
        process.kill()
    wait_for(scratch, range(1))
    assert code != 0
    if command == "score" and number != signal.SIGKILL:
        assert code == 128 + number and not list(scratch.iterdir())


# Without a sandbox


def refuse_namespaces(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = folder / "bin" / "bwrap"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'bwrap: No permissions' >&2; exit 1")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")


COMMANDS = {
    "score": ["score", "s.zip", "--on", "nowhere"],
    "submit": ["submit", "no_run", "--out", "out.zip", "--runtime", "onnx"],
}


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS.keys())
@pytest.mark.parametrize("reason", ["bubblewrap (bwrap) is not installed", "bwrap: No permissions"])
def test_without_a_sandbox_the_command_is_refused_at_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    words: list[str],
    reason: str,
) -> None:
    if "installed" in reason:
        monkeypatch.setattr("shutil.which", lambda name: None)
    else:
        refuse_namespaces(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["stainproof", *words])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    out, err = capfd.readouterr()
    assert ended.value.code == 2 and out == ""
    (line,) = err.splitlines()
    assert line.startswith("stainproof: no sandbox for submissions here: ")
    assert reason in line and "--unfenced" in line
    assert not (tmp_path / "out.zip").exists()


def test_unfenced_runs_without_bubblewrap_and_says_so(
    cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    zipped = write_submission(tmp_path, SIXES)
    out = tmp_path / "score.json"
    words = ["score", str(zipped), "--on", str(cells), "--unfenced", "--out", str(out)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0 and "accuracy" in done.stdout
    (line,) = done.stderr.splitlines()
    assert "--unfenced: the submission can read your files and use the network" in line
    assert '"sandboxed": false' in out.read_text()


LEFT_BEHIND: dict[str, Any] = {
    "deep folders": "for _ in range(3000): os.mkdir('deep'); os.chdir('deep')",
    "locked folders": "os.makedirs('a/b/c'); os.chmod('a/b', 0); os.chmod('a', 0)",
    "link": "os.symlink({kept!r}, 'link')",
    "names": "os.makedirs('removed-0/removed-1/removed-0'); os.mkfifo('removed-1')",
}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(body, id=name, marks=[pytest.mark.slow] if name == "deep folders" else [])
        for name, body in LEFT_BEHIND.items()
    ],
)
def test_what_an_unfenced_submission_leaves_is_removed(
    cells: Path, tmp_path: Path, scratch: Path, body: str
) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("kept")
    zipped = write_submission(tmp_path, f"{body.format(kept=str(kept))}\n{SIXES}")
    assert not score(zipped, cells, unfenced=True).sandboxed
    assert not list(scratch.iterdir()) and (kept / "file").read_text() == "kept"
