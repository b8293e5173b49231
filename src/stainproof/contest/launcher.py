"""Process 1 of the sandbox: limits the resources of a program, watches it and reports on it.

python -I -B launcher.py SETTINGS PROGRAM [ARGUMENTS...]

Runs PROGRAM in a child process. SETTINGS is a JSON object:

    report          file descriptor to write the report to; the child has no access to it
    output          path of the file that the program is expected to write
    hidden          packages that the program cannot import
    cpu_s           processor time that one process may use, in seconds
    max_file_bytes  largest size of a file
    max_tasks       largest number of processes and threads together
    memory_reserve  share of the machine's memory that must stay available

The report is one line of JSON and the bytes that it announces: `code`, the exit code, negative for
a signal; `reason`, which limit ended the program, or empty; `peak_kib`, the largest resident set
size of any process; `log` and `output`, the lengths of the last bytes of stderr and of the file
`output`, which follow; `output` is null if there is no such file. The submission's Python runs this
file, so it imports the standard library only.
"""

import ctypes
import json
import os
import platform
import resource
import runpy
import signal
import stat
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

DATA_SHARE, ADDRESS_SHARE = 0.8, 2
"""Limits of a process as shares of the physical memory: private memory, address space (which
TensorFlow reserves far beyond what it uses)."""
MAX_OUTPUT_BYTES = 64 * 2**20
"""Largest size of the output; a label takes two bytes."""
TAIL_BYTES = 64 * 1024
POLL_S = 0.02
MAX_REAPED = 100
"""Ended processes that are waited for between two looks at the limits."""
PR_SET_PDEATHSIG, PR_SET_DUMPABLE = 1, 4
"""Options of prctl(2)."""
KEYCTL = {"x86_64": 250, "aarch64": 219}
"""Number of the system call keyctl(2), which the C library does not contain."""
KEYCTL_JOIN_SESSION_KEYRING = 1


def limit_resources(settings: dict[str, Any]) -> None:
    """Limit memory, file size, tasks and processor time of this process and its children."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limits = {
        resource.RLIMIT_DATA: int(DATA_SHARE * memory),
        resource.RLIMIT_AS: int(ADDRESS_SHARE * memory),
        resource.RLIMIT_FSIZE: settings["max_file_bytes"],
        resource.RLIMIT_NPROC: settings["max_tasks"],
        resource.RLIMIT_CPU: settings["cpu_s"],
        resource.RLIMIT_CORE: 0,
    }
    if hasattr(resource, "RLIMIT_NICE"):
        limits[resource.RLIMIT_NICE] = 0
    for kind, limit in limits.items():
        _, hard = resource.getrlimit(kind)
        allowed = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (allowed, allowed))


def protect(*, dumpable: bool) -> None:
    """Make this process end with its parent, and allow or forbid others to trace it.

    A process that is not dumpable also keeps its file descriptors to itself. Keys of the user's
    session are left behind: no namespace hides them.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        libc.prctl(PR_SET_DUMPABLE, int(dumpable))
        if number := KEYCTL.get(platform.machine()):
            libc.syscall(number, KEYCTL_JOIN_SESSION_KEYRING, None)


def run(settings: dict[str, Any], program: str, arguments: list[str], log: int) -> None:
    """Run the program in this process, which is the child."""
    null = os.open(os.devnull, os.O_RDWR)
    for number, source in enumerate((null, null, log)):
        os.dup2(source, number)
    os.closerange(3, max(null, log, settings["report"]) + 1)
    protect(dumpable=True)
    # Only process 1 keeps the priority that lets it end thousands of processes.
    os.setpriority(os.PRIO_PROCESS, 0, max(0, os.getpriority(os.PRIO_PROCESS, 0)))
    limit_resources(settings)
    for name in settings["hidden"]:
        sys.modules[name] = None  # type: ignore[assignment]
    sys.argv = [program, *arguments]
    runpy.run_path(program, run_name="__main__")


def wait(child: int, max_tasks: int, reserve: float) -> tuple[int, str]:
    """Wait for the child or an exceeded limit; return its exit code and which limit it was."""
    while True:
        for _ in range(MAX_REAPED):
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == child:
                return os.waitstatus_to_exitcode(status), ""
            if pid == 0:
                time.sleep(POLL_S)
                break
        if reason := exceeded(max_tasks, reserve):
            return -signal.SIGKILL, reason


def exceeded(max_tasks: int, reserve: float) -> str:
    """Return which limit of all processes together is exceeded, or an empty text."""
    with suppress(OSError):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        kib = {line.split(":")[0]: int(line.split()[1]) for line in lines}
        if kib["MemAvailable"] < reserve * kib["MemTotal"]:
            return f"left less than {reserve:.0%} of the machine's memory available"
    if os.getpid() == 1 and num_tasks() > max_tasks:
        return f"started more than {max_tasks} processes and threads"
    return ""


def num_tasks() -> int:
    """Count processes and threads in /proc; the limit of the kernel does not hold for root."""
    count = 0
    for folder in Path("/proc").glob("[0-9]*/task"):
        with suppress(OSError):
            count += folder.stat().st_nlink - 2
    return count


def end_all() -> None:
    """Kill all processes of the sandbox; waiting for them counts their memory."""
    if os.getpid() == 1:
        with suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        with suppress(ChildProcessError):
            while True:
                os.wait()


def read_output(path: str) -> bytes | None:
    """Return the content of a regular file of bounded size, or None."""
    try:
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    found = os.fstat(number)
    if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_OUTPUT_BYTES:
        return None
    with os.fdopen(number, "rb") as file:
        return file.read(MAX_OUTPUT_BYTES)


def read_tail(log: int) -> bytes:
    """Return the last bytes of a file."""
    with os.fdopen(log, "rb") as file:
        file.seek(max(0, os.fstat(log).st_size - TAIL_BYTES))
        return file.read(TAIL_BYTES)


def main() -> None:
    """Run the program in a child process and report on it."""
    settings = json.loads(sys.argv[1])
    # The kernel discards signals to process 1 for which it has no handler.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    protect(dumpable=False)
    # In memory: stderr of the child is no file of the machine, and needs no space in a full folder.
    log = os.memfd_create("log") if hasattr(os, "memfd_create") else new_file()
    child = os.fork()
    if child == 0:
        run(settings, sys.argv[2], sys.argv[3:], log)
        return
    code, reason = wait(child, settings["max_tasks"], settings["memory_reserve"])
    end_all()
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    tail, output = read_tail(log), read_output(settings["output"])
    header = {
        "code": code,
        "reason": reason,
        "peak_kib": peak // 1024 if sys.platform == "darwin" else peak,
        "log": len(tail),
        "output": None if output is None else len(output),
    }
    with os.fdopen(settings["report"], "wb") as report:
        report.write(json.dumps(header).encode() + b"\n" + tail + (output or b""))


def new_file() -> int:
    """Return the descriptor of a new file without a name."""
    number, name = tempfile.mkstemp()
    Path(name).unlink()
    return number


if __name__ == "__main__":
    main()
