"""What a program in the sandbox can reach: its own folder and libraries, nothing else."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from stainproof.contest.sandbox import Limits, check_sandbox, missing_packages, run_program
from stainproof.errors import ConfigError, DataError, SubmissionError
from tests.common.hostile import needs_bubblewrap

COMMAND = "command: python3 /app/program/program.py /app/output"
pytestmark = needs_bubblewrap


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Any]:
    """Run the text of a program; return its usage and what it printed."""

    def call(program: Any, command: Any = COMMAND, **limits: Any) -> Any:
        root = tmp_path / "root"
        shutil.rmtree(root, ignore_errors=True)
        folder, output = root / "app" / "program", root / "app" / "output"
        folder.mkdir(parents=True)
        output.mkdir()
        report = "import sys; sys.stdout = open(sys.argv[1] + '/printed.txt', 'w')\n"
        (folder / "program.py").write_text(report + program)
        (folder / "metadata.yaml").write_text(command)
        printed, usage = run_program(root, Limits(**limits), "test", "printed.txt")
        return usage, (printed or b"").decode()

    return call


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file beside the program's folder."""
    path = tmp_path / "labels.json"
    path.write_text("the labels")
    return path


ATTACKS = {
    "read": "open({secret!r}).read()",
    "read through proc": "open('/proc/self/root' + {secret!r})",
    "read with C": "import ctypes; libc = ctypes.CDLL(None)\n"
    "if libc.open({secret!r}.encode(), 0) < 0: raise OSError",
    "list": "import os; assert os.path.basename({secret!r}) in os.listdir('../..')",
    "passwords": "open('/etc/shadow').read()",
    "kernel settings": "open('/proc/sys/kernel/hostname', 'w').write('x')",
    "kernel settings with C": "import ctypes; libc = ctypes.CDLL(None)\n"
    "if libc.open(b'/proc/sys/vm/overcommit_memory', 1) < 0: raise OSError",
    "system": "open('/usr/bin/evil', 'w')",
    "interpreter": "import sys; open(sys.prefix + '/lib/evil', 'w')",
    "remount": "import ctypes; libc = ctypes.CDLL(None)\n"
    "if libc.mount(None, b'/', None, 4096 | 32, None): raise OSError",
    "parent": "open('/proc/{pid}/environ')",
    "signal": "import os; os.kill({pid}, 15)",
    "download": "import urllib.request; urllib.request.urlopen('http://127.0.0.1:{port}')",
    "TCP": "import socket; socket.create_connection(('127.0.0.1', {port}), 2)",
    "address": "import socket; socket.getaddrinfo('example.org', 80)",
    "user namespace": "import ctypes; libc = ctypes.CDLL(None)\n"
    "if libc.unshare(0x10000000 | 0x20000): raise OSError",
    "datagram": "import socket\n"
    "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('8.8.8.8', 53))",
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_an_attack_fails(run: Callable[..., Any], secret: Path, attack: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]
        with pytest.raises(SubmissionError, match="rror"):
            run(attack.format(secret=str(secret), pid=os.getpid(), port=port))
        with pytest.raises(TimeoutError):
            server.accept()


CHANGES = {
    "write": "open({secret!r}, 'w').write('changed')",
    "append": "open({secret!r}, 'a').write('changed')",
    "create": "open({secret!r} + '.evil', 'w')",
    "delete": "os.remove({secret!r})",
    "rename": "os.rename({secret!r}, 'mine')",
    "hard link": "os.link({secret!r}, 'mine')",
    "times": "os.utime({secret!r}, (0, 0))",
    "times of the folder": "os.utime(os.path.dirname({secret!r}), (0, 0))",
    "mode of the folder": "os.chmod(os.path.dirname({secret!r}), 0)",
    "shared temporary folder": "open('/tmp/stainproof-evil', 'w')",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_nothing_outside_of_its_folder_changes(
    run: Callable[..., Any], tmp_path: Path, secret: Path, change: str
) -> None:
    before, mode = secret.stat(), tmp_path.stat().st_mode
    with suppress(SubmissionError):
        run(f"import os; {change.format(secret=str(secret))}")
    after = secret.stat()
    assert (after.st_mtime, after.st_nlink) == (before.st_mtime, before.st_nlink)
    assert tmp_path.stat().st_mode == mode and tmp_path.stat().st_mtime > 0
    assert secret.read_text() == "the labels"
    assert {path.name for path in tmp_path.iterdir()} == {"root", secret.name}
    assert not Path("/tmp/stainproof-evil").exists()


def test_environment_and_processes_of_the_machine_are_hidden(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "123")
    program = (
        "import os; print(sorted(os.environ), [n for n in os.listdir('/proc') if n.isdigit()])"
    )
    usage, printed = run(program)
    assert usage.sandboxed
    assert "SECRET" not in printed and "'1', '2'" in printed and "'4'" not in printed


def test_report_of_memory_and_exit_code_cannot_be_forged(run: Callable[..., Any]) -> None:
    forge = (
        "import os\n"
        "for name in os.listdir('/proc/1/fd'):\n"
        "    try: os.write(os.open(f'/proc/1/fd/{name}', os.O_WRONLY), b'{\"code\": 0}')\n"
        "    except OSError: pass\n"
        "for number in range(3, 50):\n"
        "    try: os.write(number, b'{\"code\": 0}')\n"
        "    except OSError: pass\n"
        "for number in (9, 15, 19): os.kill(1, number)\n"
    )
    usage, _ = run(f"{forge}x = bytearray(2**27)\n")
    assert 128 < usage.peak_mb < 192
    with pytest.raises(SubmissionError, match="ended with exit code 3"):
        run(f"{forge}sys.exit(3)")


FORKS = "import os, time\n{loop}:\n    if os.fork() == 0:\n        os.setsid()\n        {body}\n"


def test_no_process_survives(run: Callable[..., Any], tmp_path: Path) -> None:
    def num_alive() -> Any:
        lines = subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, text=True).stdout
        return sum(str(tmp_path) in line for line in lines.splitlines())

    forks = FORKS.format(loop="for _ in range(100)", body="while True: time.sleep(1)")
    run(forks)
    assert num_alive() == 0
    start = time.monotonic()
    with pytest.raises(SubmissionError, match="took longer than 1 s"):
        run(f"{forks}while True: pass", time_limit_s=1.0)
    assert num_alive() == 0 and time.monotonic() - start < 10


def test_its_own_folder_and_the_libraries_can_be_used(run: Callable[..., Any]) -> None:
    program = (
        "import sys, numpy, json, ssl, sqlite3, tempfile, os, subprocess\n"
        "from pathlib import Path\n"
        "Path('deep').mkdir(); Path('deep/mine.txt').write_text('mine')\n"
        "Path('deep/mine.txt').rename('mine.txt'); Path('deep').rmdir()\n"
        "with tempfile.TemporaryFile() as file: file.write(b'1')\n"
        "subprocess.run(['/bin/sh', '-c', 'true'], check=True)\n"
        "assert os.cpu_count() and Path('/proc/cpuinfo').exists()\n"
        "print(Path('mine.txt').read_text(), sys.argv[2:])"
    )
    usage, printed = run(program, COMMAND + " --word /apple /app")
    assert printed.split()[:2] == ["mine", "['--word',"]
    assert printed.split()[2] == "'/apple'," and printed.strip().endswith("root/app']")
    assert usage.seconds > 0


def test_an_environment_elsewhere_is_visible_through_links(
    run: Callable[..., Any], tmp_path: Path
) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "real"], check=True)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for python in (tmp_path / "real", tmp_path / "link"):
        usage, printed = run("print(sys.prefix)", python=python / "bin" / "python")
        assert printed.strip() == str(python)
        assert usage.sandboxed


