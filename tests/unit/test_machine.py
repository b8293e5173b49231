import os
import platform
import subprocess
import sys

import pytest

from stainproof import machine

FAULTS = """
import resource, sys
import numpy as np
from stainproof.machine import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def batch():
    blocks = [np.ones(2_000_000) for _ in range(8)]
batch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
batch()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has the parameters")
def test_freed_memory_is_used_again_without_new_pages() -> None:
    assert faults("keep") * 20 < faults("as usual")


def test_other_c_libraries_are_left_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert not machine.keep_freed_memory()


def test_a_process_can_be_limited_to_fewer_cores_and_not_to_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    present = machine.num_cores()
    monkeypatch.setattr(machine, "_limits", [])
    machine.limit_cores(1)
    assert machine.num_cores() == 1
    machine.limit_cores(present + 1)
    assert machine.num_cores() == present


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux sets the cores")
def test_cores_are_those_the_process_may_use() -> None:
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert machine.num_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert machine.num_cores() <= len(allowed)
