"""Batches across requests: one thread runs the network on whatever has arrived meanwhile."""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Condition, Thread

import numpy as np
from numpy.typing import NDArray

from stainproof.data.images import Images

MAX_BATCH = 64

Predict = Callable[[Sequence[Images]], NDArray[np.float32]]


class BusyError(Exception):
    """More work is waiting than is allowed; the request is to be sent again later."""


@dataclass
class _Job:
    images: Sequence[Images]
    answer: "Future[NDArray[np.float32]]" = field(default_factory=Future)


class Batcher:
    """A bounded queue of images and the thread that classifies them.

    A batch is never waited for: while the network computes, the next batch collects. A single
    client therefore gets its answer as fast as without batches.
    """

    def __init__(
        self,
        predict: Predict,
        num_waiting: int,
        on_batch: Callable[[int], None] = lambda num_images: None,
    ):
        """Start the thread.

        Args:
            predict: Maps images uint8 (height, width, 3) to probabilities (N, classes).
            num_waiting: Images that may wait, 1 or more.
            on_batch: Called with the number of images of every batch.
        """
        self._predict, self._max_waiting, self._on_batch = predict, num_waiting, on_batch
        self._jobs: deque[_Job] = deque()
        self._changed = Condition()
        self._closed = False
        self.num_waiting = 0
        """Images that wait for the network."""
        self._thread = Thread(target=self._run, name="stainproof-network", daemon=True)
        self._thread.start()

    def submit(self, images: Sequence[Images]) -> "Future[NDArray[np.float32]]":
        """Queue the images of one request, one or more.

        Returns:
            The future probabilities, float32 (N, classes). A cancelled one is not computed.

        Raises:
            BusyError: The queue is full or closed.
        """
        job = _Job(images)
        with self._changed:
            is_full = self.num_waiting and self.num_waiting + len(images) > self._max_waiting
            if self._closed or is_full:
                raise BusyError
            self._jobs.append(job)
            self.num_waiting += len(images)
            self._changed.notify()
        return job.answer

    def close(self) -> None:
        """Answer what is queued, take nothing more, and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while jobs := self._next_jobs():
            images = [rgb for job in jobs for rgb in job.images]
            self._on_batch(len(images))
            try:
                probs = self._predict(images)
            except Exception as error:  # the requests answer with it
                for job in jobs:
                    job.answer.set_exception(error)
                continue
            start = 0
            for job in jobs:
                job.answer.set_result(probs[start : start + len(job.images)])
                start += len(job.images)

    def _next_jobs(self) -> list[_Job]:
        """Wait for jobs and return as many as fit a batch; none once closed and empty."""
        jobs: list[_Job] = []
        with self._changed:
            while not jobs:
                self._changed.wait_for(lambda: self._jobs or self._closed)
                if not self._jobs:
                    return []
                num = 0
                while self._jobs and (not num or num + len(self._jobs[0].images) <= MAX_BATCH):
                    job = self._jobs.popleft()
                    self.num_waiting -= len(job.images)
                    if job.answer.set_running_or_notify_cancel():
                        jobs.append(job)
                        num += len(job.images)
        return jobs
