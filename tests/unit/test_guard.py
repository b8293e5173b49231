"""The fence around a submission: what is refused inside it, and what is not."""

import ctypes
import json
import subprocess
import sys

import pytest

from stainproof.contest.sandbox import GUARD


@pytest.fixture
def run(tmp_path):
    """Run a program's text inside the fence; return its process."""
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret.txt").write_text("the labels")

    def call(program, *arguments, hidden=()):
        (inside / "program.py").write_text(program)
        bounds = {"folder": str(inside), "hidden": hidden, "notes": str(inside / "notes.txt")}
        return subprocess.run(
            [sys.executable, "-I", "-B", GUARD, json.dumps(bounds), inside / "program.py",
             *arguments],
            cwd=inside, env={}, capture_output=True, text=True, check=False,
        )  # fmt: skip

    return call


LANDLOCK_CREATE_RULESET = 444
"""The system call; with flag 1 the kernel says which version it has."""
SECRET = "../secret.txt"
REFUSED = {
    "read": f"open({SECRET!r}).read()",
    "read with os": f"import os; os.open({SECRET!r}, os.O_RDONLY)",
    "read through proc": "import os\nopen('/proc/self/root' + os.path.abspath('../secret.txt'))",
    "list": "import os; os.listdir('..')",
    "scan": "import os; os.scandir('..')",
    "write": "open('../evil.txt', 'w')",
    "append": f"open({SECRET!r}, 'a')",
    "delete": f"import os; os.remove({SECRET!r})",
    "rename": f"import os; os.rename({SECRET!r}, 'mine')",
    "link": f"import os; os.symlink(os.path.abspath({SECRET!r}), 'mine')",
    "hard link": f"import os; os.link({SECRET!r}, 'mine')",
    "make a folder": "import os; os.mkdir('../evil')",
    "change the memory": "open('/proc/self/mem', 'r+b')",
    "look at another process": "import os; open(f'/proc/{os.getppid()}/environ')",
    "socket": "import socket; socket.socket()",
    "address": "import socket; socket.getaddrinfo('example.org', 80)",
    "download": "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9')",
    "shell": "import os; os.system('true')",
    "program": "import subprocess; subprocess.run(['true'])",
    "fork": "import os; os.fork()",
    "exec": "import os; os.execv('/bin/true', ['true'])",
    "kill": "import os, signal; os.kill(os.getppid(), signal.SIGTERM)",
}


@pytest.mark.parametrize("program", REFUSED.values(), ids=REFUSED.keys())
def test_what_leaves_the_folder_is_refused(run, tmp_path, program):
    done = run(program)
    assert done.returncode == 1
    assert "out of bounds" in done.stderr or "the network" in done.stderr \
        or "no other process" in done.stderr, done.stderr  # fmt: skip
    assert (tmp_path / "secret.txt").read_text() == "the labels"
    assert {path.name for path in tmp_path.iterdir()} == {"inside", "secret.txt"}


def test_a_search_of_the_whole_disk_finds_nothing(run):
    done = run("from pathlib import Path; print(list(Path('..').rglob('*')))")
    assert done.stdout.strip() == "[]"


BLINDED = "import os; os.path.realpath = lambda path, **_: os.getcwd()\n"
"""Blinds the audit hook: every path now seems to lie in its own folder."""


@pytest.mark.parametrize(
    "program",
    [
        f"print(open({SECRET!r}).read())",
        "print(os.listdir('..'))",
        "open('../evil.txt', 'w')",
        f"os.rename({SECRET!r}, '../other.txt')",
        "import ctypes; sys = ctypes.CDLL(None, use_errno=True)\n"
        f"assert sys.open({SECRET!r}.encode(), 0) >= 0",
    ],
)
def test_the_kernel_refuses_what_gets_round_python_where_it_has_landlock(run, tmp_path, program):
    assert run("").returncode == 0
    version = ctypes.CDLL(None).syscall(LANDLOCK_CREATE_RULESET, None, 0, 1)
    locked = (tmp_path / "inside" / "notes.txt").read_text().endswith(" 1")
    assert locked == (version >= 1)
    before = {path.name for path in tmp_path.iterdir()}
    done = run(BLINDED + program)
    assert (done.returncode == 1) == locked, done.stdout
    assert not locked or {path.name for path in tmp_path.iterdir()} == before


def test_its_own_folder_and_the_libraries_can_be_used(run):
    program = (
        "import sys, numpy, json, tempfile\n"
        "from pathlib import Path\n"
        "Path('deep').mkdir(); Path('deep/mine.txt').write_text('mine')\n"
        "Path('deep/mine.txt').rename('mine.txt'); Path('deep').rmdir()\n"
        "print(Path('mine.txt').read_text(), sys.argv[1:], Path('/proc/cpuinfo').exists())\n"
        "with tempfile.TemporaryFile() as file: file.write(b'1')"
    )
    done = run(program, "--word")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[:2] == ["mine", "['--word']"]


def test_a_hidden_package_is_not_found(run):
    done = run("import stainproof", hidden=("stainproof",))
    assert done.returncode == 1 and "ModuleNotFoundError" in done.stderr
    assert run("import numpy", hidden=("stainproof",)).returncode == 0


def test_the_most_memory_held_is_noted_even_where_the_program_fails(run, tmp_path):
    big = "import numpy; x = numpy.ones(25_000_000)"
    assert run(big).returncode == 0
    notes = tmp_path / "inside" / "notes.txt"
    assert 200 < float(notes.read_text().split()[0]) < 400
    notes.unlink()
    assert run(f"{big}; raise ValueError").returncode == 1
    assert float(notes.read_text().split()[0]) > 200


def test_memory_and_files_have_an_end(run):
    done = run(
        "import resource as r; print(r.getrlimit(r.RLIMIT_DATA), r.getrlimit(r.RLIMIT_FSIZE))"
    )
    assert "-1" not in done.stdout
    done = run("file = open('big', 'wb'); file.truncate(2**40)")
    assert done.returncode == 1 and "File too large" in done.stderr
