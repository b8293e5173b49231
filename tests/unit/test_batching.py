from concurrent.futures import wait
from threading import Event

import numpy as np
import pytest

from stainproof.data.images import Images
from stainproof.serve.batching import MAX_BATCH, Batcher, BusyError


def image(value: int) -> Images:
    return np.full((2, 2, 3), value, np.uint8)


class Held:
    """A network that answers with the images' values, once it is let go."""

    def __init__(self) -> None:
        self.started, self.go = Event(), Event()
        self.sizes: list[int] = []

    def __call__(self, images):  # type: ignore[no-untyped-def]
        self.sizes.append(len(images))
        self.started.set()
        assert self.go.wait(10)
        return np.array([[rgb[0, 0, 0]] for rgb in images], np.float32)


@pytest.fixture
def held() -> Held:
    return Held()


def test_every_request_gets_the_answers_of_its_own_images(held: Held) -> None:
    held.go.set()
    batcher = Batcher(held, 1000)
    jobs = [batcher.submit([image(i), image(i + 100)]) for i in range(50)]
    for index, job in enumerate(jobs):
        assert job.result(10)[:, 0].tolist() == [index, index + 100]
    batcher.close()


def test_requests_that_arrive_during_a_batch_are_computed_together(held: Held) -> None:
    batcher = Batcher(held, 1000)
    jobs = [batcher.submit([image(0)])]
    assert held.started.wait(10)
    jobs += [batcher.submit([image(i)]) for i in range(10)]
    held.go.set()
    wait(jobs, 10)
    assert held.sizes == [1, 10]
    batcher.close()


def test_a_batch_has_no_more_images_than_allowed_unless_one_request_has(held: Held) -> None:
    batcher = Batcher(held, 1000)
    jobs = [batcher.submit([image(0)])]
    assert held.started.wait(10)
    jobs += [batcher.submit([image(1)] * 40), batcher.submit([image(2)] * 40)]
    jobs.append(batcher.submit([image(3)] * (MAX_BATCH + 1)))
    held.go.set()
    wait(jobs, 10)
    assert held.sizes == [1, 40, 40, MAX_BATCH + 1]
    batcher.close()


def test_a_full_queue_refuses_a_request_as_a_whole(held: Held) -> None:
    batcher = Batcher(held, 3)
    running = batcher.submit([image(0)])
    assert held.started.wait(10)
    waiting = batcher.submit([image(1)] * 2)
    with pytest.raises(BusyError):
        batcher.submit([image(2)] * 2)
    assert batcher.num_waiting == 2
    held.go.set()
    assert len(running.result(10)) == 1 and len(waiting.result(10)) == 2
    batcher.close()
    assert batcher.num_waiting == 0


def test_a_cancelled_request_is_not_computed(held: Held) -> None:
    batcher = Batcher(held, 1000)
    batcher.submit([image(0)])
    assert held.started.wait(10)
    assert batcher.submit([image(1)]).cancel()
    held.go.set()
    batcher.close()
    assert held.sizes == [1]


def test_a_failure_reaches_the_request_and_the_next_one_is_answered() -> None:
    def fail_on_zero(images):  # type: ignore[no-untyped-def]
        if not images[0].any():
            raise ValueError("zero")
        return np.ones((len(images), 1), np.float32)

    batcher = Batcher(fail_on_zero, 10)
    with pytest.raises(ValueError, match="zero"):
        batcher.submit([image(0)]).result(10)
    assert len(batcher.submit([image(1)]).result(10)) == 1
    batcher.close()


def test_closing_answers_what_is_queued_and_refuses_what_comes_later(held: Held) -> None:
    held.go.set()
    batcher = Batcher(held, 1000)
    jobs = [batcher.submit([image(i)]) for i in range(20)]
    batcher.close()
    assert all(job.done() for job in jobs)
    with pytest.raises(BusyError):
        batcher.submit([image(0)])
