"""The machine: number of cores, size of the memory, and the memory allocator."""

import ctypes
import os
import platform

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
"""Parameters of glibc's `mallopt`, as in malloc.h."""
_KEPT = {_MMAP_THRESHOLD: 2**30, _TRIM_THRESHOLD: 2**31 - 1, _TOP_PAD: 2**28}


_limits: list[int] = []


def num_cores() -> int:
    """Return the number of cores that this process may use, see `limit_cores`."""
    if hasattr(os, "sched_getaffinity"):
        return min([len(os.sched_getaffinity(0)), *_limits])
    return min([os.cpu_count() or 1, *_limits])


def limit_cores(num: int) -> None:
    """Use at most `num` cores in this process from now on, as a worker of a cluster does."""
    _limits[:] = [num]


def memory_bytes() -> int:
    """Return the size of the machine's memory in bytes; 16 GiB where the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return 16 * 2**30


def keep_freed_memory() -> bool:
    """Make glibc keep freed memory in this process instead of returning it to the system.

    By default glibc returns large blocks to the system, which must then clear and map their pages
    again at every training step; that takes about an eighth of a step on a CPU. It changes the
    allocator of the whole process, so only commands call it, not library functions.

    Returns:
        True if the allocator was changed; False where the C library is not glibc.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all(mallopt(parameter, value) for parameter, value in _KEPT.items())
