"""Plain lines of progress, by a clock that the test sets."""

from collections.abc import Iterator
from itertools import pairwise

from stainproof.progress import LineReporter


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def work(clock: Clock, num_items: int, seconds: float) -> Iterator[int]:
    for item in range(num_items):
        clock.now_s += seconds
        yield item


def test_lines_are_at_least_30_seconds_apart_and_long_work_says_when_it_ends() -> None:
    clock, lines = Clock(), list[tuple[float, str]]()
    reporter = LineReporter(lambda line: lines.append((clock.now_s, line)), clock)
    assert list(reporter.track(work(clock, 1000, 0.125), "reading images", 1000)) == [*range(1000)]
    assert [line for _, line in lines] == [
        "reading images: 240 of 1,000",
        "reading images: 480 of 1,000",
        "reading images: 720 of 1,000",
        "reading images: 960 of 1,000",
        "reading images: 1,000 done in 125 s",
    ]
    times = [time for time, _ in lines[:-1]]
    assert all(later - earlier >= 30 for earlier, later in pairwise(times))


def test_short_work_prints_nothing_and_several_in_a_row_share_the_interval() -> None:
    clock, lines = Clock(), list[str]()
    reporter = LineReporter(lines.append, clock)
    for _ in range(5):
        list(reporter.track(work(clock, 10, 1.0), "evaluating", 10))
    assert lines == ["evaluating: 1 of 10"]


def test_an_item_that_takes_minutes_is_followed_by_a_line() -> None:
    clock, lines = Clock(), list[str]()
    reporter = LineReporter(lines.append, clock)
    list(reporter.track(work(clock, 3, 200.0), "comparing images", 3))
    assert lines[0] == "comparing images: 1 of 3"
    assert lines[-1] == "comparing images: 3 done in 600 s"
