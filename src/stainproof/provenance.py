"""Provenance of a result: version, commit, command, machine, time."""

import os
import platform
import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from stainproof.text import printable


class Provenance(BaseModel):
    """What is needed to judge and repeat a result."""

    model_config = ConfigDict(frozen=True)

    stainproof: str
    """Version of this package."""
    commit: str
    """Commit of the source tree, with `+changes` if it has uncommitted changes; `unknown` outside
    of one."""
    command: str
    """The command line, without passwords and without the folder of the program."""
    python: str
    torch: str
    numpy: str
    machine: str
    """Processor name, family and model, number of cores, operating system."""
    created: str
    """Time in UTC, ISO 8601."""


def collect() -> Provenance:
    """Describe this process, its machine and its source tree."""
    return Provenance(
        stainproof=_version("stainproof"),
        commit=_commit(),
        command=printable(shlex.join([_program(), *map(without_password, sys.argv[1:])])),
        python=platform.python_version(),
        torch=_version("torch"),
        numpy=_version("numpy"),
        machine=f"{processor()}, {os.cpu_count()} cores, {platform.system()}",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def without_password(word: str) -> str:
    """Return an address such as `postgresql://user:password@host` without the password."""
    word = re.sub(r"(://[^/\s:@]*):[^\s@]*@", r"\1:***@", word)
    return re.sub(r"([?&]password=)[^&\s]*", r"\1***", word)


def _program() -> str:
    name = Path(sys.argv[0]).name
    return "stainproof" if name == "__main__.py" else name


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def processor() -> str:
    """Return the processor's name with the family and model that tell its generations apart."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return platform.processor() or platform.machine()
    first = cpuinfo.read_text(encoding="utf-8", errors="replace").partition("\n\n")[0]
    facts = dict(re.findall(r"^([^\t:]+)\s*: (.*)$", first, re.MULTILINE))
    name = facts.get("model name") or platform.machine()
    if "cpu family" not in facts:
        return name
    return f"{name} (family {facts['cpu family']}, model {facts.get('model', 'unknown')})"


@cache
def _commit() -> str:
    folder = Path(__file__).parent
    if not any((parent / ".git").exists() for parent in folder.parents[:3]):
        return "unknown"
    try:
        revision = _git(folder, "rev-parse", "--short=12", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return revision + ("+changes" if changed else "")


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
    )
    return done.stdout.strip()
