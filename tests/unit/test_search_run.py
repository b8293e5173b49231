"""A search in several processes: which faults of its workers reach the caller."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from stainproof.errors import StainproofError
from stainproof.search.results import Search, Trial
from stainproof.search.run import search
from stainproof.search.study import Study
from tests.common.tiny import TINY


class Worker:
    """A process that runs its function, or has an exit code, as soon as it is started."""

    def __init__(self, end: int | type[BaseException] | None, work: Callable[[], None]) -> None:
        self.end, self.work = end, work
        self.pid: int | None = None
        self.exitcode: int | None = None
        self.polls = 2
        self.calls: list[str] = []
        self.sentinel, writer = os.pipe()
        os.close(writer)

    def start(self) -> None:
        if isinstance(self.end, type):
            raise self.end
        self.pid, self.exitcode = 1, self.end
        if self.end is None:
            with pytest.raises(SystemExit) as ended:
                self.work()
            self.exitcode = int(str(ended.value.code))

    def is_alive(self) -> bool:
        self.polls -= 1
        return self.polls > 0

    def terminate(self) -> None:
        self.calls.append("terminate")

    def join(self) -> None:
        self.calls.append("join")
        os.close(self.sentinel)


class Context:
    """Stands for `multiprocessing`; its processes end as stated, None: as their function does."""

    SimpleQueue = SimpleQueue

    def __init__(self, *ends: int | type[BaseException] | None) -> None:
        self.ends, self.workers = ends, list[Worker]()

    def Process(self, *, target: Any, args: Any, daemon: bool) -> Worker:  # noqa: N802
        worker = Worker(self.ends[len(self.workers)], lambda: target(*args))
        self.workers.append(worker)
        return worker


def end_at_once(study: Study, trial: Trial, *rest: object) -> Trial:
    ended = trial.model_copy(update={"outcome": "stopped"})
    study.finish(ended)
    return ended


@pytest.fixture
def search_with(
    cell_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[Context], Search]]:
    """Search with these processes, one trial each; a trial ends at once."""
    handler = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("stainproof.search.run.run_trial", end_at_once)
    (tmp_path / "space.toml").write_text("network.dropout = { low = 0.0, high = 0.5 }")

    def call(context: Context) -> Search:
        monkeypatch.setattr("multiprocessing.get_context", lambda method: context)
        num = len(context.ends)
        return search(
            cell_folder, tmp_path / "study", num, 9.0,
            space=tmp_path / "space.toml", fixed=TINY, jobs=num,
        )  # fmt: skip

    yield call
    signal.signal(signal.SIGTERM, handler)


@pytest.mark.parametrize(
    ("codes", "error", "message"),
    [((0, 1), RuntimeError, r"\[0, 1\]"), ((-9, -9), StainproofError, "fewer --jobs")],
)
def test_workers_that_all_ended_badly_or_crashed_are_an_error(
    search_with: Callable[[Context], Search],
    codes: tuple[int, int],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        search_with(Context(*codes))


def test_a_search_continues_without_a_worker_that_was_killed(
    search_with: Callable[[Context], Search],
) -> None:
    assert len(search_with(Context(-9, 0)).trials) == 2


def test_an_interrupt_while_workers_start_ends_those_that_have_started(
    search_with: Callable[[Context], Search],
) -> None:
    context = Context(0, KeyboardInterrupt, 0)
    with pytest.raises(KeyboardInterrupt):
        search_with(context)
    assert [worker.calls for worker in context.workers] == [["terminate", "join"], [], []]


def test_a_full_disk_is_one_line_and_no_fault_of_the_trial(
    search_with: Callable[[Context], Search], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(*what: object) -> None:
        raise OSError(28, "No space left on device", "trials/0000/last.safetensors")

    with monkeypatch.context() as patched:
        patched.setattr("stainproof.search.run.run_trial", fill)
        with pytest.raises(
            StainproofError, match=r"^trials/0000/last\.safetensors: No space left on device$"
        ):
            search_with(Context(None, None))
    found = search_with(Context(0, 0))
    assert [trial.outcome for trial in found.trials] == ["stopped", "stopped"]
