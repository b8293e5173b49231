"""A program of a contest in a process of its own, within bounds."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import yaml

from stainproof.errors import ConfigError, DataError, SubmissionError

GUARD = Path(__file__).parent / "files" / "guard.py"
APP = "/app"
"""Where Codabench lays out the folders that a program's command names."""
USUAL_LIMIT_S = 600.0
"""Codabench's own, where a phase does not say."""
LONGEST_REASON = 300
TAIL_BYTES = 64 * 1024
NOTES_FILE = "notes.txt"


@dataclass(frozen=True)
class Bounds:
    """What a program may take and see."""

    time_limit_s: float = USUAL_LIMIT_S
    python: Path = Path(sys.executable)
    """What runs it; must have the packages that the program needs."""
    hidden: tuple[str, ...] = ()
    """Packages that it must not find."""


@dataclass(frozen=True)
class Usage:
    """What a program took."""

    seconds: float
    """From the start of Python to its end."""
    peak_mb: float | None
    """The most memory that it held; nothing where it kept that from being noted."""
    locked: bool | None
    """Whether the kernel kept it within bounds too, and not Python alone; nothing likewise."""


def packages_lacking(python: Path, names: Iterable[str]) -> list[str]:
    """Return those of some packages that a Python does not find.

    Raises:
        ConfigError: It cannot be started.
    """
    program = (
        "import sys, importlib.util as u\n"
        "print(*(name for name in sys.argv[1:] if u.find_spec(name) is None))"
    )
    command = [str(python.absolute()), "-I", "-c", program, *names]
    try:
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise ConfigError(f"{python}: is no Python that can be started") from error
    return str(printed).split()


def run_program(root: Path, bounds: Bounds, who: str) -> Usage:
    """Run `app/program` of a folder as Codabench would, its other folders beside it.

    The process has an empty environment, sees Python's libraries and this folder, and is ended with
    all that it started when the time is up.

    Args:
        root: Holds `app`, with `program` and what its command names.
        bounds: What it may take.
        who: Begins the message of an error.

    Raises:
        ConfigError: `bounds.python` is no program that can be started.
        DataError: The program does not say how it is run.
        SubmissionError: The program fails or takes too long.
    """
    home = root / "home"
    home.mkdir()
    python = bounds.python.absolute()
    command = [str(python), "-I", "-B", str(GUARD), _as_json(root, bounds), *_command(root)]
    began = time.perf_counter()
    with tempfile.TemporaryFile() as log:
        try:
            process = subprocess.Popen(
                command,
                cwd=home,
                env={"HOME": str(home), "TMPDIR": str(home)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
        except OSError as error:
            raise ConfigError(f"{bounds.python}: cannot be started ({error.strerror})") from error
        try:
            code = process.wait(bounds.time_limit_s)
        except subprocess.TimeoutExpired as error:
            raise SubmissionError(f"{who}: took longer than {bounds.time_limit_s:g} s") from error
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if code:
            log.seek(max(0, log.seek(0, os.SEEK_END) - TAIL_BYTES))
            raise SubmissionError(f"{who}: {_reason(log.read(TAIL_BYTES), code)}")
    return Usage(time.perf_counter() - began, *_read_notes(root / NOTES_FILE))


def _as_json(root: Path, bounds: Bounds) -> str:
    notes = str(root / NOTES_FILE)
    return json.dumps({"folder": str(root), "hidden": bounds.hidden, "notes": notes})


def _command(root: Path) -> list[str]:
    """Return the script and arguments of a program's metadata.yaml, on this machine's paths."""
    path = root / "app" / "program" / "metadata.yaml"
    try:
        metadata = yaml.safe_load(path.read_text(encoding="utf-8"))
        first, *words = shlex.split(metadata["command"])
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError) as error:
        raise DataError(f"{path.name}: the contest's program has no command in it") from error
    if not re.fullmatch(r"python[0-9.]*", first):
        raise DataError(f"{path.name}: runs {first!r}; only Python's programs can be run here")
    app = str(root / "app")
    return [re.sub(f"^{APP}(?=/|$)", lambda _: app, word) for word in words]


def _reason(tail: bytes, code: int) -> str:
    """Return in one line why a process ended: a program's own last words, or the last line."""
    if code < 0:
        return f"ended by signal {-code} ({signal.strsignal(-code)})"
    text = tail.decode("utf-8", "replace")
    *_, said = re.split(r"^(?:ingestion|scoring): ", text, flags=re.MULTILINE)
    if said == text:
        said = text.rstrip().rpartition("\n")[2]
    words = "".join(letter if letter.isprintable() else " " for letter in said).split()
    reason = " ".join(words)[:LONGEST_REASON] or f"ended with code {code}"
    hint = "; --python names a Python that has it" if "ModuleNotFoundError" in reason else ""
    return reason + hint


def _read_notes(path: Path) -> tuple[float | None, bool | None]:
    """Return what the guard noted, if it could."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size > 20:
        return None, None
    text = path.read_text(encoding="ascii", errors="replace")
    noted = re.fullmatch(r"([0-9]+\.[0-9]) ([01])", text)
    return (float(noted[1]), noted[2] == "1") if noted else (None, None)
