"""Sandbox for untrusted contest submissions: limits of time and resources."""

import json
import math
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from stainproof.contest.bubblewrap import command, no_sandbox
from stainproof.contest.scratch import scratch_folder
from stainproof.errors import ConfigError, DataError, SubmissionError

LAUNCHER = Path(__file__).parent / "launcher.py"
APP = "/app"
"""Folder under which Codabench places the folders that a program's command names."""
DEFAULT_TIME_LIMIT_S = 600.0
"""Codabench's default."""
MAX_FILE_BYTES = 2**30
MAX_TASKS = 2048
"""Processes and threads of a program; TensorFlow starts several threads per core."""
MEMORY_RESERVE = 0.05
"""Share of the machine's memory that must stay available; if less is left, the program is ended."""
MAX_REASON_LENGTH = 300
KILL_WAIT_S = 5.0


@dataclass(frozen=True)
class Limits:
    """What a program may use."""

    time_limit_s: float = DEFAULT_TIME_LIMIT_S
    python: Path = Path(sys.executable)
    """Interpreter that runs it, with the packages that it needs."""
    hidden: tuple[str, ...] = ()
    """Packages that it cannot import."""
    fenced: bool = True
    """Whether it runs in the sandbox; only the user of this package may waive that."""


@dataclass(frozen=True)
class Usage:
    """What a program used."""

    seconds: float
    """Wall time, including the start of Python."""
    peak_mb: float
    """Largest resident set size of any of its processes, in MiB."""
    sandboxed: bool
    """Whether it ran in the sandbox."""


def missing_packages(python: Path, names: Iterable[str]) -> list[str]:
    """Return the packages that a Python interpreter cannot find.

    Raises:
        ConfigError: The interpreter cannot be started.
    """
    program = (
        "import sys, importlib.util as u\n"
        "print(*(name for name in sys.argv[1:] if u.find_spec(name) is None))"
    )
    return _output(python, program, *names).split()


