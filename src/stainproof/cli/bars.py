"""Progress of the commands: bars on a terminal, occasional plain lines elsewhere."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stainproof.cli.terminal import (
    complain,
    echo,
    is_plain,
    join_fitting,
    num_columns,
    shorten,
    visible,
)
from stainproof.progress import Item, LineReporter

if TYPE_CHECKING:
    from rich.progress import TaskID

    from stainproof.search.results import Search, Trial
    from stainproof.training.loop import Step

WIDE = 90
"""Terminals with fewer columns get a short bar."""
NUM_AROUND = len("100 %") + len("0:00:00") + 4
"""Columns that percentage, remaining time and the gaps take."""


@contextmanager
def progress(if_interrupted: str = "") -> Iterator["Bars"]:
    """Show progress; on an interrupt print a message.

    Args:
        if_interrupted: What can be done after an interrupt, for the message.
    """
    bars = Bars()
    try:
        with bars.progress:
            yield bars
            bars.end_training()
    except KeyboardInterrupt:
        complain("; ".join(filter(None, ("interrupted", if_interrupted))))
        raise


class Bars:
    """Progress bars of one line each on a terminal; plain lines elsewhere."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        self.bar_width = 24 if console.width >= WIDE else 10
        self.progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=self.bar_width),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[figures]}", markup=False),
            console=console,
            transient=True,
            disable=is_plain() or not sys.stderr.isatty(),
        )
        self.lines = LineReporter(lambda line: echo(line, err=True))
        self.training: TaskID | None = None
        self.last_step: Step | None = None

    def track(self, items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
        """Yield the items and show how many have passed."""
        self.end_training()
        if self.progress.disable:
            yield from self.lines.track(items, what, total)
            return
        task = self.add(what, total)
        for item in items:
            yield item
            self.progress.advance(task)
        self.progress.remove_task(task)

    def add(self, what: str, total: float) -> "TaskID":
        """Add a bar; a long heading is shortened."""
        room = self.progress.console.width - self.bar_width - NUM_AROUND
        return self.progress.add_task(shorten(visible(what), room), total=total, figures="")

    def update(
        self, task: "TaskID", what: str, completed: float, figures: Iterable[str] = ()
    ) -> None:
        """Show a state; figures that do not fit in the line are left out from the last one on."""
        room = self.progress.console.width - self.bar_width - NUM_AROUND - len(what)
        self.progress.update(
            task, description=what, completed=completed, figures=join_fitting(figures, room)
        )

    def announce(self, line: str) -> None:
        """Write a line that stays."""
        self.end_training()
        echo(line, err=True)

    def step(self, step: "Step") -> None:
        """Show the progress of training on one line."""
        last = self.last_step
        if last and (step.epoch != last.epoch or step.done < last.done):
            self._end_epoch()
        self.last_step = step
        if self.progress.disable:
            self.lines.report(_in_words(step))
            return
        if self.training is None:
            self.training = self.add(f"epoch {step.epoch}", 1.0)
        self.update(self.training, f"epoch {step.epoch}", step.done, _figures(step))

    def end_training(self) -> None:
        """Report the last epoch of a training and remove its bar."""
        self._end_epoch()
        if self.training is not None:
            self.progress.remove_task(self.training)
            self.training = None

    def _end_epoch(self) -> None:
        if self.last_step and self.progress.disable:
            self.lines.write_now(_in_words(self.last_step))
        self.last_step = None


class SearchBar:
    """One bar over the trials of a search; one line for each trial where there is no terminal."""

    def __init__(self, bars: Bars, num_trials: int) -> None:
        self.bars = bars
        self.is_disabled = bars.progress.disable
        self.task = bars.add("searching", num_trials)
        self.what = "searching"
        self.best: tuple[str, ...] = ()
        self.num_ended = 0

    def step(self, step: "Step") -> None:
        """Show the progress of the current trial."""
        if self.is_disabled:
            self.bars.lines.report(f"{self.what}, the next one {100 * step.done:.0f} % done")
        else:
            self.bars.update(self.task, self.what, self.num_ended + step.done, self.best)

    def trial(self, found: "Search", trial: "Trial | None") -> None:
        """Show which trial has ended, and the best one."""
        self.num_ended = sum(one.outcome != "running" for one in found.trials)
        self.what = f"{self.num_ended} of {found.num_trials} trials"
        best = next((one for one in found.trials if one.number in found.front[:1]), None)
        if best:
            self.best = f"best {100 * (best.accuracy or 0):.1f} %", f"(trial {best.number})"
        self.bars.update(self.task, self.what, self.num_ended, self.best)
        if trial and self.is_disabled:
            showed = trial.reason or (
                f"{100 * (trial.accuracy or 0):.1f} %, {trial.num_parameters:,} parameters, "
                f"{trial.latency_ms:.2f} ms an image"
            )
            line = f"trial {trial.number} {trial.outcome}: {showed}"
            self.bars.lines.write_now("; ".join(filter(None, (line, " ".join(self.best)))))


def _figures(step: "Step") -> tuple[str, ...]:
    """Return the figures of a step, the most important first."""
    return (
        f"loss {step.loss:.3f}",
        f"accuracy {step.accuracy:.3f}",
        f"{step.images_per_s:.0f} images/s",
        f"rate {step.learning_rate:.1e}",
    )


def _in_words(step: "Step") -> str:
    done = f"epoch {step.epoch}", f"{100 * step.done:.0f} % done"
    return join_fitting((*done, *_figures(step)), num_columns())