def test_a_hidden_package_cannot_be_imported(run: Callable[..., Any]) -> None:
    with pytest.raises(SubmissionError, match=r"ModuleNotFoundError: .*numpy"):
        run("import numpy", hidden=("stainproof", "numpy"))
    run("import numpy", hidden=("stainproof",))


def test_peak_memory_is_that_of_the_largest_process(run: Callable[..., Any]) -> None:
    small = run("")[0].peak_mb
    assert 1 < small < 50
    child = "import os\nif os.fork() == 0: x = bytearray(2**28); sys.exit()\nos.wait()"
    assert 256 < run(child)[0].peak_mb < 320


def test_resources_are_limited(run: Callable[..., Any]) -> None:
    _, printed = run(
        "import resource as r\n"
        "for name in ('DATA', 'AS', 'FSIZE', 'NPROC', 'CORE'):\n"
        "    print(name, *r.getrlimit(getattr(r, f'RLIMIT_{name}')))"
    )
    limits = {line.split()[0]: line.split()[1:] for line in printed.splitlines()}
    assert all(soft == hard != "-1" for soft, hard in limits.values()), limits
    assert limits["CORE"] == ["0", "0"]
    with pytest.raises(SubmissionError, match="File too large"):
        run("open('big', 'wb').truncate(2**40)")
    with pytest.raises(SubmissionError, match="MemoryError"):
        run("bytearray(2**42)")
    with pytest.raises(SubmissionError, match="Cannot allocate memory"):
        run("import mmap; mmap.mmap(-1, 2**42)")


