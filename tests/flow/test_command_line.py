import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from stainproof import cli  # noqa: F401  every command registers
from stainproof.cli.app import PANELS, app
from tests.common.tiny import tiny_config

COMMANDS = tuple(name for names in PANELS.values() for name in names)


def stainproof(*arguments: Path | int | str) -> CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stainproof", *map(str, arguments)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def in_process(*arguments: Path | int | str) -> Any:
    return CliRunner().invoke(app, [str(one) for one in arguments])


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(command: str) -> None:
    done = stainproof(command, "--help")
    assert done.returncode == 0
    assert f"stainproof {command} " in done.stdout
    assert "Example" in done.stdout


def test_help_lists_every_command_once_in_the_order_of_the_panels() -> None:
    assert sorted(COMMANDS) == sorted(typer.main.get_group(app).commands)
    done = stainproof("--help")
    assert re.findall(r"^\W ([a-z]+) ", done.stdout, re.MULTILINE) == list(COMMANDS)
    assert all(f" {panel} " in done.stdout for panel in PANELS)


def test_help_and_import_load_neither_torch_nor_scipy() -> None:
    code = (
        "import sys, stainproof, stainproof.cli\n"
        "from typer.testing import CliRunner\n"
        "assert CliRunner().invoke(stainproof.cli.app, ['--help']).exit_code == 0\n"
        "heavy = ('torch', 'scipy', 'matplotlib', 'cv2', 'sklearn', 'optuna')\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
@pytest.mark.parametrize("signal_name", ["SIGINT", "SIGTERM"])
def test_an_interrupt_is_one_line_and_leaves_no_files(tmp_path: Path, signal_name: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "stainproof", "phantom", "--n", "100000", "--out", tmp_path / "out"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    # a shell's background job ignores SIGINT, and so would what it starts
    deadline = time.monotonic() + 60
    while not any(tmp_path.rglob("*.png")) and time.monotonic() < deadline:
        time.sleep(0.05)
    if signal_name == "SIGINT":  # as a terminal sends it, to every process of the command
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.terminate()
    out, err = process.communicate(timeout=60)
    code = 128 + getattr(signal, signal_name)
    assert (process.returncode, out, err) == (code, "", "stainproof: interrupted\n")
    assert not list(tmp_path.iterdir())


def test_phantoms_are_the_same_bytes_for_the_same_seed_in_every_process(tmp_path: Path) -> None:
    arguments = ("--n", 16, "--seed", 7)
    assert stainproof("phantom", "--out", tmp_path / "a", *arguments).returncode == 0
    assert in_process("phantom", "--out", tmp_path / "b", *arguments).exit_code == 0
    files = sorted((tmp_path / "a").rglob("*.png"))
    assert len(files) == 16
    for file in files:
        assert file.read_bytes() == (tmp_path / "b" / file.relative_to(tmp_path / "a")).read_bytes()


@pytest.mark.slow
def test_a_budget_beside_a_file_of_settings_takes_the_place_of_its_epochs(
    phantoms: Path, tmp_path: Path
) -> None:
    settings = tmp_path / "one_epoch.toml"
    settings.write_text(tiny_config("training.epochs=1").to_toml())
    done = in_process(
        "train", phantoms, "--out", tmp_path / "run", "--config", settings, "--budget", "2s"
    )
    assert done.exit_code == 0, done.output
    assert "time budget of 2 s used up after" in done.output
