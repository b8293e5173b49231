"""Sandbox for untrusted contest submissions: bubblewrap, time limit, launcher with limits."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import yaml

from stainproof.errors import ConfigError, DataError, SubmissionError

LAUNCHER = Path(__file__).parent / "launcher.py"
APP = "/app"
"""Folder under which Codabench places the folders that a program's command names."""
DEFAULT_TIME_LIMIT_S = 600.0
"""Codabench's default."""
MAX_REASON_LENGTH = 300
TAIL_BYTES = 64 * 1024
KILL_WAIT_S = 5.0

SYSTEM_PREFIXES = ("/", "/usr", "/usr/local")
LIBRARY_NAMES = ("bin", "lib", "lib64", "pyvenv.cfg")
"""What the sandbox contains of a prefix."""
SYSTEM_PATHS = ("/etc/ld.so.cache", "/etc/alternatives", "/nix/store", "/sys/devices/system/cpu")
"""Needed as well: by the dynamic linker, by interpreters that are links, to count the cores."""


@dataclass(frozen=True)
class Limits:
    """What a program may use."""

    time_limit_s: float = DEFAULT_TIME_LIMIT_S
    python: Path = Path(sys.executable)
    """Interpreter that runs it, with the packages that it needs."""
    hidden: tuple[str, ...] = ()
    """Packages that it cannot import."""


@dataclass(frozen=True)
class Usage:
    """What a program used."""

    seconds: float
    """Wall time, including the start of Python."""
    peak_mb: float
    """Largest resident set size of any of its processes, in MiB."""
    sandboxed: bool
    """Whether it ran in bubblewrap."""


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


def run_program(root: Path, limits: Limits, name: str) -> Usage:
    """Run `app/program` of a folder as Codabench does, in a sandbox.

    The program has an empty environment. In the sandbox it sees the system's and Python's libraries
    and `root`, can write to `root` and to a /tmp of its own, and has no network. All of its
    processes end with it, at the time limit, and when this process ends. Where bubblewrap is not
    installed or cannot create namespaces, only the resources and the time are limited.

    Args:
        root: Holds `app`, with `program` and the folders that its command names.
        limits: What the program may use.
        name: Begins the message of an error.

    Raises:
        ConfigError: `limits.python` cannot be started.
        DataError: The program does not define its command.
        SubmissionError: The program fails or exceeds the time limit.
    """
    home = root / "home"
    home.mkdir()
    python, *prefixes = _output(
        limits.python, "import sys; print(sys.executable, sys.prefix, sys.base_prefix, sep='\\n')"
    ).splitlines()
    sandbox = _sandbox(root, home, python, prefixes)
    program = _command(root)
    start = time.perf_counter()
    with tempfile.TemporaryFile() as log, tempfile.TemporaryFile() as report:
        launcher = [str(LAUNCHER), str(report.fileno()), ",".join(limits.hidden)]
        process = subprocess.Popen(
            [*sandbox, python, "-I", "-B", *launcher, *program],
            cwd=home,
            env={"HOME": str(home), "TMPDIR": str(home)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            pass_fds=[report.fileno()],
            start_new_session=True,
        )
        try:
            process.wait(limits.time_limit_s)
        except subprocess.TimeoutExpired as error:
            raise SubmissionError(f"{name}: took longer than {limits.time_limit_s:g} s") from error
        finally:
            _kill(process)
        seconds = time.perf_counter() - start
        code, peak_mb = _read_report(report, process.returncode)
        if code:
            raise SubmissionError(f"{name}: {_reason(log, code)}")
    return Usage(seconds, peak_mb, sandboxed=bool(sandbox))


def _sandbox(root: Path, home: Path, python: str, prefixes: Sequence[str]) -> list[str]:
    """Return the bubblewrap command in front of a program (bwrap(1)); empty if it cannot run."""
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        return []
    real_prefix = str(Path(python).resolve().parents[1])
    folders = dict.fromkeys((*SYSTEM_PREFIXES, *prefixes, real_prefix))
    libraries = [str(Path(folder, name)) for folder in folders for name in LIBRARY_NAMES]
    # The launcher is process 1: when it ends, the kernel kills all other processes. A sandbox that
    # root starts could use capabilities and write to /proc/sys, so both are taken away.
    command = [bwrap, "--unshare-all", "--as-pid-1", "--die-with-parent", "--new-session"]
    command += ["--cap-drop", "ALL", "--proc", "/proc", "--remount-ro", "/proc", "--dev", "/dev"]
    command += ["--tmpfs", "/tmp"]
    for path in (*libraries, *SYSTEM_PATHS, str(LAUNCHER)):
        command += ["--ro-bind-try", path, path]
    command += ["--bind", str(root), str(root), "--remount-ro", "/", "--chdir", str(home), "--"]
    probe = subprocess.run([*command, python, "-I", "-S", "-c", ""], capture_output=True)
    return command if probe.returncode == 0 else []


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


def _read_report(report: IO[bytes], code: int) -> tuple[int, float]:
    """Return exit code and peak memory in MiB as the launcher wrote them."""
    report.seek(0)
    text = report.read()
    if not text:
        # Bubblewrap or the launcher was killed.
        return code or -signal.SIGKILL, 0.0
    values = json.loads(text)
    return values["code"], values["peak_kib"] / 1024


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


def _reason(log: IO[bytes], code: int) -> str:
    """Return in one line why a program ended: its own error message, or its last line."""
    if code < 0:
        return f"ended by signal {-code} ({signal.strsignal(-code)})"
    log.seek(max(0, log.seek(0, os.SEEK_END) - TAIL_BYTES))
    text = log.read().decode("utf-8", "replace")
    *_, message = re.split(r"^(?:ingestion|scoring): ", text, flags=re.MULTILINE)
    if message == text:
        message = text.rstrip().rpartition("\n")[2]
    words = "".join(letter if letter.isprintable() else " " for letter in message).split()
    reason = " ".join(words)[:MAX_REASON_LENGTH] or f"ended with exit code {code}"
    hint = "; --python names a Python that has it" if "ModuleNotFoundError" in reason else ""
    return reason + hint
