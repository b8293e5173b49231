"""Runs a program within bounds.

python -I -B guard.py BOUNDS PROGRAM [ARGUMENTS...]

BOUNDS is JSON: `folder` is the one place to read and write in, beside the system's and Python's own
libraries; `hidden` names packages that must not be found; `notes` is a file that gets the most
memory held, in MB, and 1 if the kernel kept the bounds too, else 0.

The network, other processes and all other files are refused; memory and the size of files have a
limit. An audit hook refuses with a reason, but Python code that knows it can get round it; Linux
refuses for good what concerns files and TCP, where it has Landlock.
"""

import ctypes
import json
import os
import resource
import runpy
import struct
import sys
import sysconfig
from pathlib import Path
from typing import Any

SHARE_OF_MEMORY = 0.8
LARGEST_FILE = 2**30

SYSTEM = ("/usr", "/lib", "/lib64", "/opt", "/nix", "/etc", "/sys", "/dev")
OWN = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
LIBRARIES = sorted({os.path.realpath(p) for p in (*SYSTEM, *OWN, f"{sys.base_prefix}/lib")})
PROCESSES = ("subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.system",
             "os.startfile", "os.kill", "pty.spawn")  # fmt: skip
NETWORK = ("socket.__new__", "socket.connect", "socket.bind", "socket.getaddrinfo",
           "socket.gethostby", "socket.getnameinfo", "socket.send")  # fmt: skip
LISTING = ("os.listdir", "os.scandir", "os.chdir")
CHANGING = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.chmod",
            "os.chown", "os.truncate", "os.utime", "os.setxattr", "os.removexattr")  # fmt: skip
TO_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Fence:
    """Refuses what leaves a folder; an audit hook of Python (PEP 578)."""

    def __init__(self, folder: str) -> None:
        """Let `folder` be written to; it and the libraries can be read."""
        self.writable = (os.path.realpath(folder), "/dev/null")
        self.readable = (*self.writable, *LIBRARIES)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Raise PermissionError where an event is out of bounds."""
        if event.startswith(NETWORK):
            raise PermissionError("the network cannot be reached")
        if event.startswith(PROCESSES):
            raise PermissionError("no other process may be started or stopped")
        if event in CHANGING:
            self.check(arguments, to_write=True)
        elif event == "open":
            self.check(arguments[:1], to_write=bool(arguments[2] & TO_WRITE))
        elif event in LISTING:
            self.check(arguments[:1], to_write=False)

    def check(self, arguments: tuple[Any, ...], *, to_write: bool) -> None:
        """Raise PermissionError where a path among the arguments is out of bounds."""
        for path in _paths_in(arguments):
            allowed = _lies_in(path, self.writable if to_write else self.readable)
            if not allowed and (to_write or not _is_of_this_process(path)):
                raise PermissionError(f"{path}: out of bounds")


def _paths_in(arguments: tuple[Any, ...]) -> list[str]:
    """Return the paths among an event's arguments, links followed."""
    paths = (one for one in arguments if isinstance(one, str | bytes | os.PathLike))
    return [os.path.realpath(os.fsdecode(path)) for path in paths]


def _lies_in(path: str, places: tuple[str, ...]) -> bool:
    return any(path == place or path.startswith(f"{place}/") for place in places)


def _is_of_this_process(path: str) -> bool:
    """Say whether a path is what the system tells of itself, or of this process."""
    owner = path.removeprefix("/proc/").split("/")[0]
    return path.startswith("/proc/") and (owner == str(os.getpid()) or not owner.isdigit())


CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
"""Landlock's system calls, on every processor."""
READ, READ_AND_WRITE_FILE = 0b1101, 0b110
"""Landlock's rights: run and read files, list folders; read and write a file that is there."""
ALL_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
"""Version of Landlock -> number of rights that it knows; 16 from version 5 on."""


def lock(folder: str) -> bool:
    """Have Linux refuse all files but some, and TCP, to this process for good (landlock(7)).

    Returns:
        Whether it does: Linux has Landlock from 5.13 on, where it is not switched off.
    """
    if sys.platform != "linux":
        return False
    call = ctypes.CDLL(None, use_errno=True).syscall
    version = call(CREATE_RULESET, None, ctypes.c_size_t(0), 1)
    if version < 1:
        return False
    everything = (1 << ALL_RIGHTS.get(version, 16)) - 1
    tcp, signals_and_sockets = 0b11, 0b11
    handled = struct.pack("=QQQ", everything, tcp, signals_and_sockets)
    size = 8 if version < 4 else 16 if version < 6 else 24
    rules = call(CREATE_RULESET, handled[:size], ctypes.c_size_t(size), 0)
    allowed = dict.fromkeys((*LIBRARIES, "/proc"), READ)
    allowed |= {"/dev/null": READ_AND_WRITE_FILE, folder: everything}
    for place, rights in allowed.items():
        if Path(place).exists():
            handle = os.open(place, os.O_PATH)
            call(ADD_RULE, rules, 1, struct.pack("=Qi", rights, handle), 0)
            os.close(handle)
    no_new_privileges = 38
    ctypes.CDLL(None).prctl(no_new_privileges, 1, 0, 0, 0)
    return bool(call(RESTRICT_SELF, rules, 0) == 0)


def limit_resources() -> None:
    """Limit the memory and the size of files; a program that wants more gets an error."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limits = {
        resource.RLIMIT_DATA: int(SHARE_OF_MEMORY * memory),
        resource.RLIMIT_FSIZE: LARGEST_FILE,
        resource.RLIMIT_CORE: 0,
    }
    for kind, limit in limits.items():
        _, hard = resource.getrlimit(kind)
        allowed = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (allowed, allowed))


def peak_memory_mb() -> float:
    """Return the most memory that this process has held, in MB."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    """Put up the fence, run the program, note the memory it took."""
    bounds, program, *arguments = sys.argv[1:]
    given = json.loads(bounds)
    for name in given["hidden"]:
        sys.modules[name] = None  # type: ignore[assignment]
    limit_resources()
    locked = lock(given["folder"])
    sys.argv = [program, *arguments]
    sys.addaudithook(Fence(given["folder"]))
    try:
        runpy.run_path(program, run_name="__main__")
    finally:
        Path(given["notes"]).write_text(f"{peak_memory_mb():.1f} {locked:d}")


if __name__ == "__main__":
    main()
