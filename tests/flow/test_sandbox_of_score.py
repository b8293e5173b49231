"""Attacks on the sandbox by submissions to `score`: what they reach, change, use up and forge."""

import ctypes
import json
import os
import platform
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stainproof import api
from stainproof.contest import bubblewrap, sandbox
from stainproof.contest.competition import competition
from stainproof.contest.scoring import score
from stainproof.errors import SubmissionError
from tests.common.hostile import SIXES, needs_bubblewrap, write_submission

pytestmark = [needs_bubblewrap, pytest.mark.slow]
needs_x86 = pytest.mark.skipif(
    platform.machine() != "x86_64", reason="the numbers of system calls are of x86-64"
)
C = "import ctypes; c = ctypes.CDLL(None, use_errno=True)\n"
REFUSED = "< 0: raise OSError(ctypes.get_errno(), 'refused')"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A contest of eight images."""
    folder = tmp_path_factory.mktemp("contest")
    cells = api.make_phantoms(folder / "cells", 8, seed=2)
    competition(cells, cells, folder / "bundle")
    return folder / "bundle"


@pytest.fixture
def attack(bundle: Path, tmp_path: Path) -> Callable[..., Any]:
    """Score a submission that runs `body`, with the names in braces filled in."""
    truth = bundle / "development" / "reference_data" / "labels.json"
    assert len(json.loads(truth.read_text())["labels"]) == 8
    names = {"pid": os.getpid(), "truth": truth, "bundle": bundle, "outside": tmp_path}

    def call(body: str, time_limit_s: float = 20, **more: Any) -> Any:
        for name, value in {**names, **more}.items():
            body = body.replace(f"{{{name}}}", str(value))
        zipped = write_submission(tmp_path, f"{body}\n{SIXES}")
        return score(zipped, bundle, time_limit_s=time_limit_s)

    return call


LINE = (
    r"model\.py, line \d+: (OS|Permission|FileNotFound|ProcessLookup|ConnectionRefused)Error: "
    r"|model\.py, line \d+: gaierror: "
)
REACHING_OUT = {
    "password hashes": "open('/etc/shadow').read()",
    "password hashes, with C": f"{C}if c.open(b'/etc/shadow', 0) {REFUSED}",
    "users": "open('/etc/passwd').read()",
    "home folders": "os.listdir('/home')",
    "home folder of root": "open('/root/.profile')",
    "variable data": "os.listdir('/var')",
    "labels": "open('{truth}').read()",
    "labels, through the root of the process": "open('/proc/self/root{truth}')",
    "labels, through the scorer": "open('/proc/{pid}/root{truth}')",
    "bundle": "os.listdir('{bundle}')",
    "environment of the scorer": "open('/proc/{pid}/environ').read()",
    "environment of the scorer, with C": f"{C}if c.open(b'/proc/{{pid}}/environ', 0) {REFUSED}",
    "environment of process 1": "open('/proc/1/environ').read()",
    "files of process 1": "[os.readlink(f'/proc/1/fd/{n}') for n in range(3, 6)]",
    "memory of process 1": "open('/proc/1/mem', 'r+b')",
    "tracing of process 1": f"{C}if c.ptrace(16, 1, None, None) {REFUSED}",
    "files of process 1, with pidfd": f"{C}if c.syscall(438, os.pidfd_open(1), 3, 0) {REFUSED}",
    "signal to the scorer": "os.kill({pid}, 15)",
    "priority of the scorer": "os.setpriority(os.PRIO_PROCESS, {pid}, 19)",
    "priority of its own": "os.setpriority(os.PRIO_PROCESS, 0, -1)",
    "processors of the scorer": "os.sched_setaffinity({pid}, [0])",
    "limits of the scorer": "import resource as r; r.prlimit({pid}, r.RLIMIT_NOFILE, (9, 9))",
    "TCP": "import socket; socket.create_connection(('127.0.0.1', {port}), 2)",
    "UDP": "import socket as s\ns.socket(s.AF_INET, s.SOCK_DGRAM).sendto(b'x', ('127.0.0.9', 53))\n"
    "s.socket(s.AF_INET, s.SOCK_DGRAM).sendto(b'x', ('8.8.8.8', 53))",
    "UDP, with C": f"{C}import struct\n"
    "address = struct.pack('=H', 2) + struct.pack('>HI8x', 53, 0x08080808)\n"
    f"if c.sendto(c.socket(2, 2, 0), b'x', 1, 0, address, 16) {REFUSED}",
    "UDP over IPv6": "import socket as s\n"
    "s.socket(s.AF_INET6, s.SOCK_DGRAM).sendto(b'x', ('2001:4860:4860::8888', 53))",
    "names": "import socket; socket.getaddrinfo('example.org', 80)",
    "raw packets": "import socket as s; s.socket(s.AF_INET, s.SOCK_RAW, s.IPPROTO_ICMP)",
    "abstract socket": "import socket as s\ns.socket(s.AF_UNIX).connect('\\0stainproof-{pid}')",
    "namespaces of its own": f"{C}if c.unshare(0x10000000 | 0x20000) {REFUSED}",
    "namespace of the machine": f"{C}if c.setns(os.open('/proc/1/ns/mnt', 0), 0) {REFUSED}",
    "mount": f"{C}if c.mount(b'x', b'/tmp', b'tmpfs', 0, None) {REFUSED}",
    "remount": f"{C}if c.mount(None, b'/', None, 4096 | 32, None) {REFUSED}",
    "unmount": f"{C}if c.umount2(os.getcwd().encode(), 2) {REFUSED}",
    "root folder": "os.chroot('/tmp')",
    "device file": "os.mknod('disk', 0o60600, os.makedev(8, 0))",
    "host name": "import socket; socket.sethostname('evil')",
    "clock": "import time; time.clock_settime(time.CLOCK_REALTIME, time.time())",
    "kernel setting": "open('/proc/sys/kernel/core_pattern', 'w').write('|/evil')",
    "kernel setting, with C": f"{C}if c.open(b'/proc/sys/vm/overcommit_memory', 1) {REFUSED}",
    "processor setting": "open('/sys/devices/system/cpu/cpu0/online', 'w')",
    "library": "open('/usr/lib/evil-submission', 'w')",
    "interpreter": "open(sys.prefix + '/bin/evil-submission', 'w')",
    "its programs": "open('../app/program/ingestion.py', 'a')",
    "its images": "open('../app/input_data/images.npy', 'r+b')",
    "its code": "os.chmod(__file__, 0o777)",
    "outside file": "os.utime('{truth}', (0, 0))",
    "hard link": "os.link('/usr/bin/env', 'env')",
    "rights of a program": "os.chmod(sys.executable, 0o4777)",
}


@pytest.mark.parametrize("body", REACHING_OUT.values(), ids=REACHING_OUT.keys())
def test_a_submission_cannot_reach_out_of_the_sandbox(
    attack: Callable[..., Any], body: str
) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_UNIX) as local,
    ):
        local.bind(f"\0stainproof-{os.getpid()}")
        local.listen()
        with pytest.raises(SubmissionError, match=LINE):
            attack(body, port=server.getsockname()[1])


CHANGES = {
    "mode": "os.chmod('{outside}', 0)",
    "mode, with C": f"{C}c.chmod(b'{{outside}}', 0)",
    "times": "os.utime('{outside}', (0, 0))",
    "owner": "os.chown('{outside}', 1, 1)",
    "file": "open('{outside}/evil', 'w')",
    "folder": "os.rmdir('{outside}/kept')",
    "mode of the null device": "os.chmod('/dev/null', 0o600)",
    "mode of the null device, as standard input": "os.fchmod(0, 0o600)",
    "mode of the null device, as standard output": "os.fchmod(1, 0o600)",
    "mode of the random device": "os.chmod('/dev/urandom', 0o600)",
    "shared temporary folder": "open('/tmp/evil-submission', 'w')",
    "shared memory": "open('/dev/shm/evil-submission', 'w')",
    "all processes": "os.kill(-1, 9)",
}


@pytest.mark.parametrize("body", CHANGES.values(), ids=CHANGES.keys())
def test_a_submission_changes_nothing_outside(
    attack: Callable[..., Any], tmp_path: Path, body: str
) -> None:
    (tmp_path / "kept").mkdir()
    places = [tmp_path, *map(Path, ("/dev/null", "/dev/zero", "/dev/urandom"))]
    before = [(place.stat().st_mode, place.stat().st_uid) for place in places]
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    try:
        attack(f"from contextlib import suppress\nwith suppress(OSError):\n{lines}")
        after = [(place.stat().st_mode, place.stat().st_uid) for place in places]
    finally:
        for place, (mode, _) in zip(places, before, strict=True):
            if place.stat().st_mode != mode:
                place.chmod(mode & 0o7777)
    assert after == before and tmp_path.stat().st_mtime > 10
    assert {path.name for path in tmp_path.iterdir()} == {"kept", "s.zip"}
    for folder in ("/tmp", "/dev/shm"):
        assert not (Path(folder) / "evil-submission").exists()


def test_every_folder_that_a_submission_can_write_to_is_bounded(
    attack: Callable[..., Any],
) -> None:
    attack(
        "for line in open('/proc/self/mountinfo'):\n"
        "    words = line.split()\n"
        "    if 'rw' in words[5].split(',') and os.path.isdir(words[4]):\n"
        "        found = os.statvfs(words[4])\n"
        "        assert found.f_blocks * found.f_frsize <= 2**30, line"
    )


@needs_x86
def test_a_submission_cannot_read_the_keys_of_the_users_session(
    attack: Callable[..., Any],
) -> None:
    libc = ctypes.CDLL(None)
    key = libc.syscall(248, b"user", b"stainproof-test", b"secret", 6, -3)
    if key < 0:
        pytest.skip("this system keeps no keys")
    read = f"buffer = ctypes.create_string_buffer(9)\nif c.syscall(250, {{how}}) {REFUSED}"
    try:
        for how in ("10, -3, b'user', b'stainproof-test', 0", f"11, {key}, buffer, 9"):
            with pytest.raises(SubmissionError, match=r"Error: .*refused"):
                attack(C + read, how=how)
    finally:
        libc.syscall(250, 9, key, -3)


FILL = (
    "for number in range(9):\n"
    "    with open(f'{folder}/{number}', 'wb') as file: file.write(bytes(2**19))"
)
THREADS = (
    "import threading, time\nfor _ in range(999): threading.Thread(target=time.sleep, args=(9,)"
)
USING_UP = {
    "three times the memory": (
        "import mmap\nmmap.mmap(-1, 3 * os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE'))",
        "Cannot allocate memory",
    ),
    "three times the memory, with C": (
        f"{C}size = 3 * os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')\n"
        "c.mmap.restype = ctypes.c_size_t\n"
        "if c.mmap(None, ctypes.c_size_t(size), 3, 34, -1, 0) == 2**64 - 1: raise MemoryError",
        "MemoryError",
    ),
    "an array of 4 TiB": ("bytearray(2**42)", "MemoryError"),
    "a sparse file of 1 TiB": ("open('big', 'wb').truncate(2**40)", "File too large"),
    "a large file": ("open('big', 'wb').write(bytes(2**20))", "File too large"),
    "a file in memory": ("os.ftruncate(os.memfd_create('x'), 2**31)", "File too large"),
    "many files": (FILL.replace("{folder}", "."), "No space left"),
    "many files in /tmp": (FILL.replace("{folder}", "/tmp"), "No space left"),
    "many files in shared memory": (FILL.replace("{folder}", "/dev/shm"), "No space left"),
    "many files of output": (FILL.replace("{folder}", "../app/output"), "No space left"),
    "many links": ("for i in range(10**6): os.symlink('x' * 4000, str(i))", "No space left"),
    "endless messages": ("while True: os.write(2, bytes(2**16))", "ended with exit code 1"),
    "endless files": ("kept = [open('/dev/zero') for _ in range(10**7)]", "Too many open files"),
    "a fork bomb": ("while True: os.fork()", "processes and threads|temporarily unavailable"),
    "threads": (f"{THREADS}, daemon=True).start()", "processes and threads|start new thread"),
    "a process that does not end": ("os.fork()\nwhile True: pass", "took longer than 1 s"),
    "a process that stops": ("os.kill(os.getpid(), 19)", "took longer than 1 s"),
    "ignored signals": (
        "import signal\nfor number in (1, 2, 15): signal.signal(number, signal.SIG_IGN)\n"
        "while True: pass",
        "took longer than 1 s",
    ),
}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(*values, id=name, marks=[pytest.mark.slow] if name == "a fork bomb" else [])
        for name, values in USING_UP.items()
    ],
)
def test_a_submission_cannot_use_up_the_machine(
    attack: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, body: str, message: str
) -> None:
    monkeypatch.setattr(sandbox, "MAX_FILE_BYTES", 2**19)
    monkeypatch.setattr(sandbox, "MAX_TASKS", 100)
    monkeypatch.setattr(bubblewrap, "MAX_FOLDER_BYTES", 2**20)
    with pytest.raises(SubmissionError, match=message):
        attack(body, time_limit_s=1 if "took" in message else 30)


def test_a_submission_that_leaves_no_memory_to_others_is_ended(
    attack: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "MEMORY_RESERVE", 1.0)
    with pytest.raises(SubmissionError, match="left less than 100% of the machine's memory"):
        attack("while True: pass")


FORGE = (
    "import json\n"
    "note = json.dumps({'code': 0, 'reason': '', 'peak_kib': 1, 'log': 0, 'output': 16})\n"
    "note = note.encode() + b'\\n' + b'6\\n' * 8\n"
    "for number in range(3, 99):\n"
    "    try: os.write(number, note)\n"
    "    except OSError: pass\n"
    "for name in ('/proc/1/fd/3', '/proc/self/fd/3', '/proc/self/fd/4', '/dev/fd/3'):\n"
    "    try: open(name, 'wb').write(note)\n"
    "    except OSError: pass\n"
    "for number in (1, 2, 9, 10, 12, 13, 15, 17, 19): os.kill(1, number)\n"
)


def test_measurements_cannot_be_forged(attack: Callable[..., Any]) -> None:
    found = attack(f"{FORGE}x = bytearray(2**27)")
    assert 128 < found.peak_mb < 256 and found.sandboxed and found.seconds > 0.05
    child = "if os.fork() == 0: x = bytearray(2**27); os.setsid(); os._exit(0)\nos.wait()"
    assert attack(child).peak_mb > 128
    with pytest.raises(SubmissionError, match="ValueError: mine"):
        attack(f"{FORGE}raise ValueError('mine')")


OUTPUTS = {
    "none": "pass",
    "link": "os.symlink('/proc/self/environ', name)",
    "link to itself": "os.symlink(name, name)",
    "pipe": "os.mkfifo(name)",
    "folder": "os.mkdir(name)",
    "too large": "open(name, 'wb').truncate(2**27)",
    "deep folders": "os.chdir('../app/output')\n"
    "for _ in range(3000): os.mkdir('deep'); os.chdir('deep')",
    "no rights": "os.chmod('../app/output', 0)",
}


@pytest.mark.parametrize("body", OUTPUTS.values(), ids=OUTPUTS.keys())
def test_unreadable_predictions_are_one_line_and_nothing_is_left(
    attack: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    name = "name = os.path.abspath('../app/output/predictions.txt')\n"
    with pytest.raises(SubmissionError, match="ended without readable predictions"):
        attack(f"{name}{body}\nos._exit(0)")
    assert not list(scratch.iterdir())