def _output(python: Path, program: str, *arguments: str) -> str:
    """Return what a short program prints in a Python interpreter."""
    command = [str(python.absolute()), "-I", "-c", program, *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ConfigError(f"{python}: is no Python interpreter that can be started") from error
    return str(done.stdout)


def check_sandbox(limits: Limits) -> None:
    """Raise if a program with these limits cannot be run here.

    Raises:
        ConfigError: There is no sandbox and none was waived, or the interpreter cannot be started.
    """
    if limits.fenced:
        with scratch_folder() as root:
            (root / "app" / "output").mkdir(parents=True)
            with _started(root, limits, ["-S", "-c", ""], subprocess.PIPE) as process:
                _, errors = process.communicate()
            if process.returncode:
                raise no_sandbox(_last_line(errors))


def run_program(root: Path, limits: Limits, name: str, output: str) -> tuple[bytes | None, Usage]:
    """Run `app/program` of a folder as Codabench does, in a sandbox.

    The program has an empty environment. In the sandbox it sees the system's and Python's libraries
    and `root`, can write to `home` and `app/output` of `root` and to /tmp and /dev/shm, which are
    its own, in memory and of bounded size, and has no network. All of its processes end with it, at
    the time limit, and when this process ends. Without a sandbox (`limits.fenced`), only the
    resources and the time are limited.

    Args:
        root: Holds `app`, with `program`, `output` and the folders that its command names.
        limits: What the program may use.
        name: Begins the message of an error.
        output: Name of the file that the program writes to `app/output`.

    Returns:
        The content of that file, None if there is no regular file of at most 64 MiB, and what the
        program used.

    Raises:
        ConfigError: `limits.python` or the sandbox cannot be started.
        DataError: The program does not define its command.
        SubmissionError: The program fails or exceeds a limit.
    """
    program = _command(root)
    with tempfile.TemporaryFile() as log, tempfile.TemporaryFile() as report:
        settings = {
            "report": report.fileno(),
            "output": str(root / "app" / "output" / output),
            "hidden": limits.hidden,
            "cpu_s": math.ceil(limits.time_limit_s) * (os.cpu_count() or 1),
            "max_file_bytes": MAX_FILE_BYTES,
            "max_tasks": MAX_TASKS,
            "memory_reserve": MEMORY_RESERVE,
        }
        launcher = [str(LAUNCHER), json.dumps(settings), *program]
        with _started(root, limits, launcher, log, report.fileno()) as process:
            start = time.perf_counter()
            try:
                process.wait(limits.time_limit_s)
            except subprocess.TimeoutExpired as error:
                message = f"{name}: took longer than {limits.time_limit_s:g} s"
                raise SubmissionError(message) from error
            finally:
                _kill(process)
            seconds = time.perf_counter() - start
        report.seek(0)
        if not (line := report.readline()):
            # Bubblewrap or the launcher did not start, or was killed.
            log.seek(0)
            if process.returncode > 0:
                raise no_sandbox(_last_line(log.read()))
            raise SubmissionError(f"{name}: {_reason(b'', process.returncode)}")
        found = json.loads(line)
        errors = report.read(found["log"])
        if found["reason"] or found["code"]:
            raise SubmissionError(f"{name}: {found['reason'] or _reason(errors, found['code'])}")
        content = None if found["output"] is None else report.read(found["output"])
    return content, Usage(seconds, found["peak_kib"] / 1024, sandboxed=limits.fenced)


@contextmanager
def _started(
    root: Path, limits: Limits, arguments: list[str], errors: Any, *shared: int
) -> Iterator[subprocess.Popen[bytes]]:
    """Start Python with some arguments in the sandbox, or without it if it was waived."""
    python, *prefixes = _output(
        limits.python, "import sys; print(sys.executable, sys.prefix, sys.base_prefix, sep='\\n')"
    ).splitlines()
    home = root / "home"
    home.mkdir()
    with scratch_folder() as devices:
        words = [python, "-I", "-B", *arguments]
        if limits.fenced:
            places = (home, root / "app" / "output")
            sandbox = command((root, LAUNCHER), places, devices, python, prefixes)
            words = [*sandbox, "--", *words]
        yield subprocess.Popen(
            words,
            cwd=home,
            env={"HOME": str(home), "TMPDIR": str(home)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            pass_fds=shared,
            start_new_session=True,
        )


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a program with all of its processes, and wait until they are gone."""
    # Process 1 of the sandbox first: bubblewrap, its parent, ends when all of them are gone.
    with suppress(OSError):
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text("ascii")
        for child in children.split():
            os.kill(int(child), signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            process.wait(KILL_WAIT_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _command(root: Path) -> list[str]:
    """Return the script and arguments of a program's metadata.yaml, with this machine's paths."""
    path = root / "app" / "program" / "metadata.yaml"
    try:
        metadata = yaml.safe_load(path.read_text(encoding="utf-8"))
        first, *words = shlex.split(metadata["command"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError) as error:
        raise DataError(f"{path.name}: the contest's program defines no command") from error
    if not re.fullmatch(r"python[0-9.]*", first):
        raise DataError(f"{path.name}: runs {first!r}; only Python programs can be run here")
    app = str(root / "app")
    return [re.sub(f"^{APP}(?=/|$)", lambda _: app, word) for word in words]


def _reason(log: bytes, code: int) -> str:
    """Return in one line why a program ended: its own error message, or its last line."""
    if code < 0:
        return f"ended by signal {-code} ({signal.strsignal(-code)})"
    text = log.decode("utf-8", "replace")
    *_, message = re.split(r"^(?:ingestion|scoring): ", text, flags=re.MULTILINE)
    reason = _last_line(log) if message == text else _printable(message)
    hint = "; --python names a Python that has it" if "ModuleNotFoundError" in reason else ""
    return (reason or f"ended with exit code {code}") + hint


def _last_line(log: bytes) -> str:
    return _printable(log.decode("utf-8", "replace").rstrip().rpartition("\n")[2])


def _printable(text: str) -> str:
    words = "".join(letter if letter.isprintable() else " " for letter in text).split()
    return " ".join(words)[:MAX_REASON_LENGTH]
