"""The connection to a cluster, errors in one line; Ray is not imported without the flag."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from stainproof.errors import ConfigError, DataError, StainproofError
from stainproof.scale.cluster import cluster
from tests.common.command import run_command
from tests.common.ray_workers import wait_for

STAGES = """
import pkgutil, sys
import stainproof
from importlib import import_module

NEED_MORE = ("stainproof.contest.files", "stainproof.serve")  # TensorFlow; the extra serve
for one in pkgutil.walk_packages(stainproof.__path__, "stainproof."):
    if not one.name.endswith("__main__") and not one.name.startswith(NEED_MORE):
        import_module(one.name)
from stainproof import api
run, cells, out = sys.argv[1:]
api.audit(cells, f"{out}/audit")
api.predict(run, [cells], f"{out}/table.csv")
assert "ray" not in sys.modules, "Ray was imported"
print("not imported")
"""


def test_no_module_and_no_stage_imports_ray_without_the_flag(
    trained: Path, phantoms: Path, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", STAGES, str(trained), str(phantoms), str(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "not imported\n", done.stderr[-2000:]


@pytest.mark.parametrize("address", ["127.0.0.1:1", "auto", "no address"])
def test_a_cluster_that_is_not_there_is_one_line(
    address: str, trained: Path, phantoms: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    done = run_command(
        monkeypatch, capfd,
        "predict", trained, phantoms, "--out", tmp_path / "parts", "--ray", address,
    )  # fmt: skip
    assert done.code == 2 and f"--ray {address}: no cluster that can be used" in done.err


def test_a_table_is_refused_where_parts_are_written(
    trained: Path, phantoms: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    done = run_command(
        monkeypatch, capfd,
        "predict", trained, phantoms, "--out", tmp_path / "table.csv", "--ray", "local",
    )  # fmt: skip
    assert done.code == 2 and "with --ray, --out names a folder" in done.err


def square(number: int) -> int:
    return number * number


def crash() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fail() -> None:
    raise DataError("truth.csv: no such file")


def sleep(folder: Path) -> None:
    try:
        (folder / "started").touch()
        for _ in range(600):  # Ray interrupts between instructions, not within a call
            time.sleep(0.1)
    except KeyboardInterrupt:
        (folder / "interrupted").touch()
        raise


def test_results_of_many_calls_come_back_once_each(machines: Any) -> None:
    with cluster(machines.address) as there:
        done = list(there.run(partial(square, number) for number in range(50)))
    assert sorted(done) == [(number, number * number) for number in range(50)]


def test_the_error_of_a_call_is_the_users_error(machines: Any) -> None:
    with (
        cluster(machines.address) as there,
        pytest.raises(DataError, match=r"^truth\.csv: no such file$"),
    ):
        list(there.run([fail]))


def test_a_call_that_always_crashes_ends_with_one_line(machines: Any) -> None:
    with (
        cluster(machines.address) as there,
        pytest.raises(StainproofError, match="a worker was lost again and again"),
    ):
        list(there.run([crash], retries=1))


def test_a_folder_that_the_workers_do_not_have_is_named(machines: Any, tmp_path: Path) -> None:
    with cluster(machines.address) as there:
        there.folder = tmp_path / "only here"
        with pytest.raises(ConfigError, match="only here is not on all machines"):
            list(there.run([partial(square, 1)]))


def test_tasks_that_run_are_interrupted_as_by_ctrl_c(machines: Any, tmp_path: Path) -> None:
    with cluster(machines.address) as there:
        calls: list[Callable[[], Any]] = [partial(square, 1), partial(sleep, tmp_path)]
        running = there.run(calls)
        next(running)
        wait_for((tmp_path / "started").exists)
        running.close()
    assert (tmp_path / "interrupted").exists()