def test_without_the_sandbox_the_program_runs_with_limits(run: Callable[..., Any]) -> None:
    usage, printed = run("import os; print(os.getcwd())", fenced=False)
    assert not usage.sandboxed and printed.strip().endswith("home") and usage.peak_mb > 1
    with pytest.raises(SubmissionError, match="took longer than 1 s"):
        run("while True: pass", time_limit_s=1.0, fenced=False)
    with pytest.raises(SubmissionError, match="ended by signal 6"):
        run("import os; os.abort()", fenced=False)
    with pytest.raises(SubmissionError, match="File too large"):
        run("open('big', 'wb').truncate(2**40)", fenced=False)


def test_without_bubblewrap_nothing_runs(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(ConfigError, match=r"bwrap\) is not installed .*; --unfenced runs"):
        run("")
    with pytest.raises(ConfigError, match=r"bwrap\) is not installed"):
        check_sandbox(Limits())
    check_sandbox(Limits(fenced=False))


def test_bubblewrap_that_cannot_create_namespaces_says_why_and_nothing_runs(
    run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing = tmp_path / "bwrap"
    refusing.write_text("#!/bin/sh\necho 'bwrap: No permissions to create a namespace' >&2; exit 1")
    refusing.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    for attempt in (lambda: run(""), lambda: check_sandbox(Limits())):
        with pytest.raises(ConfigError, match="here: bwrap: No permissions to create a namespace;"):
            attempt()


def test_root_that_cannot_give_the_program_its_own_device_files_is_told(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.mknod", refuse)
    monkeypatch.setattr("os.geteuid", lambda: Path("/dev/null").stat().st_uid)
    with pytest.raises(ConfigError, match=r"could change /dev/null.*; run this as another user"):
        run("")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("", "metadata.yaml: the contest's program defines no command"),
        ("command: 3", "metadata.yaml: the contest's program defines no command"),
        ("command: bash program.sh", "metadata.yaml: runs 'bash'; only Python"),
    ],
)
def test_a_program_that_cannot_be_run_is_an_error_of_the_contest(
    run: Callable[..., Any], command: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        run("", command)


def test_an_interpreter_that_cannot_be_started_is_named(run: Callable[..., Any]) -> None:
    for python in (Path("/no/python"), Path("/bin/false")):
        with pytest.raises(ConfigError, match=f"{python}: is no Python"):
            run("", python=python)
        with pytest.raises(ConfigError, match=f"{python}: is no Python"):
            missing_packages(python, ["numpy"])
