"""A Ray cluster: the connection, and functions that run there with retries.

Ray is imported when a cluster is opened, and only then.
"""

import contextlib
import os
import socket
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from stainproof.errors import ConfigError, StainproofError, first_line
from stainproof.machine import keep_freed_memory, limit_cores, num_cores

if TYPE_CHECKING:
    from ray import ObjectRef

LOCAL = "local"
AUTO = "auto"
MAX_RETRIES = 3
"""How often a task is started again after its worker process or machine was lost."""
ENDLESSLY = -1
AHEAD = 2
"""Tasks that are submitted for each core: one runs, one waits."""
REFRESH_S = 10.0
"""Interval at which the cores are counted again, because machines come and go."""
END_S = 30.0
"""Seconds that cancelled tasks have to end."""
REACH_S = 10.0
"""Seconds that a head has to answer."""
OBJECTS_BYTES = 200 * 2**20
"""Size of the object store of a local cluster; arguments and results of tasks are small."""

Result = TypeVar("Result")


class Cluster:
    """A connected cluster."""

    def __init__(self) -> None:
        self.folder = Path.cwd()

    @property
    def num_cores(self) -> int:
        """Number of cores of all machines that are there now."""
        import ray

        return int(ray.cluster_resources().get("CPU", 0))

    @property
    def num_machines(self) -> int:
        """Number of machines that are there now."""
        import ray

        return sum(node["Alive"] for node in ray.nodes())

    @property
    def has_gpus(self) -> bool:
        """Whether a machine has a GPU."""
        import ray

        return bool(ray.cluster_resources().get("GPU"))

    def run(
        self,
        calls: Iterable[Callable[[], Result]],
        *,
        at_once: int = 0,
        retries: int = MAX_RETRIES,
        use_gpu: bool = False,
    ) -> Generator[tuple[int, Result], None, None]:
        """Run calls as tasks of one core each; yield position and result of each that ends.

        A limited number of calls is taken ahead, so `calls` may be long. A task whose worker was
        killed or whose machine was lost runs again, perhaps elsewhere, so a function must be able
        to go on with, or to replace, what it left behind.

        Args:
            calls: Partials of functions that can be imported on all machines.
            at_once: Largest number of tasks at the same time; 0: as many as the cluster has cores.
            retries: How often a task is started again; -1: always.
            use_gpu: Whether each task also takes a GPU.

        Raises:
            StainproofError: A call raised it, or its worker was lost once more than `retries`.
            OSError: A call raised it.
        """
        import ray

        task = ray.remote(num_cpus=1, num_gpus=int(use_gpu), max_retries=retries)(_work)
        waiting = enumerate(calls)
        pending: dict[ObjectRef[Any], int] = {}
        limit, counted_s = at_once, -REFRESH_S
        try:
            while True:
                if not at_once and time.monotonic() - counted_s >= REFRESH_S:
                    limit, counted_s = AHEAD * max(self.num_cores, 1), time.monotonic()
                for position, call in islice(waiting, max(limit - len(pending), 0)):
                    pending[task.remote(str(self.folder), call)] = position
                if not pending:
                    return
                (ended,), _ = ray.wait(list(pending), num_returns=1)
                position = pending.pop(ended)
                yield position, _result(ended)
        finally:
            _cancel(list(pending))


@contextlib.contextmanager
def cluster(address: str) -> Iterator[Cluster]:
    """Connect to a cluster, or start one on this machine; disconnect or stop it at the end.

    Ray's usage statistics are turned off for a cluster that is started here.

    Args:
        address: `local`: a cluster of this machine's cores; `auto`: the one that this machine
            belongs to; or the address of its head, such as `10.0.0.5:6379`.

    Raises:
        ConfigError: Ray is not installed, or there is no such cluster.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_COLOR_PREFIX", "0")  # no control codes where there is no terminal
    try:
        import ray
    except ImportError as error:
        raise ConfigError("--ray: Ray is not installed: pip install 'stainproof[ray]'") from error
    options: dict[str, Any] = {}
    if address == LOCAL:
        options = {"num_cpus": num_cores(), "object_store_memory": OBJECTS_BYTES}
        options |= {"include_dashboard": False}
    try:
        _reach(os.environ.get("RAY_ADDRESS", "") if address == AUTO else address)
        ray.init(address, log_to_driver=False, logging_level="ERROR", **options)
    except Exception as error:  # Ray raises this class itself
        raise ConfigError(
            f"--ray {address}: no cluster that can be used ({first_line(error)}); allowed: local, "
            "auto, or HOST:PORT of a head that `ray start --head` started"
        ) from error
    try:
        yield Cluster()
    finally:
        ray.shutdown()


def _reach(address: str) -> None:
    """Connect to a head once, because Ray itself retries for many minutes.

    Raises:
        OSError: Nothing answers at HOST:PORT.
    """
    host, _, port = address.rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_S).close()


def _work(folder: str, call: Callable[[], Result]) -> Result:
    """Make a call in a worker, in the folder of the process that asked for it."""
    limit_cores(1)
    keep_freed_memory()
    try:
        os.chdir(folder)
    except OSError as error:
        raise ConfigError(
            f"--ray: {folder} is not on all machines of the cluster; start the command in a folder "
            "that they share"
        ) from error
    return call()


def _result(ended: "ObjectRef[Any]") -> Any:
    """Return the result of a task that has ended.

    Raises:
        StainproofError: Its worker was lost too often.
        Exception: What the call raised.
    """
    import ray
    from ray.exceptions import RayError, RayTaskError

    try:
        return ray.get(ended)
    except RayTaskError as error:
        raise error.cause from None
    except RayError as error:
        raise StainproofError(
            f"--ray: a worker was lost again and again ({first_line(error)}), perhaps for lack of "
            "memory; the same command continues"
        ) from error


def _cancel(tasks: "list[ObjectRef[Any]]") -> None:
    """End tasks as Ctrl-C does and wait until they have.

    Tasks that have ended are left alone: Ray 2.60 aborts this process when it cancels a task whose
    result is just arriving ("Check failed: it != submissible_tasks_.end()").
    """
    import ray

    if not tasks:
        return
    _, running = ray.wait(tasks, num_returns=len(tasks), timeout=0)
    for task in running:
        ray.cancel(task, force=False)
    ray.wait(tasks, num_returns=len(tasks), timeout=END_S)
