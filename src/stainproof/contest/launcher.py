"""Launcher inside the sandbox: limits the resources of a submission and reports its peak memory.

python -I -B launcher.py REPORT_FD HIDDEN PROGRAM [ARGUMENTS...]

Runs PROGRAM in a child process, in which the packages named in HIDDEN (separated by commas) cannot
be imported. When the child has ended, writes JSON to the file descriptor REPORT_FD: `code`, its
exit code, negative for a signal, and `peak_kib`, the largest resident set size of any process. The
child has no access to REPORT_FD. The submission's Python runs this file, so it imports the standard
library only.
"""

import ctypes
import json
import os
import resource
import runpy
import signal
import sys
from contextlib import suppress

DATA_SHARE, ADDRESS_SHARE = 0.8, 2
"""Limits of a process as shares of the physical memory: private memory, address space (which
TensorFlow reserves far beyond what it uses)."""
MAX_FILE_BYTES = 2**30
MAX_PROCESSES = 4096
"""Threads count; TensorFlow starts several per core."""
PR_SET_PDEATHSIG, PR_SET_DUMPABLE = 1, 4
"""Options of prctl(2)."""


def limit_resources() -> None:
    """Limit memory, file size and number of processes of this process and its children."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limits = {
        resource.RLIMIT_DATA: int(DATA_SHARE * memory),
        resource.RLIMIT_AS: int(ADDRESS_SHARE * memory),
        resource.RLIMIT_FSIZE: MAX_FILE_BYTES,
        resource.RLIMIT_NPROC: MAX_PROCESSES,
        resource.RLIMIT_CORE: 0,
    }
    for kind, limit in limits.items():
        _, hard = resource.getrlimit(kind)
        allowed = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (allowed, allowed))


def protect(*, dumpable: bool) -> None:
    """Make this process end with its parent, and allow or forbid others to trace it.

    A process that is not dumpable also keeps its file descriptors to itself.
    """
    if sys.platform == "linux":
        prctl = ctypes.CDLL(None).prctl
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        prctl(PR_SET_DUMPABLE, int(dumpable))


def wait(child: int) -> int:
    """Wait for the child, kill what it left running, and return its exit code."""
    _, status = os.waitpid(child, 0)
    if os.getpid() == 1:
        # All other processes of the sandbox are descendants; waiting for them counts their memory.
        with suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        with suppress(ChildProcessError):
            while True:
                os.wait()
    return os.waitstatus_to_exitcode(status)


def main() -> None:
    """Run the program in a child process and report on it."""
    report, hidden, program, *arguments = sys.argv[1:]
    protect(dumpable=False)
    child = os.fork()
    if child == 0:
        os.close(int(report))
        protect(dumpable=True)
        limit_resources()
        for name in hidden.split(","):
            sys.modules[name] = None  # type: ignore[assignment]
        sys.argv = [program, *arguments]
        runpy.run_path(program, run_name="__main__")
        return
    code = wait(child)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    peak_kib = peak // 1024 if sys.platform == "darwin" else peak
    os.write(int(report), json.dumps({"code": code, "peak_kib": peak_kib}).encode())


if __name__ == "__main__":
    main()
